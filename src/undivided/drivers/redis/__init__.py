"""Redis and Valkey: an image and a log by replication, held by CLIENT PAUSE.

driver.py    the driver: who runs, what it says, start and stop
session.py   a part in a cut: pause, offset, stream up to the offset
replication.py     a replica that keeps bytes instead of keys
bgsave.py    the image forked inside the pause, where replication is not permitted
rebuild.py   from image and stream back to a directory that a server starts on
resp.py      the wire protocol
"""

from __future__ import annotations

from .driver import RedisDriver

__all__ = ["RedisDriver"]
