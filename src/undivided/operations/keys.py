"""vault key list, new, add, remove, rotate, renew: what opens the vault, and the keys themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.files import file_errors
from ..host.atomic_files import create_file, replace_file
from ..host.crashpoints import crashpoint
from ..model.errors import UsageError
from ..model.times import iso_utc
from .workspace import Workspace


@dataclass(frozen=True)
class KeySummary:
    """A passphrase, key file or command that opens the vault. Nothing secret."""

    id: str
    kind: str
    label: str
    created_ns: int

    def as_record(self) -> dict[str, Any]:
        return {"id": self.id, "kind": self.kind, "label": self.label, "created": iso_utc(self.created_ns)}


def list_keys(workspace: Workspace) -> list[KeySummary]:
    return [KeySummary(**recipient) for recipient in workspace.vault.recipients()]


def new_key(file: Path) -> None:
    """Writes a new key file. Needs no vault. Raises UsageError when the file exists."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ..vault.keys import encode_key

    with file_errors(f"write {file}"):
        written = create_file(file, encode_key(X25519PrivateKey.generate()).encode())
    if not written:
        raise UsageError("a file of that name exists", doing=f"write {file}", hint="Choose another name.")


@dataclass(frozen=True)
class AddedKey:
    id: str
    kind: str
    label: str

    def as_record(self) -> dict[str, Any]:
        return {"id": self.id, "kind": self.kind, "label": self.label}


def add_key(workspace: Workspace, *, key_file: Path | None = None, label: str = "") -> AddedKey:
    """Adds a key file, the output of a command, or a passphrase. Needs a secret that opens the vault
    already."""
    from .vault_secret import new_secret

    vault = workspace.vault
    secret, kind = new_secret(key_file, workspace.ask)
    return AddedKey(vault.add_recipient(secret, label, kind), kind, label)


def remove_key(workspace: Workspace, id: str) -> str:
    """id: whole, or its beginning. Returns the whole one. Raises UsageError when no key or several begin so,
    and for the last key."""
    vault = workspace.vault
    known: set[str] = {k["id"] for k in (*vault.recipients(), *vault.holders())}
    found = [one for one in known if one.startswith(id)]
    if len(found) != 1:
        cause = f"several keys begin with {id!r}" if found else f"no key begins with {id!r}"
        raise UsageError(cause, doing="remove a key", hint="`undivided vault key list` shows them.")
    vault.remove_recipient(found[0])
    return found[0]


@dataclass(frozen=True)
class Rotation:
    """epoch: how often the keys were rotated, this time included. keys: records of what opens the new keys.
    file: this machine's writer keys."""

    epoch: int
    keys: Sequence[dict[str, Any]]
    file: Path
    done: bool

    def as_record(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "keys": list(self.keys),
            "file": str(self.file),
            "result": "rotated" if self.done else "planned",
        }


def rotate_keys(workspace: Workspace, *, dry_run: bool = False) -> Rotation:
    """New keys for all data written from now on. dry_run: only find out what would open them."""
    vault, file = workspace.vault, workspace.key_file()
    rotation = Rotation(len(vault.keys.epochs), vault.holders(), file, not dry_run)
    if not dry_run:
        keys = vault.rotate().encode()
        with file_errors(f"write {file}"):
            replace_file(file, keys)
        crashpoint("rotate.saved")
    return rotation


@dataclass(frozen=True)
class RenewedKeys:
    vault: str
    epoch: int
    file: Path

    def as_record(self) -> dict[str, Any]:
        return {"vault": self.vault, "epoch": self.epoch, "file": str(self.file)}


def renew_keys(workspace: Workspace) -> RenewedKeys:
    """Fetches this machine's writer keys from the vault."""
    keys = workspace.keys_of_vault()
    file = workspace.key_file()
    with file_errors(f"write {file}"):
        replace_file(file, keys.encode())
    return RenewedKeys(keys.vault, len(keys.epochs) - 1, file)
