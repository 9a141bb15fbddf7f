"""Our end of the watchdog: starts it, sends it how to undo each hold, and dismisses it.

A request returns only when the watchdog has opened all it needs, so a hold that follows is already covered.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ..model.errors import SourceError
from . import watchdog

_log = logging.getLogger(__name__)


class WatchdogClient:
    """A running watchdog process; implements drivers.base.Watchdog. Used as a context manager.

    locked: whether its memory is locked. fired: known after `released`: its deadline passed before that.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.locked = bool(self._answer()["locked"])
        self.fired = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def arm(self, seconds: float) -> None:
        """The watchdog undoes all holds after so many seconds from now, unless `released` comes first."""
        self._request({"do": "arm", "seconds": seconds})

    def resume(self, pids: Sequence[int]) -> None:
        self._request({"do": "resume", "pids": list(pids)})

    def write(self, path: str, data: bytes) -> None:
        self._request({"do": "write", "path": path, "data": data.decode()})

    def thaw(self, path: str) -> None:
        self._request({"do": "thaw", "path": path})

    def postgresql(self, dsn: str, statements: Sequence[str]) -> None:
        self._request({"do": "postgresql", "dsn": dsn, "statements": list(statements), "path": sys.path})

    def released(self) -> None:
        """We have released everything ourselves: the watchdog leaves without undoing anything."""
        if self._open:
            self._dismiss("released")

    def __enter__(self) -> WatchdogClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Right after any failure: a driver's own release may have failed, too.
        if not self._open:
            return
        try:
            self._dismiss("undo")
        except (SourceError, ValueError) as failure:
            # The pipe is closed now, and a watchdog that lives undoes everything because of that.
            _log.warning("the watchdog did not report what it undid: %s", failure)

    @property
    def _open(self) -> bool:
        return self._process.stdin is not None and not self._process.stdin.closed

    def _dismiss(self, how: str) -> None:
        """Ends the watchdog and logs what it undid."""
        try:
            answer = self._request({"do": how})
            while "record" not in answer:  # the reply to a request that an interrupt cut short
                answer = self._answer()
        finally:
            self._close()
        self.fired = bool(answer["fired"])
        level = logging.WARNING if self.fired else logging.INFO
        for step in answer["record"]:
            _log.log(level, "the watchdog undid a hold: %s", step)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._mutex:
            assert self._process.stdin
            try:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                raise self._died() from None
            answer = self._answer()
        if not answer["ok"]:
            raise SourceError(
                f"the watchdog could not prepare a release: {answer['cause']}", doing="quiesce the service"
            )
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _died(self) -> SourceError:
        return SourceError(
            "the watchdog process died",
            doing="quiesce the service",
            hint="Look in the kernel's log for an out-of-memory kill, then protect again.",
        )
