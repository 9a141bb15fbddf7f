"""init: configuration, keys and the primary vault.

Each step looks at what is there and makes only what is missing. So the next `init` finishes an interrupted
one, and repeating a finished one changes nothing. Where the vault exists already (a new machine after a
disaster) its keys are fetched from it by the passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..config.files import file_errors
from ..config.main_file import NEAR, write_config
from ..host.atomic_files import create_file, make_directories
from ..model.errors import UndividedError, UsageError
from .passphrase import new_passphrase
from .vault_secret import given_key
from .workspace import Workspace

if TYPE_CHECKING:
    from ..vault.stores.base import Store


Step = Literal["made_directories", "made_vault", "joined_vault", "wrote_keys", "wrote_config"]


@dataclass(frozen=True)
class Initialized:
    """vault: place of the primary vault; id: its id. steps: those that were necessary."""

    config: Path
    state: Path
    vault: str
    id: str
    steps: tuple[Step, ...]

    def as_record(self) -> dict[str, Any]:
        return {
            "config": str(self.config),
            "state": str(self.state),
            "vault": self.vault,
            "id": self.id,
            "steps": list(self.steps),
        }


def init(workspace: Workspace, vault: str | None = None) -> Initialized:
    """Makes what is missing. vault: directory or URL of the primary vault; None for the usual place, or for
    the one that is configured.

    Raises UsageError when another vault is configured, or when the place holds anything else.
    """
    steps: list[Step] = []
    if _make_directories(workspace):
        steps.append("made_directories")
    url = _primary_vault(workspace, vault)
    steps += _make_keys(workspace, url)
    if _create(workspace.config_file, write_config({NEAR: url}).encode()):
        steps.append("wrote_config")
    workspace.keep_config()
    opened = workspace.vault
    workspace.catalog.close()
    return Initialized(workspace.directory, workspace.state, url, opened.id, tuple(steps))


def _make_directories(workspace: Workspace) -> bool:
    """Whether one of them was missing."""
    made = False
    for directory in (workspace.directory, workspace.services_directory, workspace.key_file().parent):
        with file_errors(f"make directory {directory}"):
            made |= make_directories(directory)
    return made


def _create(path: Path, data: bytes) -> bool:
    with file_errors(f"write {path}"):
        return create_file(path, data)


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


def _make_keys(workspace: Workspace, url: str) -> list[Step]:
    """Writes the writer keys of the vault next to the configuration. Makes the vault when there is none."""
    from ..vault.stores.probe import PREFIX, probe
    from ..vault.stores.registry import open_store
    from ..vault.vault import Vault

    path = workspace.key_file()
    if path.exists():
        return []
    store = open_store(url)
    if _is_vault(store):
        opened = Vault.open(store, passphrase=workspace.secret)
        step: Step = "joined_vault"
    else:
        first = given_key() or new_passphrase(workspace.ask)
        if all(name.startswith(PREFIX) for name, _ in store.list()):
            # Otherwise an interrupted init has probed the place already, or it is no place for a vault.
            probe(store)
        opened = Vault.create(store, first)
        step = "made_vault"
    if not _create(path, opened.keys.encode()) and path.read_bytes() != opened.keys.encode():
        raise UndividedError("another init wrote other keys at the same time", doing=f"write {path}")
    return [step, "wrote_keys"]


def _is_vault(store: Store) -> bool:
    from ..vault.stores.base import MissingError

    try:
        store.size("vault.json")
    except MissingError:
        return False
    return True
