"""init: configuration, keys and the primary vault.

Each step looks at what is there and makes only what is missing. So the next `init` finishes an interrupted
one, and repeating a finished one changes nothing. Where the vault exists already (a new machine after a
disaster) its keys are fetched from it by the passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.main_file import NEAR, write_config
from ..host.paths import make_directory, save_new
from ..model.errors import UndividedError, UsageError
from .passphrase import new_passphrase
from .vault_secret import given_key
from .workspace import Workspace

if TYPE_CHECKING:
    from ..vault.stores.base import Store


@dataclass(frozen=True)
class Initialized:
    """did: what was made, as sentences; empty when everything was there. vault: where the primary vault is;
    id: its id."""

    config: Path
    state: Path
    vault: str
    id: str
    did: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        did = self.did or ("nothing to do: everything is there",)
        return {
            "config": str(self.config),
            "state": str(self.state),
            "vault": self.vault,
            "id": self.id,
            "did": list(did),
        }


def init(workspace: Workspace, vault: str | None = None) -> Initialized:
    """Makes what is missing. vault: directory or URL of the primary vault; None for the usual place, or for
    the one that is configured.

    Raises UsageError when another vault is configured, or when the place holds anything else.
    """
    did: list[str] = []
    for directory in (workspace.directory, workspace.services_directory, workspace.key_file().parent):
        if make_directory(directory):
            did.append(f"made {directory}")
    url = _primary_vault(workspace, vault)
    _make_keys(workspace, url, did)
    if save_new(workspace.config_file, write_config({NEAR: url}).encode()):
        did.append(f"wrote {workspace.config_file}")
    workspace.keep_config()
    opened = workspace.vault
    workspace.catalog.close()
    return Initialized(workspace.directory, workspace.state, url, opened.id, tuple(did))


def _primary_vault(workspace: Workspace, vault: str | None) -> str:
    """Where the primary vault is or will be. Raises UsageError when another one is configured."""
    if not workspace.config_file.exists():
        return _address(vault) if vault else str(workspace.usual_vault)
    configured = workspace.config.vaults[NEAR]
    if vault and _address(vault) != configured:
        raise UsageError(
            f"the primary vault is already configured as {configured}",
            doing=f"init --vault {vault}",
            hint=f"Edit {workspace.config_file} to use another one, or leave --vault out.",
        )
    return configured


def _address(vault: str) -> str:
    """A path made absolute; a URL unchanged."""
    scheme, colon, _ = vault.partition(":")
    return vault if colon and "/" not in scheme else str(Path(vault).absolute())


def _make_keys(workspace: Workspace, url: str, did: list[str]) -> None:
    """Writes the writer keys of the vault next to the configuration. Makes the vault when there is none."""
    from ..vault.stores.probe import PREFIX, probe
    from ..vault.stores.registry import open_store
    from ..vault.vault import Vault

    path = workspace.key_file()
    if path.exists():
        return
    store = open_store(url)
    if _is_vault(store):
        opened = Vault.open(store, passphrase=workspace.secret)
        did.append(f"joined the vault {url}")
    else:
        first = given_key() or new_passphrase(workspace.ask)
        if all(name.startswith(PREFIX) for name, _ in store.list()):
            # Otherwise an interrupted init has probed the place already, or it is no place for a vault.
            probe(store)
        opened = Vault.create(store, first)
        did.append(f"made the vault {url}")
    if not save_new(path, opened.keys.encode()) and path.read_bytes() != opened.keys.encode():
        raise UndividedError("another init wrote other keys at the same time", doing=f"write {path}")
    did.append(f"wrote {path}")


def _is_vault(store: Store) -> bool:
    from ..vault.stores.base import MissingError

    try:
        store.size("vault.json")
    except MissingError:
        return False
    return True
