"""Our end of the watchdog: starts it, tells it how to undo each hold, and lets it go.

A request returns only when the watchdog has opened all it needs, so a hold that follows is already covered.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ..model.errors import SourceError
from . import watchdog


class WatchdogClient:
    """A running watchdog process; implements drivers.base.Guard. Used as a context manager.

    locked: whether its memory is locked. fired: known after `released`: it acted before we did.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.locked = bool(self._answer()["locked"])
        self.fired = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def arm(self, seconds: float) -> None:
        """From now on everything told is undone after so many seconds, unless `released` comes first."""
        self._ask({"do": "arm", "seconds": seconds})

    def resume(self, pids: Sequence[int]) -> None:
        self._ask({"do": "resume", "pids": list(pids)})

    def write(self, path: str, data: bytes) -> None:
        self._ask({"do": "write", "path": path, "data": data.decode()})

    def thaw(self, path: str) -> None:
        self._ask({"do": "thaw", "path": path})

    def postgresql(self, dsn: str, statements: Sequence[str]) -> None:
        self._ask({"do": "postgresql", "dsn": dsn, "statements": list(statements), "path": sys.path})

    def released(self) -> None:
        """All is released by ourselves: the watchdog leaves."""
        if not self._process.stdin or self._process.stdin.closed:
            return
        self.fired = bool(self._ask({"do": "released"})["fired"])
        self._close()

    def __enter__(self) -> WatchdogClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing the pipe without a word makes the watchdog release everything: right after any failure.
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._mutex:
            assert self._process.stdin
            try:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                raise self._gone() from None
            answer = self._answer()
        if not answer["ok"]:
            raise SourceError(
                f"the watchdog could not prepare a release: {answer['cause']}", doing="hold the service"
            )
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _gone(self) -> SourceError:
        return SourceError(
            "the watchdog process died",
            doing="hold the service",
            hint="Nothing stays held without it. Look for an out-of-memory kill, then protect again.",
        )
