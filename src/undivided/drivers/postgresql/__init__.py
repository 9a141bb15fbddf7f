"""PostgreSQL 15 and newer: a base backup and its log, up to a named restore point.

server.py                 connections, the facts about a server, errors
image.py                  the base backup, from the replication protocol into the sink
wal.py, slot.py           the log, received byte by byte; the slots that keep it on the server until then
session.py                the session in a cut
sync_hold.py, standby.py  a hold that withholds acknowledgements, for when another component is the unheld one
configuration.py          the configuration files, wherever they lie
restore.py                from image and log to a data directory at exactly the mark
programs.py               PostgreSQL's programs and processes on this host
"""

from __future__ import annotations

from .driver import PostgreSQLDriver

__all__ = ["PostgreSQLDriver"]
