"""`undivided vault …`: the near vault and the passphrases that open it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..model.errors import UsageError
from ..model.times import iso_utc, local
from .config import NEAR
from .options import COMMON, Common
from .output import emit, plural, size, table
from .passphrase import new_passphrase

NEW = "UNDIVIDED_NEW_PASSPHRASE"


def info(*, common: Common = COMMON) -> int:
    """Say where the near vault is, how large, and what is in it.

    Example: undivided vault info
    """
    context = common.open()
    said = context.vault.info()
    record = {
        "name": NEAR,
        "url": context.config.vaults[NEAR],
        "vault": said["vault"],
        "format": said["format"],
        "created": iso_utc(said["created_ns"]),
        "points": len(context.catalog.points()),
        "head": said["head"],
        "bytes": said["bytes"],
        "objects": said["objects"],
        "keys": len(said["recipients"]),
    }
    emit(common.json, record, _story(record, said["created_ns"]))
    return 0


def _story(record: Mapping[str, Any], created_ns: int) -> Iterator[str]:
    yield f"vault {record['vault']}, format {record['format']}, made {local(created_ns)}"
    yield f"  in {record['url']}"
    yield f"  {plural(record['points'], 'point')}, {plural(record['keys'], 'key')}"
    yield f"  log ends at {record['head']['number']}, {record['head']['digest'][:16] or 'empty'}"
    yield f"  {size(record['bytes'])} in all:"
    for kind, count in record["objects"].items():
        yield f"    {kind}: {plural(count['objects'], 'object')}, {size(count['bytes'])}"


def key_list(*, common: Common = COMMON) -> int:
    """List the passphrases that open the vault, by id and label.

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


def key_add(*, label: str = "", common: Common = COMMON) -> int:
    """Add a passphrase; the ones there are stay.

    Needs one that opens the vault. The new one comes from
    UNDIVIDED_NEW_PASSPHRASE, UNDIVIDED_NEW_PASSPHRASE_FILE or
    UNDIVIDED_NEW_PASSPHRASE_COMMAND, or is asked for.

    Example: undivided vault key add --label "safe in the cellar"

    Parameters
    ----------
    label:
        What to call it in lists.
    """
    vault = common.open().vault
    added = vault.add_recipient(new_passphrase(NEW), label)
    emit(common.json, {"id": added, "label": label}, [f"added {added}"])
    return 0


def key_remove(id: str, /, *, common: Common = COMMON) -> int:
    """Remove a passphrase.

    The last one stays: without it nothing could be recovered.

    Example: undivided vault key remove 5f2c81d09a3be644

    Parameters
    ----------
    id:
        As `undivided vault key list` shows it, or its beginning.
    """
    vault = common.open().vault
    found = [r["id"] for r in vault.recipients() if r["id"].startswith(id)]
    if len(found) != 1:
        cause = f"no key begins with {id!r}" if not found else f"several keys begin with {id!r}"
        raise UsageError(cause, hint="`undivided vault key list` shows them.")
    vault.remove_recipient(found[0])
    emit(common.json, {"id": found[0], "result": "removed"}, [f"removed {found[0]}"])
    return 0
