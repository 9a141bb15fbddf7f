"""From image and WAL back to a database, and the proof that every frame was applied.

SQLite itself applies the frames to the image, as it does after a crash. It stops silently at the first frame
with a wrong checksum, so the number of frames that it found is compared with the number at the mark. Then the
database is checked.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ...model.errors import DamageError
from ..base import Source


def restore_database(source: Source, into: Path, name: str) -> None:
    """Makes `into`/`name` the database at the mark, with its WAL applied and its journal mode as it was.

    Raises DamageError when the database is not whole.
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
                _apply(connection, state["frames"], name)
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise DamageError(str(error).lower(), doing=f"restore {name}") from error
    if verdict != "ok":
        raise DamageError(f"the database is damaged: {verdict}", doing=f"restore {name}", hint=_HINT)


_HINT = "Run PRAGMA integrity_check on the original: it may have been damaged before."


def _apply(connection: sqlite3.Connection, frames: int, name: str) -> None:
    _busy, found, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if found != frames:
        raise DamageError(
            f"only {found} of {frames} frames of the WAL are whole",
            doing=f"restore {name}",
            hint="Recover another point, and run: undivided verify --read-data.",
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
