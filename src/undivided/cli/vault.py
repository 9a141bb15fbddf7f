"""`undivided vault …`: the near vault and the passphrases that open it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..model.errors import UsageError
from ..model.times import iso_utc, local
from .config import NEAR
from .options import COMMON, Common
from .output import emit, size, table
from .passphrase import new_passphrase

NEW = "UNDIVIDED_NEW_PASSPHRASE"


def info(*, common: Common = COMMON) -> int:
    """Describe the near vault: where it is, how large, how many points.

    Example: undivided vault info
    """
    context = common.open()
    record = {"name": NEAR, "url": context.config.vaults[NEAR], **context.vault.info()}
    record["points"] = len(context.catalog.points())
    emit(common.json, record, _lines(record))
    return 0


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, record))
    for key, value in record.items():
        shown = size(value) if "bytes" in key and isinstance(value, int) else value
        yield f"{key.replace('_', ' ').ljust(width)}  {shown}"


def key_list(*, common: Common = COMMON) -> int:
    """List the passphrases that open the vault, never the passphrases themselves.

    Example: undivided vault key list
    """
    found = common.open().vault.recipients()
    records = [
        {"id": r.id, "kind": r.kind, "label": r.label, "created": iso_utc(r.created_ns)} for r in found
    ]
    rows = [[r.id, r.kind, r.label, local(r.created_ns)] for r in found]
    emit(common.json, {"keys": records}, table(["ID", "KIND", "LABEL", "CREATED"], rows))
    return 0


def key_add(*, label: str = "", common: Common = COMMON) -> int:
    """Add a passphrase; the ones there are stay.

    Needs one that opens the vault. The new one comes from UNDIVIDED_NEW_PASSPHRASE,
    UNDIVIDED_NEW_PASSPHRASE_FILE or UNDIVIDED_NEW_PASSPHRASE_COMMAND, or is asked for.

    Example: undivided vault key add --label "safe in the cellar"

    Parameters
    ----------
    label:
        What to call it in lists.
    """
    vault = common.open().vault
    added = vault.add_passphrase(new_passphrase(NEW), label)
    emit(common.json, {"id": added.id, "label": added.label}, [f"added {added.id}"])
    return 0


def key_remove(id: str, /, *, common: Common = COMMON) -> int:
    """Remove a passphrase. The last one stays: without it nothing could be recovered.

    Example: undivided vault key remove 5f2c81d09a3be644

    Parameters
    ----------
    id:
        As `undivided vault key list` shows it, or its beginning.
    """
    vault = common.open().vault
    found = [r for r in vault.recipients() if r.id.startswith(id)]
    if len(found) != 1:
        cause = f"no key begins with {id!r}" if not found else f"several keys begin with {id!r}"
        raise UsageError(cause, hint="`undivided vault key list` shows them.")
    vault.remove_recipient(found[0].id)
    emit(common.json, {"id": found[0].id, "result": "removed"}, [f"removed {found[0].id}"])
    return 0
