"""A receiver that acknowledges the log at once, until it withholds its acknowledgements.

It keeps no data: wal.py fetches the log. It only acknowledges, because a synchronous standby decides when
commits return.

To withhold, it stops reading. It is not enough to stop acknowledging: psycopg2 answers keepalives by itself,
and counts as flushed a message that begins where our last acknowledgement ended, so commits would return.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from typing import Any

from ...model.errors import SourceError
from .server import PostgreSQLServer, lsn, psycopg2, server_errors


class Standby:
    """Acknowledges at once, until it withholds. name: its application_name."""

    def __init__(self, server: PostgreSQLServer, name: str) -> None:
        library = psycopg2()
        walsender = server.replication(name)
        self._walsender = walsender
        self._turn = threading.Lock()
        """The receiving thread takes it for each message; `withhold` keeps it."""
        self._free = threading.Event()
        """Cleared by `withhold` while it waits for the turn: locks are not fair, and a busy stream would
        never leave it."""
        self._free.set()
        self._withheld = False
        self._closing = threading.Event()
        with server_errors(server.doing):
            self._cursor = walsender.cursor()
            self._cursor.execute("IDENTIFY_SYSTEM")
            _system, timeline, position, *_ = self._cursor.fetchone() or ()
            physical = library.extras.REPLICATION_PHYSICAL
            self._cursor.start_replication(slot_type=physical, start_lsn=position, timeline=timeline)
            self._acknowledge_up_to(lsn(position))
        self._thread = threading.Thread(target=self._follow, name="receiver", daemon=True)
        self._thread.start()

    def withhold(self, deadline: float, doing: str) -> None:
        """Acknowledges nothing after it returns. Raises SourceError at the deadline."""
        self._free.clear()
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._free.set()
            raise SourceError("our standby did not stop acknowledging in time", doing=doing)
        self._withheld = True

    def acknowledge(self) -> None:
        """Reads and acknowledges again, if it withheld."""
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
        # When the connection ends, commits keep waiting until release() or the watchdog undoes the hold. So
        # the hold still lasts, and the connection of the mark reports the server's error.
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
