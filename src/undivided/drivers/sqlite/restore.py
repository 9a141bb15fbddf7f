"""From image and WAL back to a database, and the proof that every frame was taken.

SQLite itself lays the frames over the image, as it does after a crash. It stops without a word at the first
frame whose checksum does not fit, so the count of frames it found is compared with the count at the mark;
and the database is checked before it is anybody's.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ...model.errors import DamageError
from ..base import Source


def rebuild(source: Source, into: Path, name: str) -> None:
    """Makes `into`/`name` the database at the mark, its WAL folded in, its journal mode as it was.

    Raises DamageError when it does not come out whole.
    """
    state = source.point.state
    source.extract(into, b"data")
    for suffix in ("", "-wal"):
        captured = into / (state["name"] + suffix)
        if captured.exists():
            os.rename(captured, into / (name + suffix))
    try:
        with contextlib.closing(sqlite3.connect(into / name, isolation_level=None)) as connection:
            if state["frames"]:
                _fold(connection, state["frames"], name)
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise DamageError(str(error).lower(), doing=f"rebuild {name}") from error
    if verdict != "ok":
        raise DamageError(f"the database is damaged: {verdict}", doing=f"rebuild {name}", hint=_HINT)


_HINT = "Run PRAGMA integrity_check on the original: it may have been damaged before."


def _fold(connection: sqlite3.Connection, frames: int, name: str) -> None:
    _busy, found, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if found != frames:
        raise DamageError(
            f"{found} of {frames} frames of the WAL are whole",
            doing=f"rebuild {name}",
            hint="See `undivided verify`.",
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
