"""Small vaults for tests: points made of plain files, and their content read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..model.columns import Ragged
from ..model.entries import Entries, Entry, Layout
from ..model.log_kinds import LogKind
from ..vault.crypto.aead import TAG_BYTES
from ..vault.format.index_segment import StoredPack
from ..vault.format.pack_header import PackHeader
from ..vault.log.heads import latest_head
from ..vault.vault import CommitPlace, LogEntry, TimelineSegment, Vault, Writer

Files = Mapping[bytes, bytes]
TIMELINE = "0123456789abcdef"


def pieces(files: Files, size: int = 100_000) -> Iterator[tuple[int, memoryview, bool]]:
    """The files' bytes, as a producer passes them: in one buffer that is reused."""
    buffer = bytearray(size)
    for row, data in enumerate(files.values()):
        for start in range(0, max(1, len(data)), size):
            part = data[start : start + size]
            buffer[: len(part)] = part
            yield row, memoryview(buffer)[: len(part)], start + size >= len(data)


def segment(
    writer: Writer, files: Files, drop: Sequence[bytes] = (), layout: Layout = Layout.CONTENT
) -> TimelineSegment:
    """Stores the files. Returns the segment to commit."""
    content = writer.store(pieces(files), len(files), layout) if files else Ragged.empty(0)
    rows = [Entry(path, size=len(data)) for path, data in files.items()]
    return TimelineSegment(Entries.of(rows, content.tolist()), Ragged.of(list(drop)))


def protect(
    vault: Vault,
    point: str,
    files: Files,
    drop: Sequence[bytes] = (),
    *,
    timeline: str = TIMELINE,
    layout: Layout = Layout.CONTENT,
) -> LogEntry:
    """One point with one component, "site"."""
    with vault.writer() as writer:
        added = {timeline: segment(writer, files, drop, layout)}

        def body(place: CommitPlace) -> dict[str, Any]:
            before = latest_head(vault.commits, timeline)
            unchanged = before.sequence if before else 0
            sequence = unchanged if added[timeline].empty else place.number
            part = {"timeline": timeline, "sequence": sequence, "digest": place.digests[timeline]}
            return {"point": {"id": point, "components": {"site": part}}}

        return writer.commit(LogKind.POINT, added, body)


def contents(vault: Vault, at: int, timeline: str = TIMELINE) -> dict[bytes, bytes]:
    """Every file of a point, in bulk."""
    reader = vault.reader()
    state = reader.state(timeline, at)
    files = [bytearray(size) for size in state.size.tolist()]

    def write(row: int, offset: int, data: memoryview) -> None:
        files[row][offset : offset + len(data)] = data

    reader.bulk_restore(state.content, np.arange(len(state)), write)
    return dict(zip(state.path.tolist(), map(bytes, files), strict=True))


def contents_one_by_one(vault: Vault, at: int, timeline: str = TIMELINE) -> dict[bytes, bytes]:
    """The same, file by file."""
    reader = vault.reader()
    state = reader.state(timeline, at)
    paths = enumerate(state.path.tolist())
    return {path: b"".join(reader.read(state.chunks(row))) for row, path in paths}


def stored_pack(
    name: bytes, frames: Sequence[Sequence[bytes]], length: int, session: tuple[bytes, bytes]
) -> StoredPack:
    """A pack for an index: frames of chunk ids, all chunks of the same length, without compression."""
    sizes = [len(ids) * length for ids in frames]
    header = PackHeader(
        stored=np.array([size + TAG_BYTES for size in sizes], "<u4"),
        plain=np.array(sizes, "<u4"),
        codec=np.zeros(len(frames), "u1"),
        counter=np.arange(1, len(frames) + 1, dtype="<u8"),
        session=np.zeros(len(frames), "<u2"),
        chunks=np.array([len(ids) for ids in frames], "<u4"),
        id=np.frombuffer(b"".join(chunk for ids in frames for chunk in ids), np.uint8),
        length=np.full(sum(map(len, frames)), length, "<u4"),
    )
    return StoredPack(name.hex(), sum(sizes) + 1000, header, [session])
