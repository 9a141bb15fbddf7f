"""A look inside a vault for a person who repairs it: a log entry, a pack, or a timeline, as plain values.

Each function returns a dict that JSON can hold, with everything that the stored bytes give. A clear header is
shown even when the sealed part behind it does not open; then `damage` gives the cause, and otherwise it is
"". Nothing in the dicts is secret: keys appear only sealed to the vault's public key, content and paths do
not appear at all, and no passphrase is needed.

The vault may be one that `open_damaged` opened.
"""

from __future__ import annotations

import re
from typing import Any

from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError, UsageError
from .crypto.envelope import digest_of
from .crypto.keys import number_of
from .format import pack as packs
from .format import timeline_segment as timelines
from .format.index_segment import StoredPack
from .format.log_entry import HEADER, decode_entry, name_of
from .format.pack import TRAILER, open_footer
from .format.pack_header import PackHeader, SessionKeys
from .index.load import index_links, read_index_segment
from .stores.base import MissingError, StoreError, uncached
from .vault import Vault
from .verify.log_scan import History, scan_log

__all__ = ["debug_entry", "debug_pack", "debug_timeline"]

_HEX = re.compile("[0-9a-f]{6,64}")


def debug_entry(vault: Vault, number: int) -> dict[str, Any]:
    """object, bytes, digest; header: magic, session, epoch, number, counter, previous; then, when the entry
    opens: kind, time_ns, links, body. Raises UsageError when the log has no such entry, StoreError."""
    store, name = uncached(vault.store), name_of(number)
    try:
        data = store.read(name)
    except MissingError:
        raise UsageError(
            f"the log has no entry {number}",
            doing=f"look at {name}",
            hint=f"The log ends at entry {vault.head.number}.",
        ) from None
    found: dict[str, Any] = {"object": name, "bytes": len(data), "digest": digest_of(data), "header": None}
    if len(data) >= HEADER.size:
        magic, session, own, counter, previous = HEADER.unpack_from(data)
        found["header"] = {
            "magic": _ascii(magic),
            "session": session.hex(),
            "epoch": number_of(session),
            "number": own,
            "counter": counter,
            "previous": previous.hex(),
        }
    try:
        entry = decode_entry(vault.keys, number, data)
    except DamageError as error:
        return {**found, "damage": error.cause}
    opened = {"kind": entry.kind, "time_ns": entry.time_ns, "links": dict(entry.links), "body": entry.body}
    return {**found, **opened, "damage": ""}


def debug_pack(vault: Vault, digest: str) -> dict[str, Any]:
    """digest: of the pack in hex, or at least 6 digits of its beginning.

    object, bytes, sha256; trailer: magic, session, epoch, counter, footer_bytes; index: how the index has the
    pack, with segment, bytes, damaged, pending_deletion; sessions: session, epoch and sealed content key;
    frames: offset, stored, plain, codec, counter, session, and chunks with id, offset and length.
    `described_by` says whether sessions and frames come from the pack's own footer or, where that does not
    open, from the index.

    Reads the whole pack. Raises UsageError when no pack, or more than one, has this digest; StoreError.
    """
    store = uncached(vault.store)
    name, digest = _pack_named(vault, digest)
    listed, known = _in_index(vault, digest)
    found: dict[str, Any] = {"object": name, "index": listed, "bytes": 0, "sha256": "", "trailer": None}
    try:
        data = store.read(name)
    except MissingError:
        return {**found, **_described(known, "index"), "damage": "it is missing"}
    found |= {"bytes": len(data), "sha256": digest_of(data)}
    if len(data) >= TRAILER.size:
        magic, session, counter, length = TRAILER.unpack(data[-TRAILER.size :])
        found["trailer"] = {
            "magic": _ascii(magic),
            "session": session.hex(),
            "epoch": number_of(session),
            "counter": counter,
            "footer_bytes": length,
        }
    damage = "" if found["sha256"] == digest else "its SHA-256 is not its name"
    try:
        footer = open_footer(vault.keys, data, name)
    except DamageError as error:
        return {**found, **_described(known, "index"), "damage": damage or error.cause}
    own = StoredPack(digest, len(data), footer.header, footer.sessions)
    return {**found, **_described(own, "footer"), "damage": damage}


def debug_timeline(vault: Vault, timeline: str) -> dict[str, Any]:
    """timeline: its id, or an unambiguous beginning.

    timeline; steps, oldest first: entry, digest, object, bytes (None for a missing segment), previous (the
    entry whose state it continues) and compacted; points: point, component, entry, sequence (the step that it
    sees last); damage: entries of the log that could not be read, any of which may belong to it.

    Reads the whole log. Raises UsageError when no timeline, or more than one, has this id; StoreError.
    """
    store = uncached(vault.store)
    scan = scan_log(store, vault.keys)
    found = [name for name in scan.histories if name.startswith(timeline)] if timeline else []
    if len(found) != 1 and timeline not in found:
        count = (
            f"{len(found)} timelines have an id that begins" if found else "no timeline has an id that begins"
        )
        raise UsageError(
            f"{count} with {timeline!r}",
            doing="look at a timeline",
            hint="`undivided debug entry N` shows the timelines of a point's log entry, under links.heads.",
        )
    id = timeline if timeline in found else found[0]
    history: History = scan.histories[id]
    sizes = dict(store.list("timeline/"))
    steps = [
        {
            "entry": step.number,
            "digest": step.digest,
            "object": timelines.name_of(step.segment),
            "bytes": sizes.get(timelines.name_of(step.segment)),
            "previous": step.previous,
            "compacted": step.compacted,
        }
        for step in history.steps
    ]
    points = [
        {"point": mark.point, "component": mark.component, "entry": mark.number, "sequence": mark.sequence}
        for mark in history.marks
    ]
    unreadable = [{"object": name, "cause": cause} for name, cause in scan.unreadable]
    return {"timeline": id, "steps": steps, "points": points, "damage": unreadable}


def _pack_named(vault: Vault, digest: str) -> tuple[str, str]:
    """The object and the whole digest. A missing pack must be given with its whole digest."""
    if not _HEX.fullmatch(digest):
        raise UsageError(
            f"{digest!r} is no digest of a pack",
            doing="look at a pack",
            hint="Pass 6 to 64 hex digits: the name of the object without packs/xx/.",
        )
    if len(digest) == 64:
        return packs.name_of(digest), digest
    names = [name for name, _ in uncached(vault.store).list(f"packs/{digest[:2]}/{digest}")]
    if len(names) != 1:
        cause = f"{len(names)} packs have names that begin" if names else "no pack has a name that begins"
        raise UsageError(
            f"{cause} with {digest}", doing="look at a pack", hint="Pass more digits, or the whole digest."
        )
    return names[0], names[0].rpartition("/")[2]


def _in_index(vault: Vault, digest: str) -> tuple[dict[str, Any], StoredPack | None]:
    """How the index has a pack, and what it keeps of it."""
    found: dict[str, Any] = {"segment": None, "bytes": None, "damaged": False, "pending_deletion": False}
    try:
        links = index_links(vault.commits)
    except (DamageError, StoreError) as error:
        return {**found, "damage": error.cause}, None
    found |= {"damaged": digest in links.damaged, "pending_deletion": digest in links.pending_deletion}
    unreadable = ""
    for name in links.segments:
        try:
            segment = read_index_segment(uncached(vault.store), vault.keys, name)
        except (DamageError, StoreError) as error:
            unreadable = unreadable or error.cause
            continue
        if digest in segment.names():
            known = next(pack for pack in segment.packs() if pack.name == digest)
            return {**found, "segment": name, "bytes": known.size, "damage": ""}, known
    return {**found, "damage": unreadable}, None


def _described(pack: StoredPack | None, by: str) -> dict[str, Any]:
    if pack is None:
        return {"described_by": None, "sessions": [], "frames": []}
    return {
        "described_by": by,
        "sessions": _sessions(pack.sessions),
        "frames": _frames(pack.header, pack.sessions),
    }


def _sessions(sessions: SessionKeys) -> list[dict[str, Any]]:
    return [
        {"session": session.hex(), "epoch": number_of(session), "sealed_key": key.hex()}
        for session, key in sessions
    ]


def _frames(header: PackHeader, sessions: SessionKeys) -> list[dict[str, Any]]:
    ids, lengths = header.id.tobytes(), header.length.tolist()
    found: list[dict[str, Any]] = []
    at = first = 0
    names = ("stored", "plain", "codec", "counter", "session", "chunks")
    for stored, plain, codec, counter, number, count in zip(
        *(getattr(header, name).tolist() for name in names), strict=True
    ):
        chunks, offset = [], 0
        for row in range(first, first + count):
            id = ids[row * CHUNK_ID_BYTES : (row + 1) * CHUNK_ID_BYTES].hex()
            chunks.append({"id": id, "offset": offset, "length": lengths[row]})
            offset += lengths[row]
        found.append(
            {
                "offset": at,
                "stored": stored,
                "plain": plain,
                "codec": codec,
                "counter": counter,
                "session": sessions[number][0].hex(),
                "chunks": chunks,
            }
        )
        at, first = at + stored, first + count
    return found


def _ascii(magic: bytes) -> str:
    return magic.decode("ascii", "backslashreplace")
