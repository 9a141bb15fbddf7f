"""PostgreSQL 15 and newer: a base backup and its log, to a named restore point.

server.py         connections, what a server says of itself, errors
image.py          the base backup, from the replication protocol into the sink
wal.py, slot.py   the log: received byte by byte; what keeps it on the server until then
session.py        one part in a cut
hold.py           commits withheld, when another component is the one left unheld
configuration.py  the configuration, wherever it lies
restore.py        image and log to a data directory at exactly the mark
programs.py       PostgreSQL's programs and processes on this host
"""

from __future__ import annotations

from .driver import PostgreSQLDriver

__all__ = ["PostgreSQLDriver"]
