"""SQLite: held by the locks that every SQLite connection knows.

driver.py    the driver: who has databases open, what one says of itself, putting one back
session.py   a part in a cut, whichever of the two ways a database is written
wal.py       the way of write-ahead logging: image, WAL, and why the two are exact
rollback_journal.py   the way of the rollback journal
locks.py     SQLite's locks as a program without SQLite's locking can take them
image.py     the database file as bytes: what it is, whether it changed
rebuild.py   from image and WAL back to a database
"""

from __future__ import annotations

from .driver import SQLiteDriver

__all__ = ["SQLiteDriver"]
