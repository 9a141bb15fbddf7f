"""The index: where each chunk lies. Segments in the vault, sorted columns in memory.

A segment is the footers of one commit's packs, joined, so that opening a vault reads a few objects instead of
every pack. In memory a chunk costs 44 bytes in columns sorted by the first 8 bytes of its id; a lookup takes
many ids at once and is two numpy calls. A chunk stored twice is found in its newest place: that is how
protecting again heals a damaged pack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.columns import Array, decode, encode
from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError
from .keys import WriterKeys
from .seal import Sealer, damaged
from .sealed import SealedObject, seal_object
from .table import Table

MAGIC = b"UDI1"
PURPOSE = "index"


def name_of(digest: str) -> str:
    return f"index/{digest}"


@dataclass(frozen=True)
class Segment:
    """p packs and their joined tables. pack: u1[32p] names; size u8[p]; frames u4[p]; session u2[p] indexes
    `sessions`, pairs of (session, its sealed content key)."""

    pack: Array
    size: Array
    frames: Array
    session: Array
    sessions: Sequence[tuple[bytes, bytes]]
    table: Table

    def encode(self) -> bytes:
        packs = {"pack": self.pack, "size": self.size, "frames": self.frames, "session": self.session}
        header = {"sessions": [[s.hex(), k.hex()] for s, k in self.sessions]}
        return encode({**packs, **self.table.columns()}, header, level=1)

    def seal(self, sealer: Sealer, session: bytes) -> bytes:
        return seal_object(MAGIC, sealer, session, self.encode())

    @staticmethod
    def open(keys: WriterKeys, data: bytes, what: str) -> Segment:
        """Raises DamageError naming `what`."""
        block = SealedObject(MAGIC, data, what).open(keys.structure, keys.vault_bytes, PURPOSE)
        try:
            columns, header = decode(block)
            own = [columns[name] for name in ("pack", "size", "frames", "session")]
            pack, size, frames, session = (c for c in own if isinstance(c, np.ndarray))
            sessions = [(bytes.fromhex(s), bytes.fromhex(k)) for s, k in header["sessions"]]
            table = Table.of(columns)
        except (DamageError, ValueError, KeyError, TypeError) as error:
            raise damaged(what, f"its columns are wrong ({error.args[0]})") from error
        count = len(size)
        fits = len(pack) == count * 32 and len(frames) == len(session) == count
        if (
            not fits
            or int(frames.sum()) != len(table.stored)
            or (count and int(session.max()) >= len(sessions))
        ):
            raise damaged(what, "its columns do not fit together")
        return Segment(pack, size, frames, session, sessions, table)

    def names(self) -> list[str]:
        """The packs, as hex digests."""
        raw = self.pack.tobytes()
        return [raw[i : i + 32].hex() for i in range(0, len(raw), 32)]


@dataclass(frozen=True)
class Place:
    """A frame: where it lies and what it takes to open it."""

    pack: str
    offset: int
    stored: int
    plain: int
    codec: int
    counter: int
    session: bytes
    sealed_key: bytes


class Index:
    """Segments merged for lookup. Immutable, hence thread-safe.

    Rows are chunks, sorted by the first 8 bytes of the id and within equals newest first. frame, offset,
    length: u4 per row. Frames are numbered through all segments.
    """

    def __init__(
        self,
        segments: Iterable[Segment],
        unusable: frozenset[str] = frozenset(),
        doubtful: frozenset[str] = frozenset(),
    ) -> None:
        """segments: newest first. unusable: packs (hex digests) whose chunks are left out; doubtful: those
        that
        are the last choice."""
        segments = list(segments)
        table = Table.concat([s.table for s in segments])
        self.packs = [name for s in segments for name in s.names()]
        self.sizes = np.concatenate([np.zeros(0, "<u8"), *(s.size for s in segments)])
        self._sessions: list[tuple[bytes, bytes]] = []
        sessions: list[Array] = [np.zeros(0, np.int64)]
        for s in segments:
            sessions.append(s.session.astype(np.int64) + len(self._sessions))
            self._sessions += s.sessions
        self._session = np.concatenate(sessions)
        frames = np.concatenate([np.zeros(0, "<u4"), *(s.frames for s in segments)])
        self.pack_of_frame = np.repeat(np.arange(len(frames), dtype=np.uint32), frames)
        ends = np.cumsum(table.stored, dtype=np.int64)
        firsts = np.concatenate([np.zeros(1, np.int64), ends])[np.cumsum(frames, dtype=np.int64) - frames]
        self.frame_offset = ends - table.stored - np.repeat(firsts, frames)
        self.stored, self.plain, self.codec, self.counter = (
            table.stored,
            table.plain,
            table.codec,
            table.counter,
        )

        ids = table.id.reshape(-1, CHUNK_ID_BYTES)
        prefix = np.ascontiguousarray(ids[:, :8]).view(">u8").ravel().astype(np.uint64)
        frame = table.frame_of_chunk()
        if doubtful:
            order = np.lexsort((self._in(doubtful)[frame], prefix))
        else:
            order = np.argsort(prefix, kind="stable")
        if unusable:
            order = order[~self._in(unusable)[frame[order]]]
        self._prefix = prefix[order]
        self._rest = ids[order, 8:]
        self.frame = frame[order]
        self.offset = table.place_of_chunk()[order]
        self.length = table.length[order]

    def __len__(self) -> int:
        return len(self._prefix)

    def _in(self, chosen: frozenset[str]) -> Array:
        """bool per frame: whether it lies in one of these packs."""
        of_pack = np.array([name in chosen for name in self.packs], np.bool_)
        of_frame: Array = of_pack[self.pack_of_frame]
        return of_frame

    def find(self, ids: Array) -> Array:
        """ids: u1[32n], flat. The row of each, i8[n], -1 where it is unknown."""
        wanted = ids.reshape(-1, CHUNK_ID_BYTES)
        if not len(self):
            return np.full(len(wanted), -1, np.int64)
        prefix = np.ascontiguousarray(wanted[:, :8]).view(">u8").ravel().astype(np.uint64)
        row = np.searchsorted(self._prefix, prefix).astype(np.int64)
        open_ = np.arange(len(wanted))
        found = np.full(len(wanted), -1, np.int64)
        while len(open_):
            open_ = open_[row[open_] < len(self)]
            open_ = open_[self._prefix[row[open_]] == prefix[open_]]
            same = (self._rest[row[open_]] == wanted[open_, 8:]).all(axis=1)
            found[open_[same]] = row[open_[same]]
            open_ = open_[~same]
            row[open_] += 1
        return found

    def place(self, frame: int) -> Place:
        pack = int(self.pack_of_frame[frame])
        session, sealed_key = self._sessions[int(self._session[pack])]
        return Place(
            pack=self.packs[pack],
            offset=int(self.frame_offset[frame]),
            stored=int(self.stored[frame]),
            plain=int(self.plain[frame]),
            codec=int(self.codec[frame]),
            counter=int(self.counter[frame]),
            session=session,
            sealed_key=sealed_key,
        )

    def ids(self) -> Array:
        """u1[n, 32], in order of rows."""
        prefix = self._prefix.astype(">u8").view(np.uint8).reshape(-1, 8)
        return np.concatenate([prefix, self._rest], axis=1)
