"""`undivided debug …`: a look inside the vault for a person who repairs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..config.option_values import parse_count
from ..model.times import iso_utc
from ..operations import debug
from .options import COMMON, Common
from .output import emit, plural, size, table

if TYPE_CHECKING:
    from ..vault.debug import EntryDetails, PackDetails, TimelineDetails


def entry(number: str, /, *, common: Common = COMMON) -> int:
    """Show one entry of the vault's log.

    Its kind, its time, the entry that it continues, and its body. Works on
    a damaged vault, too, and needs no passphrase.

    Example: undivided debug entry 42

    Parameters
    ----------
    number:
        Number of the entry; the first is 1.
    """
    found = debug.debug_entry(common.open(), parse_count("NUMBER", number))
    emit(common.json, found.as_record(), _entry(found))
    return 0


def _entry(found: EntryDetails) -> Iterator[str]:
    yield f"{found.object}: {size(found.bytes)}, sha256 {found.digest}"
    if found.damage:
        yield f"  damaged: {found.damage}"
    if found.header:
        yield from (f"  {name}: {value}" for name, value in asdict(found.header).items())
    if entry := found.entry:
        yield f"  kind: {entry.kind}, {iso_utc(entry.time_ns)}"
        for name, value in (("links", entry.links), ("body", entry.body)):
            yield f"  {name}:"
            yield from (f"    {line}" for line in json.dumps(value, indent=2).splitlines())


def pack(digest: str, /, *, common: Common = COMMON) -> int:
    """Show one pack: its state, its frames and their chunks.

    Reads the whole pack and compares its hash with its name. Works on a
    damaged vault, too, and needs no passphrase.

    Example: undivided debug pack 5f2c81d09a3b

    Parameters
    ----------
    digest:
        Name of the pack without packs/xx/, or at least 6 digits of its beginning.
    """
    found = debug.debug_pack(common.open(), digest)
    emit(common.json, found.as_record(), _pack(found))
    return 0


def _pack(found: PackDetails) -> Iterator[str]:
    index, frames = found.index, found.frames
    states = {"damaged": index.damaged, "pending deletion": index.pending_deletion}
    marks = [f", {name}" for name, applies in states.items() if applies]
    yield f"{found.object}: {size(found.bytes)}, sha256 {found.sha256 or '-'}"
    if found.damage:
        yield f"  damaged: {found.damage}"
    yield f"  index segment: {index.segment or 'none'}{''.join(marks)}"
    yield from (f"  session {one.session}, epoch {one.epoch}" for one in found.sessions)
    yield f"  {plural(len(frames), 'frame')}, described by the {found.described_by or '-'}:"
    head = ["OFFSET ", "STORED ", "PLAIN ", "CODEC ", "CHUNKS "]
    rows = [[str(n) for n in (f.offset, f.stored, f.plain, f.codec, len(f.chunks))] for f in frames]
    yield from (f"    {line}" for line in table(head, rows))


def timeline(id: str, /, *, common: Common = COMMON) -> int:
    """Show one timeline: its segments and the points that need it.

    Reads the whole log. Works on a damaged vault, too, and needs no
    passphrase.

    Example: undivided debug timeline 9c41

    Parameters
    ----------
    id:
        Id of the timeline, or its beginning; `undivided debug entry` shows it under links.heads.
    """
    found = debug.debug_timeline(common.open(), id)
    emit(common.json, found.as_record(), _timeline(found))
    return 0


def _timeline(found: TimelineDetails) -> Iterator[str]:
    yield f"timeline {found.timeline}: {plural(len(found.steps), 'segment')}"
    head = ["ENTRY ", "CONTINUES ", "BYTES ", "COMPACTED", "OBJECT"]
    rows = [
        [
            str(step.entry),
            str(step.previous),
            "missing" if step.bytes is None else str(step.bytes),
            "yes" if step.compacted else "",
            step.object,
        ]
        for step in found.steps
    ]
    yield from (f"  {line}" for line in table(head, rows))
    yield from (f"  point {p.point}, component {p.component}, as of entry {p.sequence}" for p in found.points)
    yield from (f"  damaged: {one.object}: {one.cause}" for one in found.damage)
