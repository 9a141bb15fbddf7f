"""`undivided vault key …`: what opens the vault, and the keys themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..model.times import local
from ..operations import keys
from .options import COMMON, Common
from .output import emit, plural, table


def list_keys(*, common: Common = COMMON) -> int:
    """List the keys that open the vault, by id and label.

    Example: undivided vault key list
    """
    found = keys.list_keys(common.open())
    rows = [[r.id, r.kind, r.label, local(r.created_ns)] for r in found]
    emit(
        common.json,
        {"keys": [r.as_record() for r in found]},
        table(["ID", "KIND", "LABEL", "CREATED"], rows),
    )
    return 0


def new(file: Path, /, *, common: Common = COMMON) -> int:
    """Make a key file.

    It opens nothing until `undivided vault key add --key-file` adds it. An
    existing file is not overwritten.

    Example: undivided vault key new /media/stick/vault.key

    Parameters
    ----------
    file:
        Where to write it; only you can read it there.
    """
    keys.new_key(file)
    lines = [f"wrote {file}", f"To let it open the vault: undivided vault key add --key-file {file}"]
    emit(common.json, {"file": str(file)}, lines)
    return 0


def add(
    *,
    key_file: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    label: Annotated[str, Parameter(metavar="TEXT")] = "",
    common: Common = COMMON,
) -> int:
    """Add a passphrase, key file or command; existing ones are kept.

    Needs one that opens the vault. A new passphrase comes from
    UNDIVIDED_NEW_PASSPHRASE, UNDIVIDED_NEW_PASSPHRASE_FILE or
    UNDIVIDED_NEW_PASSPHRASE_COMMAND, or is asked for. When
    UNDIVIDED_NEW_KEY_COMMAND names a program, its output opens the vault
    from now on: set UNDIVIDED_KEY_COMMAND to it.

    Example: undivided vault key add --label "safe in the cellar"

    Parameters
    ----------
    key_file:
        A key file made by `undivided vault key new`.
    label:
        Its name in lists.
    """
    added = keys.add_key(common.open(), key_file=key_file, label=label)
    emit(common.json, added.as_record(), [f"added {added.id}"])
    return 0


def remove(id: str, /, *, common: Common = COMMON) -> int:
    """Remove a passphrase, key file or command.

    Needs one that opens the vault. The last one cannot be removed: without
    it nothing could be recovered. A removed user may have kept a copy of the
    vault's keys. Run `undivided vault key rotate` so that they cannot read
    data written from now on.

    Example: undivided vault key remove 5f2c81d09a3be644

    Parameters
    ----------
    id:
        The id that `undivided vault key list` shows, or its beginning.
    """
    removed = keys.remove_key(common.open(), id)
    lines = [
        f"removed {removed}",
        "To keep its holder from reading new data, run: undivided vault key rotate",
    ]
    emit(common.json, {"id": removed, "result": "removed"}, lines)
    return 0


def rotate(*, dry_run: bool = False, common: Common = COMMON) -> int:
    """Replace the vault's keys, for all data written from now on.

    Every listed passphrase, key file and command opens the new keys, too,
    and existing data stays readable with them. Every other machine that
    protects into this vault needs the new writer keys: run `undivided vault
    key renew` there, or copy this machine's keys/near.key to it.

    Example: undivided vault key rotate --dry-run

    Parameters
    ----------
    dry_run:
        Only show which keys could open the new ones.
    """
    rotation = keys.rotate_keys(common.open(), dry_run=dry_run)
    lines = [f"{plural(len(rotation.keys), 'key')} will open all data written from now on:"]
    lines += table(["ID", "KIND", "LABEL"], [[k["id"], k["kind"], k["label"]] for k in rotation.keys])
    if rotation.done:
        lines += [
            "",
            f"rotated; wrote {rotation.file}",
            "On every other machine that protects, run: undivided vault key renew",
        ]
    emit(common.json, rotation.as_record(), lines)
    return 0


def renew(*, common: Common = COMMON) -> int:
    """Fetch this machine's writer keys from the vault.

    After the vault's keys were rotated elsewhere, or when keys/near.key was
    lost or damaged. Needs a passphrase, key file or command. A machine that
    should have none of these gets a copy of another machine's keys/near.key.

    Example: undivided vault key renew
    """
    renewed = keys.renew_keys(common.open())
    emit(common.json, renewed.as_record(), [f"wrote {renewed.file}"])
    return 0
