"""`undivided init`: configuration, keys and the primary vault.

Each step looks at what is there and does only what is missing, so an interrupted `init` is finished by the
next one, and repeating a finished one changes nothing. Where the vault exists already (a new machine after a
disaster) its keys are fetched from it by the passphrase.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..config.main_file import NEAR, write_config
from ..host.paths import make_directory, save_new
from ..model.errors import UndividedError, UsageError
from ..operations.passphrase import new_passphrase
from ..operations.vault_secret import given_key, secret
from ..operations.workspace import Workspace
from .options import COMMON, Common
from .output import emit

if TYPE_CHECKING:
    from ..vault.stores.base import Store


def init(*, vault: str | None = None, common: Common = COMMON) -> int:
    """Make configuration, keys and the primary vault.

    Overwrites nothing; repeating is safe. The passphrase comes from
    UNDIVIDED_PASSPHRASE, UNDIVIDED_PASSPHRASE_FILE (a file's name) or
    UNDIVIDED_PASSPHRASE_COMMAND (a program to call), or is asked for; or
    UNDIVIDED_KEY_FILE names a key file or a recovery kit instead.
    Without it nothing can be recovered: keep it somewhere else, too.

    Example: undivided init --vault /mnt/backup/undivided

    Example: undivided init --vault "s3://bucket/portal?region=eu-central-1"

    Parameters
    ----------
    vault:
        Directory or URL of the primary vault. One that exists already is joined. No
        new one is made where a race shows that two writers could overwrite
        each other.
    """
    context = common.open()
    did: list[str] = []
    for directory in (context.directory, context.services_directory, context.key_file().parent):
        if make_directory(directory):
            did.append(f"made {directory}")
    where = _near(context, vault)
    _keys(context, where, did)
    if save_new(context.config_file, write_config({NEAR: where}).encode()):
        did.append(f"wrote {context.config_file}")
    context.keep_config()
    opened = context.vault
    context.catalog.close()
    did = did or ["nothing to do: everything is there"]
    record = {"config": str(context.directory), "state": str(context.state), "vault": where, "id": opened.id}
    emit(common.json, {**record, "did": did}, [*did, "", *_summary(context, where)])
    return 0


def _summary(context: Workspace, vault: str) -> list[str]:
    return [
        f"configuration  {context.directory}",
        f"state          {context.state}",
        f"primary vault     {vault}",
        "",
        "Next: describe a service in a file, `undivided service apply FILE`, `undivided protect SERVICE`.",
    ]


def _near(context: Workspace, vault: str | None) -> str:
    """Where the primary vault is or shall be. Raises UsageError when it is configured elsewhere already."""
    if not context.config_file.exists():
        return _address(vault) if vault else str(context.usual_vault)
    configured = context.config.vaults[NEAR]
    if vault and _address(vault) != configured:
        raise UsageError(
            f"the primary vault is {configured} already",
            doing=f"init --vault {vault}",
            hint=f"Edit {context.config_file} to use another one, or leave --vault out.",
        )
    return configured


def _address(vault: str) -> str:
    """A path made absolute; a URL as it is."""
    scheme, colon, _ = vault.partition(":")
    return vault if colon and "/" not in scheme else str(Path(vault).absolute())


def _keys(context: Workspace, where: str, did: list[str]) -> None:
    """The writer keys of the vault, beside the configuration; from a new vault where there is none."""
    from ..vault.stores.probe import PREFIX, probe
    from ..vault.stores.registry import open_store
    from ..vault.vault import Vault

    path = context.key_file()
    if path.exists():
        return
    store = open_store(where)
    if _is_vault(store):
        opened = Vault.open(store, passphrase=secret)
        did.append(f"joined the vault {where}")
    else:
        first = given_key() or new_passphrase()
        if all(name.startswith(PREFIX) for name, _ in store.list()):
            # Where there is anything else, an init was cut short that had probed, or no vault will be made.
            probe(store)
        opened = Vault.create(store, first)
        did.append(f"made the vault {where}")
    if not save_new(path, opened.keys.encode()) and path.read_bytes() != opened.keys.encode():
        raise UndividedError("another init made other keys meanwhile", doing=f"write {path}")
    did.append(f"wrote {path}")


def _is_vault(store: Store) -> bool:
    """Whether a vault is there. Raises UsageError when something else is."""
    from ..vault.stores.base import MissingError

    try:
        store.size("vault.json")
    except MissingError:
        return False
    return True
