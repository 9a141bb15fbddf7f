"""A receiver that acknowledges what it is sent at once, until it withholds.

It keeps nothing: the log itself is fetched by wal.py. It only answers, because whoever is a synchronous
standby decides when commits return.

Withholding is not reading. psycopg2 answers keepalives by itself, and counts as flushed a message that begins
where our last acknowledgement ended; so a receiver that reads on, and merely does not acknowledge, lets
commits go.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from typing import Any

from ...model.errors import SourceError
from .server import PostgreSQLServer, lsn, psycopg2, translated


class Standby:
    """Acknowledges at once, until it withholds. name: its application_name."""

    def __init__(self, server: PostgreSQLServer, name: str) -> None:
        library = psycopg2()
        walsender = server.replication(name)
        self._walsender = walsender
        self._turn = threading.Lock()
        """Taken for each message; whoever holds it withholds."""
        self._free = threading.Event()
        """Cleared by who wants the turn: locks are not fair, and a busy stream would never let go of it."""
        self._free.set()
        self._withheld = False
        self._closing = threading.Event()
        with translated(server.doing):
            self._cursor = walsender.cursor()
            self._cursor.execute("IDENTIFY_SYSTEM")
            _system, timeline, position, *_ = self._cursor.fetchone() or ()
            physical = library.extras.REPLICATION_PHYSICAL
            self._cursor.start_replication(slot_type=physical, start_lsn=position, timeline=timeline)
            self._acknowledge_up_to(lsn(position))
        self._thread = threading.Thread(target=self._follow, name="receiver", daemon=True)
        self._thread.start()

    def withhold(self, deadline: float, doing: str) -> None:
        """From its return on nothing is acknowledged. Raises SourceError at the deadline."""
        self._free.clear()
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._free.set()
            raise SourceError("the receiver did not stop in time", doing=doing)
        self._withheld = True

    def acknowledge(self) -> None:
        """Reads on, if it withheld."""
        if self._withheld:
            self._withheld = False
            self._turn.release()
            self._free.set()

    def close(self) -> None:
        self.acknowledge()
        self._closing.set()
        self._thread.join()
        self._walsender.close()

    def _follow(self) -> None:
        # When the connection ends here, commits keep waiting until the watchdog or release() undoes it: held
        # is still held, and the mark's own connection reports what is wrong with the server.
        with contextlib.suppress(psycopg2().Error):
            while not self._closing.is_set():
                self._free.wait()
                with self._turn:
                    message = self._cursor.read_message()
                    if message is not None:
                        self._acknowledge_up_to(message.data_start + len(message.payload))
                if message is None:
                    select.select([self._walsender], [], [], 0.05)

    def _acknowledge_up_to(self, position: int) -> None:
        arguments: dict[str, Any] = {"write_lsn": position, "flush_lsn": position, "apply_lsn": position}
        send: Any = self._cursor.send_feedback
        send(**arguments, force=True)
