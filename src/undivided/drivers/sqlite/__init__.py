"""SQLite: held by the locks that every SQLite connection respects.

driver.py             the driver: finding databases, describing one, exchanging one in place
session.py            the session, for both journal modes
wal.py                capture in WAL mode: image, WAL, and the argument why the two are exact
rollback_journal.py   capture in rollback journal mode
locks.py              SQLite's locks, taken without SQLite's library
image.py              the database file as bytes: its kind, whether it changed, how it is stored
restore.py            from image and WAL back to a database
"""

from __future__ import annotations

from .driver import SQLiteDriver

__all__ = ["SQLiteDriver"]
