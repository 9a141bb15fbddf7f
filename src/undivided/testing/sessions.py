"""Sessions over real processes, for tests of the cut: the application is a counter process, held by SIGSTOP.

`Counter` is a real writer: a process that appends numbers to a file as fast as it can. While it is held, the
file does not grow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..drivers.base import Sink, Watchdog
from ..model.errors import SourceError
from ..model.point import Consistency, Position

_WRITE = """
import os, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
n = 0
while True:
    n += 1
    os.write(out, b"%d\\n" % n)
"""


class Counter:
    """A running writer process. The end of the context kills it, even while it is stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _WRITE, str(path)])
        self.wait_until_growing()

    @property
    def pid(self) -> int:
        return self.process.pid

    def growing(self, seconds: float = 0.1) -> bool:
        """Whether the file grows within the given time."""
        before, until = self._size(), time.monotonic() + seconds
        while time.monotonic() < until:
            if self._size() > before:
                return True
            time.sleep(0.002)
        return False

    def wait_until_growing(self, seconds: float = 20.0) -> None:
        assert self.growing(seconds), f"{self.path} does not grow"

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def __enter__(self) -> Counter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()


class StoppedSession:
    """Holds a counter by SIGSTOP; its position is the counter's file size."""

    consistency = Consistency.CRASH

    def __init__(self, counter: Counter, *, holds: bool = True) -> None:
        self.counter = counter
        self.holds = holds
        self.fails: str | None = None
        self.late: float = 0.0
        """Extra seconds that the hold takes."""
        self.seen: list[str] = []

    def prepare(self, sink: Sink) -> None:
        self.seen.append("prepare")

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        self.seen.append("arm")

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        self.seen.append("hold")
        watchdog.resume([self.counter.pid])
        time.sleep(self.late)
        os.kill(self.counter.pid, signal.SIGSTOP)
        if self.fails == "hold":
            raise SourceError("the process cannot be held")

    def mark(self, point: str) -> Position:
        self.seen.append("mark")
        if self.fails == "mark":
            raise SourceError("the process has no position")
        size = self.counter.path.stat().st_size
        return Position(str(size), (size,))

    def release(self) -> None:
        self.seen.append("release")
        os.kill(self.counter.pid, signal.SIGCONT)

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        return {}

    def committed(self) -> None:
        return

    def close(self) -> None:
        return
