"""Every byte of one pack looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from ..model.columns import Array
from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError
from . import pack as packs
from .contents import ContentKeys
from .frames import FrameDecoder
from .keys import WriterKeys
from .pack import Footer, open_footer


@dataclass(frozen=True)
class Inspected:
    """ids: u1[n,32], the chunks that the footer names. broken: bool[n], whether each is something else."""

    ids: Array
    broken: Array


def inspect_pack(
    keys: WriterKeys, contents: ContentKeys | None, name: str, data: bytes, decoder: FrameDecoder
) -> Inspected:
    """Opens the footer, and with `contents` each frame and chunk. Raises DamageError when the footer is gone:
    then nothing in the pack can be found by the pack alone."""
    what = packs.name_of(name)
    footer = open_footer(keys, data, what)
    ids = footer.table.id.reshape(-1, CHUNK_ID_BYTES)
    broken = np.zeros(len(ids), np.bool_)
    if contents:
        _open_frames(keys, contents, footer, memoryview(data), decoder, broken, what)
    return Inspected(ids, broken)


def _open_frames(
    keys: WriterKeys,
    contents: ContentKeys,
    footer: Footer,
    data: memoryview,
    decoder: FrameDecoder,
    broken: Array,
    what: str,
) -> None:
    table = footer.table
    ids, lengths = table.id.tobytes(), table.length.tolist()
    columns = zip(
        table.stored.tolist(),
        table.plain.tolist(),
        table.codec.tolist(),
        table.counter.tolist(),
        table.session.tolist(),
        table.chunks.tolist(),
        strict=True,
    )
    at = chunk = 0
    for stored, plain, codec, counter, number, count in columns:
        session, sealed_key = footer.sessions[number]
        try:
            opener = contents.frames(session, sealed_key, what)
            opened = decoder.decode(opener, session, counter, codec, data[at : at + stored], plain, what)
        except DamageError:
            broken[chunk : chunk + count] = True
        else:
            place = 0
            for i in range(chunk, chunk + count):
                own = blake3(opened[place : place + lengths[i]], key=keys.id).digest()
                broken[i] = own != ids[i * CHUNK_ID_BYTES : (i + 1) * CHUNK_ID_BYTES]
                place += lengths[i]
        at += stored
        chunk += count
