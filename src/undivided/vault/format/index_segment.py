"""Index segments: the stored form of the index. They are sorted when written, so opening needs no sort.

Per pack:   pack u1×32 its name   size u8   frames u4 how many it has
Per frame:  stored u4, plain u4, codec u1, counter u8, session u2 as in the footers, pack after pack
Per chunk:  prefix u8 the first 8 bytes of its id as a big-endian number, suffix u1×24 the others,
            frame u4 in this segment, offset u4 in the frame, length u4

Chunks are sorted by prefix; of equal prefixes the newest comes first. The columns are not compressed: ids do
not shrink, and a decrypted segment can be searched in place, without a copy. That takes 44 bytes a chunk and
19 a frame.

A segment has at most about two million chunks: an object of some 90 MB that is fetched, checked and merged as
a whole. A larger index has several segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...model.columns import Array, decode, encode
from ...model.entries import CHUNK_ID_BYTES
from ...model.errors import DamageError
from ..crypto.aead import Buffer, Sealer, damaged
from ..crypto.envelope import Envelope, seal_envelope
from ..crypto.keys import WriterKeys
from .pack_header import FRAME_TYPES, PackHeader, SessionKeys, typed

MAGIC = b"UDI1"
PURPOSE = "index"
MOST_CHUNKS = 1 << 21
"""The limit of a segment, unless a single pack has more."""
MOST_SESSIONS = 60_000
"""The limit of a segment: their numbers are u2."""
PREFIX_BYTES = 8
SUFFIX_BYTES = CHUNK_ID_BYTES - PREFIX_BYTES
_LARGEST_PACK = 1 << 32
_AT_ONCE = 1 << 16  # rows per step, so that checking a large segment does not fragment the memory

_PACKS = {"pack": "u1", "size": "u8", "frames": "u4"}
_CHUNKS = {"prefix": "u8", "suffix": "u1", "frame": "u4", "offset": "u4", "length": "u4"}


def name_of(digest: str) -> str:
    return f"index/{digest}"


def prefixes(ids: Array) -> Array:
    """ids: u1[n,32]. Their first 8 bytes as big-endian numbers, u8[n]."""
    prefix: Array = np.ascontiguousarray(ids[:, :PREFIX_BYTES]).view(">u8").ravel().astype("<u8")
    return prefix


class SortedIds(NamedTuple):
    """n ids, sorted by prefix: u8[n] and, as words of the other 24 bytes, u8[n,3]."""

    prefix: Array
    suffix: Array

    def sorted(self) -> SortedIds:
        order = np.argsort(self.prefix, kind="stable")
        return SortedIds(self.prefix[order], self.suffix[order])

    def find(self, prefix: Array, words: Array, wanted: Array) -> tuple[Array, Array]:
        """prefix: u8[m]; words: u8[m,4], all bytes of the ids; wanted: which of them to look for. Returns
        those found, and the row of the first match of each."""
        row = np.searchsorted(self.prefix, prefix[wanted])
        found: list[Array] = []
        rows: list[Array] = []
        while len(wanted):
            inside = row < len(self.prefix)
            if not inside.all():
                wanted, row = wanted[inside], row[inside]
            like = self.prefix[row] == prefix[wanted]
            wanted, row = wanted[like], row[like]
            same = (self.suffix[row] == words[wanted, 1:]).all(axis=1)
            found.append(wanted[same])
            rows.append(row[same])
            wanted, row = wanted[~same], row[~same] + 1
        return (np.concatenate(found), np.concatenate(rows)) if found else (wanted, wanted)


@dataclass(frozen=True)
class StoredPack:
    """A pack in the store. name: hex digest; size: of the object; header.session holds indexes into
    `sessions`."""

    name: str
    size: int
    header: PackHeader
    sessions: SessionKeys


@dataclass(frozen=True)
class IndexSegment:
    """p packs, f frames and n chunks in columns as above; pack and suffix are flat. `session` holds indexes
    into `sessions`."""

    pack: Array
    size: Array
    frames: Array
    stored: Array
    plain: Array
    codec: Array
    counter: Array
    session: Array
    prefix: Array
    suffix: Array
    frame: Array
    offset: Array
    length: Array
    sessions: SessionKeys

    def __len__(self) -> int:
        """The number of chunks."""
        return len(self.prefix)

    @staticmethod
    def of(packs: Sequence[StoredPack]) -> IndexSegment:
        """At most MOST_SESSIONS sessions; see `segments_of` for any number of packs."""
        numbers: dict[tuple[bytes, bytes], int] = {}
        headers = []
        for pack in packs:
            own = np.array([numbers.setdefault(s, len(numbers)) for s in pack.sessions], "<u2")
            headers.append(replace(pack.header, session=own[pack.header.session]))
        header = PackHeader.concat(headers)
        ids = header.id.reshape(-1, CHUNK_ID_BYTES)
        prefix = prefixes(ids)
        order = np.argsort(prefix, kind="stable")
        return IndexSegment(
            pack=np.frombuffer(bytearray(b"".join(bytes.fromhex(p.name) for p in packs)), "u1"),
            size=np.array([p.size for p in packs], "<u8"),
            frames=np.array([len(p.header.stored) for p in packs], "<u4"),
            **{name: getattr(header, name) for name in FRAME_TYPES},
            prefix=prefix[order],
            suffix=ids[order, PREFIX_BYTES:].ravel(),
            frame=header.frame_of_chunk()[order],
            offset=header.offset_of_chunk()[order],
            length=header.length[order],
            sessions=list(numbers),
        )

    @staticmethod
    def merge(parts: Sequence[IndexSegment]) -> IndexSegment:
        """parts: newest first; a pack that several list is taken once. The chunks of each part are sorted
        already, so a stable sort merges them."""
        parts = list(_without_duplicates(parts))
        if len(parts) == 1:
            return parts[0]
        numbers: dict[tuple[bytes, bytes], int] = {}
        session, frame, first = [], [], 0
        for part in parts:
            own = np.array([numbers.setdefault((s, k), len(numbers)) for s, k in part.sessions], "<u2")
            session.append(own[part.session])
            frame.append(part.frame + np.uint32(first))
            first += len(part.stored)
        order = np.argsort(np.concatenate([p.prefix for p in parts]), kind="stable")
        suffix = np.concatenate([p.suffix for p in parts]).reshape(-1, SUFFIX_BYTES)

        def end_to_end(name: str) -> Array:
            return np.concatenate([getattr(p, name) for p in parts])

        return IndexSegment(
            **{name: end_to_end(name) for name in (*_PACKS, "stored", "plain", "codec", "counter")},
            session=np.concatenate(session),
            prefix=end_to_end("prefix")[order],
            suffix=suffix[order].ravel(),
            frame=np.concatenate(frame)[order],
            offset=end_to_end("offset")[order],
            length=end_to_end("length")[order],
            sessions=list(numbers),
        )

    def only(self, chosen: Array) -> IndexSegment:
        """The segment without the packs where `chosen` (bool per pack) is false."""
        if chosen.all():
            return self
        frames = np.repeat(chosen, self.frames)
        chunks = frames[self.frame]
        renumbered = (np.cumsum(frames) - 1).astype(np.uint32)
        used, session = np.unique(self.session[frames], return_inverse=True)
        return IndexSegment(
            pack=self.pack.reshape(-1, 32)[chosen].ravel(),
            size=self.size[chosen],
            frames=self.frames[chosen],
            **{name: getattr(self, name)[frames] for name in ("stored", "plain", "codec", "counter")},
            session=session.astype("<u2"),
            prefix=self.prefix[chunks],
            suffix=self.suffix.reshape(-1, SUFFIX_BYTES)[chunks].ravel(),
            frame=renumbered[self.frame[chunks]],
            offset=self.offset[chunks],
            length=self.length[chunks],
            sessions=[self.sessions[i] for i in used.tolist()],
        )

    def encode(self) -> bytes:
        columns = {name: getattr(self, name) for name in (*_PACKS, *FRAME_TYPES, *_CHUNKS)}
        header = {"sessions": [[s.hex(), k.hex()] for s, k in self.sessions]}
        return encode(columns, header, level=None)

    def seal(self, sealer: Sealer, session: bytes) -> Buffer:
        return seal_envelope(MAGIC, sealer, session, self.encode())

    @staticmethod
    def open(keys: WriterKeys, data: bytes, name: str) -> IndexSegment:
        """name: of the object, for errors. Raises DamageError."""
        envelope = Envelope(MAGIC, data, name)
        block = envelope.open(keys.structure_of(envelope.session, name), keys.vault_bytes, PURPOSE)
        try:
            columns, block_header = decode(block)
            sessions = [(bytes.fromhex(s), bytes.fromhex(k)) for s, k in block_header["sessions"]]
            segment = IndexSegment(**typed(columns, {**_PACKS, **FRAME_TYPES, **_CHUNKS}), sessions=sessions)
            segment._check()
        except (DamageError, ValueError, KeyError, TypeError) as error:
            raise damaged(name, f"its columns are wrong ({error.args[0]})") from error
        return segment

    def _check(self) -> None:
        """Raises ValueError. The id of a chunk proves, when it is read, that its row is right."""
        packs, frames, chunks = len(self.size), len(self.stored), len(self)
        if len(self.pack) != packs * 32 or len(self.frames) != packs:
            raise ValueError("the pack columns differ in length")
        if int(self.frames.sum(dtype=np.int64)) != frames:
            raise ValueError("the number of frames does not match the packs")
        if packs and int(self.size.max()) >= _LARGEST_PACK:
            raise ValueError("a pack is too large")
        if {len(self.plain), len(self.codec), len(self.counter), len(self.session)} != {frames}:
            raise ValueError("the frame columns differ in length")
        if frames and int(self.session.max()) >= len(self.sessions):
            raise ValueError("a frame has an unknown session")
        lengths = {len(self.frame), len(self.offset), len(self.length), len(self.suffix) / SUFFIX_BYTES}
        if lengths != {chunks}:
            raise ValueError("the chunk columns differ in length")
        if chunks and int(self.frame.max()) >= frames:
            raise ValueError("a chunk has an unknown frame")
        for start in range(0, chunks, _AT_ONCE):
            part = self.prefix[start : start + _AT_ONCE + 1]
            if not (part[:-1] <= part[1:]).all():
                raise ValueError("the chunks are not sorted")

    def names(self) -> list[str]:
        """The names of the packs, as hex digests."""
        raw = self.pack.tobytes()
        return [raw[i : i + 32].hex() for i in range(0, len(raw), 32)]

    def packs(self) -> Iterator[StoredPack]:
        """Each pack as its own footer describes it."""
        order = np.argsort((self.frame.astype(np.uint64) << np.uint64(32)) | self.offset)
        per_frame = np.bincount(self.frame, minlength=len(self.stored)).astype("<u4")
        ends = np.cumsum(self.frames, dtype=np.int64)
        chunk = 0
        for name, size, end, count in zip(
            self.names(), self.size.tolist(), ends.tolist(), self.frames.tolist(), strict=True
        ):
            frames = slice(end - count, end)
            chunks = per_frame[frames]
            rows = order[chunk : chunk + int(chunks.sum(dtype=np.int64))]
            chunk += len(rows)
            used, session = np.unique(self.session[frames], return_inverse=True)
            header = PackHeader(
                **{n: getattr(self, n)[frames] for n in ("stored", "plain", "codec", "counter")},
                session=session.astype("<u2"),
                chunks=chunks,
                id=self.ids(rows).ravel(),
                length=self.length[rows],
            )
            yield StoredPack(name, size, header, [self.sessions[i] for i in used.tolist()])

    def ids(self, rows: Array | slice) -> Array:
        """u1[n,32]"""
        prefix = self.prefix[rows].astype(">u8").view(np.uint8).reshape(-1, PREFIX_BYTES)
        return np.concatenate([prefix, self.suffix.reshape(-1, SUFFIX_BYTES)[rows]], axis=1)


def _without_duplicates(segments: Iterable[IndexSegment]) -> Iterator[IndexSegment]:
    """The segments without packs that an earlier segment lists already. Two commits at the same time may
    merge the same segments."""
    seen: set[str] = set()
    for segment in segments:
        names = segment.names()
        yield segment.only(np.array([name not in seen for name in names], np.bool_))
        seen.update(names)


def segments_of(packs: Iterable[StoredPack]) -> Iterator[IndexSegment]:
    """Any number of packs, in as few segments as possible."""
    collected: list[StoredPack] = []
    chunks = sessions = 0
    for pack in packs:
        more = len(pack.header.length)
        if collected and (chunks + more > MOST_CHUNKS or sessions + len(pack.sessions) > MOST_SESSIONS):
            yield IndexSegment.of(collected)
            collected, chunks, sessions = [], 0, 0
        collected.append(pack)
        chunks, sessions = chunks + more, sessions + len(pack.sessions)
    if collected:
        yield IndexSegment.of(collected)
