"""The physical limit: what the same kernels reach on all cores of this machine when nothing else is in the
way.

Backup: read, cut into chunks, keyed hash, and for chunks not seen before compress, encrypt and hash again
(the object name), with reused buffers and no bookkeeping. Restore: `cp`. Unchanged: a bare parallel walk
with stat (walk.py).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3
import pyfastcdc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from undivided.vault.format.frames import compress

BUFFER = 16 << 20


def backup_seconds(path: Path) -> float:
    """Seconds of the kernels flat out over a file, or over a tree's files joined: a thread per core, each
    with its own buffers, meeting the others only to take the next piece and to ask whether a chunk was
    seen."""
    pieces, seen, mutex = _pieces(path), set[bytes](), threading.Lock()

    def flat_out(number: int) -> None:
        chunker = pyfastcdc.FastCDC(1 << 20, min_size=256 << 10, max_size=4 << 20)
        cipher, count = AESGCM(bytes(32)), 0
        buffer, sealed = memoryview(bytearray(BUFFER)), memoryview(bytearray(8 << 20))
        while True:
            with mutex:
                piece = next(pieces, None)
            if piece is None:
                return
            filled = _fill(buffer, piece)
            for chunk in chunker.cut_buf(buffer[:filled]):
                plain = buffer[chunk.offset : chunk.offset + chunk.length]
                key = blake3.blake3(plain, key=bytes(32)).digest()
                with mutex:
                    if key in seen:
                        continue
                    seen.add(key)
                _, packed = compress(plain)
                count += 1
                nonce = number.to_bytes(4, "big") + count.to_bytes(8, "big")
                cipher.encrypt_into(nonce, packed, None, sealed[: len(packed) + 16])
                hashlib.sha256(sealed[: len(packed) + 16])

    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(flat_out, range(os.cpu_count() or 1)))
    return time.perf_counter() - begun


Piece = list[tuple[Path, int, int]]
"""What fills one buffer: (file, offset, length)."""


def _pieces(path: Path) -> Iterator[Piece]:
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.is_symlink()]
    piece: Piece = []
    room = BUFFER
    for file in files:
        size, place = file.stat().st_size, 0
        while place < size:
            length = min(room, size - place)
            piece.append((file, place, length))
            place, room = place + length, room - length
            if not room:
                yield piece
                piece, room = [], BUFFER
    if piece:
        yield piece


def _fill(buffer: memoryview, piece: Piece) -> int:
    filled = 0
    for file, offset, length in piece:
        with open(file, "rb", buffering=0) as source:
            source.seek(offset)
            filled += source.readinto(buffer[filled : filled + length])
    return filled


def copy_seconds(path: Path, into: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(["cp", "-a", str(path), str(into)], check=True)
    return time.perf_counter() - begun


def walk_seconds(path: Path) -> float:
    """A bare parallel walk with one stat an entry, as a program of its own."""
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("walk.py")), str(path)]
    begun = time.perf_counter()
    subprocess.run(program, check=True)
    return time.perf_counter() - begun
