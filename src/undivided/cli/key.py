"""`undivided vault key …`: who can open the vault, and the keys themselves."""

from __future__ import annotations

from pathlib import Path

from ..host.crashpoints import crashpoint
from ..host.paths import save, save_new
from ..model.errors import UsageError
from ..model.times import iso_utc, local
from .options import COMMON, Common
from .output import emit, plural, table


def list_keys(*, common: Common = COMMON) -> int:
    """List what opens the vault, by id and label.

    Example: undivided vault key list
    """
    found = common.open().vault.recipients()
    records = [
        {"id": r["id"], "kind": r["kind"], "label": r["label"], "created": iso_utc(r["created_ns"])}
        for r in found
    ]
    rows = [[r["id"], r["kind"], r["label"], local(r["created_ns"])] for r in found]
    emit(common.json, {"keys": records}, table(["ID", "KIND", "LABEL", "CREATED"], rows))
    return 0


def new(file: Path, /, *, common: Common = COMMON) -> int:
    """Make a key file.

    It opens nothing until `undivided vault key add --key-file` adds it. A file
    that is there is left alone.

    Example: undivided vault key new /media/stick/vault.key

    Parameters
    ----------
    file:
        Where to write it, for nobody but you to read.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ..vault.keys import encode_key

    if not save_new(file, encode_key(X25519PrivateKey.generate()).encode()):
        raise UsageError("there is a file of that name", doing=f"write {file}", hint="Choose another name.")
    told = [f"wrote {file}", f"To let it open the vault: undivided vault key add --key-file {file}"]
    emit(common.json, {"file": str(file)}, told)
    return 0


def add(*, key_file: Path | None = None, label: str = "", common: Common = COMMON) -> int:
    """Add a passphrase, key file or command; the ones there are stay.

    Needs one that opens the vault. A new passphrase comes from
    UNDIVIDED_NEW_PASSPHRASE, UNDIVIDED_NEW_PASSPHRASE_FILE or
    UNDIVIDED_NEW_PASSPHRASE_COMMAND, or is asked for. When
    UNDIVIDED_NEW_KEY_COMMAND names a program, what it prints opens the vault
    from now on: set UNDIVIDED_KEY_COMMAND to it.

    Example: undivided vault key add --label "safe in the cellar"

    Parameters
    ----------
    key_file:
        A key file that `undivided vault key new` made.
    label:
        What to call it in lists.
    """
    from ..operations.vault_secret import new_secret

    vault = common.open().vault
    secret, kind = new_secret(key_file)
    added = vault.add_recipient(secret, label, kind)
    emit(common.json, {"id": added, "kind": kind, "label": label}, [f"added {added}"])
    return 0


def remove(id: str, /, *, common: Common = COMMON) -> int:
    """Remove a passphrase, key file or command.

    Needs one that opens the vault. The last one stays: without it nothing
    could be recovered. Who used what is removed may have kept the vault's
    keys: rotate them, and nothing that is written from then on opens to him.

    Example: undivided vault key remove 5f2c81d09a3be644

    Parameters
    ----------
    id:
        As `undivided vault key list` shows it, or its beginning.
    """
    vault = common.open().vault
    known = {k["id"] for k in (*vault.recipients(), *vault.holders())}
    found = [one for one in known if one.startswith(id)]
    if len(found) != 1:
        cause = f"no key begins with {id!r}" if not found else f"several keys begin with {id!r}"
        raise UsageError(cause, hint="`undivided vault key list` shows them.")
    vault.remove_recipient(found[0])
    told = [f"removed {found[0]}", "If its holder shall not read what comes: undivided vault key rotate"]
    emit(common.json, {"id": found[0], "result": "removed"}, told)
    return 0


def rotate(*, dry_run: bool = False, common: Common = COMMON) -> int:
    """Exchange the vault's keys, for all that is written from now on.

    Every passphrase, key file and command that is listed opens the new keys,
    too. What is stored stays readable with them. Every other machine that
    protects into this vault needs the new writer keys: `undivided vault key
    renew` there, or a copy of this machine's keys/near.key.

    Example: undivided vault key rotate --dry-run

    Parameters
    ----------
    dry_run:
        Only say who could open the new keys.
    """
    context = common.open()
    vault, file = context.vault, context.key_file()
    holders = vault.holders()
    record = {"epoch": len(vault.keys.epochs), "keys": holders, "file": str(file)}
    told = [f"{plural(len(holders), 'key')} will open what is written from now on:"]
    told += table(["ID", "KIND", "LABEL"], [[h["id"], h["kind"], h["label"]] for h in holders])
    if dry_run:
        emit(common.json, {**record, "result": "planned"}, told)
        return 0
    save(file, vault.rotate().encode())
    crashpoint("rotate.saved")
    told += ["", f"rotated; wrote {file}", "On every other machine that protects: undivided vault key renew"]
    emit(common.json, {**record, "result": "rotated"}, told)
    return 0


def renew(*, common: Common = COMMON) -> int:
    """Fetch this machine's writer keys anew.

    After the vault's keys were rotated elsewhere, or when keys/near.key was
    lost or damaged. Needs a passphrase, key file or command. A machine that
    shall know none gets a copy of another machine's keys/near.key.

    Example: undivided vault key renew
    """
    context = common.open()
    keys = context.keys_of_vault()
    save(context.key_file(), keys.encode())
    record = {"vault": keys.vault, "epoch": len(keys.epochs) - 1, "file": str(context.key_file())}
    emit(common.json, record, [f"wrote {context.key_file()}"])
    return 0
