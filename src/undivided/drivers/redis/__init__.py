"""Redis and Valkey: an image and a log by replication, held by CLIENT PAUSE.

driver.py        the driver: finding, describing, starting and stopping servers
session.py       the session: pause, offset, stream up to the offset
replication.py   a replica that keeps bytes instead of keys
bgsave.py        the image forked by BGSAVE inside the pause, where replication is not permitted
restore.py       from image and stream back to a directory that a server starts on
resp.py          the wire protocol
"""

from __future__ import annotations

from .driver import RedisDriver

__all__ = ["RedisDriver"]
