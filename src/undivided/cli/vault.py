"""`undivided vault …`: the primary vault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..config.main_file import NEAR
from ..model.times import iso_utc, local
from ..operations.verification_age import NEVER, proven_line, vault_record
from .options import COMMON, Common
from .output import emit, plural, size


def info(*, common: Common = COMMON) -> int:
    """Say where the primary vault is, how large, and what is in it.

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
        "verified": vault_record(context.vault),
    }
    emit(common.json, record, _story(record, said["created_ns"]))
    return 0


def _story(record: Mapping[str, Any], created_ns: int) -> Iterator[str]:
    yield f"vault {record['vault']}, format {record['format']}, made {local(created_ns)}"
    yield f"  in {record['url']}"
    yield f"  {plural(record['points'], 'point')}, {plural(record['keys'], 'key')}"
    yield f"  log ends at {record['head']['number']}, {record['head']['digest'][:16] or 'empty'}"
    verified = record["verified"]
    yield f"  {proven_line(verified) if verified else NEVER}"
    yield f"  {size(record['bytes'])} in all:"
    for kind, count in record["objects"].items():
        yield f"    {kind}: {plural(count['objects'], 'object')}, {size(count['bytes'])}"


def kit(*, label: str = "recovery kit", common: Common = COMMON) -> int:
    """Print a recovery kit: a page that opens the vault, for the safe.

    The page says where the vault is and how to recover, step by step, and
    holds a key of its own: `undivided vault key list` shows it, and it can be
    removed like any other. Whoever holds the page can read everything.

    Example: undivided vault kit > kit.txt

    Parameters
    ----------
    label:
        What to call its key in lists.
    """
    from ..operations.recovery_kit import make_kit

    context = common.open()
    text, id = make_kit(context.vault, context.config.vaults[NEAR], label)
    emit(common.json, {"id": id, "label": label, "text": text}, text.splitlines())
    return 0
