"""A look inside a vault for a person who repairs it: a log entry, a pack, or a timeline, as plain values.

Each function returns a value with everything that the stored bytes give; its record is for JSON. A clear
header is shown even when the sealed part behind it does not open; then `damage` gives the cause, and
otherwise it is "". Nothing in the values is secret: keys appear only sealed to the vault's public key,
content and paths do not appear at all, and no passphrase is needed.

The vault may be one that `open_damaged` opened.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError, UsageError
from ..model.times import iso_utc
from .crypto.envelope import digest_of
from .crypto.keys import number_of
from .format import pack as packs
from .format import timeline_segment as timelines
from .format.index_segment import StoredPack
from .format.log_entry import HEADER, LogEntry, decode_entry, name_of
from .format.pack import TRAILER, open_footer
from .format.pack_header import PackHeader, SessionKeys
from .index.load import index_links, read_index_segment
from .stores.base import MissingError, StoreError, uncached
from .vault import Vault
from .verify.log_scan import scan_log

__all__ = ["EntryDetails", "PackDetails", "TimelineDetails", "debug_entry", "debug_pack", "debug_timeline"]

_HEX = re.compile("[0-9a-f]{6,64}")


@dataclass(frozen=True)
class EntryHeader:
    """The clear header of a log entry. session, previous: hex."""

    magic: str
    session: str
    epoch: int
    number: int
    counter: int
    previous: str


@dataclass(frozen=True)
class EntryDetails:
    """object: its name; digest: hex SHA-256. header: None when the object is too short for one. entry: None
    when it does not open."""

    object: str
    bytes: int
    digest: str
    header: EntryHeader | None
    entry: LogEntry | None
    damage: str

    def as_record(self) -> dict[str, Any]:
        """kind, time_ns, time, links and body are in it only when the entry opens."""
        record = {
            "object": self.object,
            "bytes": self.bytes,
            "digest": self.digest,
            "header": asdict(self.header) if self.header else None,
        }
        if entry := self.entry:
            record |= {
                "kind": entry.kind,
                "time_ns": entry.time_ns,
                "time": iso_utc(entry.time_ns),
                "links": dict(entry.links),
                "body": entry.body,
            }
        return {**record, "damage": self.damage}


@dataclass(frozen=True)
class PackTrailer:
    """The clear end of a pack. session: hex. footer_bytes: length of the sealed footer before it."""

    magic: str
    session: str
    epoch: int
    counter: int
    footer_bytes: int


@dataclass(frozen=True)
class PackInIndex:
    """How the index has a pack. segment: name of the index segment, None when no readable one has the pack.
    damage: of the index itself."""

    segment: str | None = None
    bytes: int | None = None
    damaged: bool = False
    pending_deletion: bool = False
    damage: str = ""


@dataclass(frozen=True)
class PackSession:
    """A session with frames in a pack. sealed_key: hex, its content key, sealed to the vault's public key."""

    session: str
    epoch: int
    sealed_key: str


@dataclass(frozen=True)
class ChunkInFrame:
    """id: hex. offset, length: bytes of the frame's plain text."""

    id: str
    offset: int
    length: int


@dataclass(frozen=True)
class PackFrame:
    """offset: in the pack. stored, plain: its bytes before and after decryption and decompression. session:
    hex."""

    offset: int
    stored: int
    plain: int
    codec: int
    counter: int
    session: str
    chunks: tuple[ChunkInFrame, ...]


@dataclass(frozen=True)
class PackDetails:
    """object: its name; sha256: hex, of the stored bytes, "" when the pack is missing. trailer: None when
    there is none. described_by: "footer" when sessions and frames come from the pack's own footer; "index"
    when that does not open; None when the index does not have the pack either."""

    object: str
    index: PackInIndex
    bytes: int
    sha256: str
    trailer: PackTrailer | None
    described_by: str | None
    sessions: tuple[PackSession, ...]
    frames: tuple[PackFrame, ...]
    damage: str

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SegmentInTimeline:
    """entry: the log entry that added the segment. digest: of the timeline after it. object: its name; bytes:
    None when it is missing. previous: the entry whose state it continues."""

    entry: int
    digest: str
    object: str
    bytes: int | None
    previous: int
    compacted: bool


@dataclass(frozen=True)
class PointInTimeline:
    """entry: of the point. sequence: the entry of the segment that the point sees last."""

    point: str
    component: str
    entry: int
    sequence: int


@dataclass(frozen=True)
class UnreadableEntry:
    object: str
    cause: str


@dataclass(frozen=True)
class TimelineDetails:
    """steps: oldest first. damage: entries of the log that could not be read; any of them may belong to the
    timeline."""

    timeline: str
    steps: tuple[SegmentInTimeline, ...]
    points: tuple[PointInTimeline, ...]
    damage: tuple[UnreadableEntry, ...]

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


def debug_entry(vault: Vault, number: int) -> EntryDetails:
    """Raises UsageError when the log has no such entry, StoreError."""
    store, name = uncached(vault.store), name_of(number)
    try:
        data = store.read(name)
    except MissingError:
        raise UsageError(
            f"the log has no entry {number}",
            doing=f"look at {name}",
            hint=f"The log ends at entry {vault.head.number}.",
        ) from None
    header = None
    if len(data) >= HEADER.size:
        magic, session, own, counter, previous = HEADER.unpack_from(data)
        header = EntryHeader(_ascii(magic), session.hex(), number_of(session), own, counter, previous.hex())
    entry, damage = None, ""
    try:
        entry = decode_entry(vault.keys, number, data)
    except DamageError as error:
        damage = error.cause
    return EntryDetails(name, len(data), digest_of(data), header, entry, damage)


def debug_pack(vault: Vault, digest: str) -> PackDetails:
    """digest: of the pack in hex, or at least 6 digits of its beginning.

    Reads the whole pack. Raises UsageError when no pack, or more than one, has this digest; StoreError.
    """
    store = uncached(vault.store)
    name, digest = _pack_named(vault, digest)
    listed, known = _in_index(vault, digest)
    described_by = "index" if known else None
    try:
        data = store.read(name)
    except MissingError:
        data, sha256, damage = b"", "", "it is missing"
    else:
        sha256 = digest_of(data)
        damage = "" if sha256 == digest else "its SHA-256 is not its name"
        try:
            footer = open_footer(vault.keys, data, name)
        except DamageError as error:
            damage = damage or error.cause
        else:
            known, described_by = StoredPack(digest, len(data), footer.header, footer.sessions), "footer"
    return PackDetails(
        object=name,
        index=listed,
        bytes=len(data),
        sha256=sha256,
        trailer=_trailer(data),
        described_by=described_by,
        sessions=_sessions(known.sessions) if known else (),
        frames=_frames(known.header, known.sessions) if known else (),
        damage=damage,
    )


def debug_timeline(vault: Vault, timeline: str) -> TimelineDetails:
    """timeline: its id, or an unambiguous beginning.

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
    history = scan.histories[id]
    sizes = dict(store.list("timeline/"))
    steps = [
        SegmentInTimeline(
            entry=step.number,
            digest=step.digest,
            object=timelines.name_of(step.segment),
            bytes=sizes.get(timelines.name_of(step.segment)),
            previous=step.previous,
            compacted=step.compacted,
        )
        for step in history.steps
    ]
    points = [
        PointInTimeline(mark.point, mark.component, mark.number, mark.sequence) for mark in history.marks
    ]
    unreadable = [UnreadableEntry(name, cause) for name, cause in scan.unreadable]
    return TimelineDetails(id, tuple(steps), tuple(points), tuple(unreadable))


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


def _in_index(vault: Vault, digest: str) -> tuple[PackInIndex, StoredPack | None]:
    """How the index has a pack, and what it keeps of it."""
    try:
        links = index_links(vault.commits)
    except (DamageError, StoreError) as error:
        return PackInIndex(damage=error.cause), None
    damaged, pending_deletion = digest in links.damaged, digest in links.pending_deletion
    unreadable = ""
    for name in links.segments:
        try:
            segment = read_index_segment(uncached(vault.store), vault.keys, name)
        except (DamageError, StoreError) as error:
            unreadable = unreadable or error.cause
            continue
        if digest in segment.names():
            known = next(pack for pack in segment.packs() if pack.name == digest)
            return PackInIndex(name, known.size, damaged, pending_deletion), known
    return PackInIndex(None, None, damaged, pending_deletion, unreadable), None


def _trailer(pack: bytes) -> PackTrailer | None:
    if len(pack) < TRAILER.size:
        return None
    magic, session, counter, length = TRAILER.unpack(pack[-TRAILER.size :])
    return PackTrailer(_ascii(magic), session.hex(), number_of(session), counter, length)


def _sessions(sessions: SessionKeys) -> tuple[PackSession, ...]:
    return tuple(PackSession(session.hex(), number_of(session), key.hex()) for session, key in sessions)


def _frames(header: PackHeader, sessions: SessionKeys) -> tuple[PackFrame, ...]:
    ids, lengths = header.id.tobytes(), header.length.tolist()
    found: list[PackFrame] = []
    at = first = 0
    names = ("stored", "plain", "codec", "counter", "session", "chunks")
    for stored, plain, codec, counter, number, count in zip(
        *(getattr(header, name).tolist() for name in names), strict=True
    ):
        chunks: list[ChunkInFrame] = []
        offset = 0
        for row in range(first, first + count):
            id = ids[row * CHUNK_ID_BYTES : (row + 1) * CHUNK_ID_BYTES].hex()
            chunks.append(ChunkInFrame(id, offset, lengths[row]))
            offset += lengths[row]
        session = sessions[number][0].hex()
        found.append(PackFrame(at, stored, plain, codec, counter, session, tuple(chunks)))
        at, first = at + stored, first + count
    return tuple(found)


def _ascii(magic: bytes) -> str:
    return magic.decode("ascii", "backslashreplace")
