"""The watchdog: a process of its own that lets a service go when we no longer can.

While writers are held, our own death must not leave them held. Before the first hold this file is started as
a bare interpreter (no site, no package), locks itself into memory, and is told over a pipe how to undo each
hold; for each it opens at once what it will need (a pidfd, a directory, a cgroup file, a database
connection). From then on releasing needs no exec, no open, no log and no page of a filesystem that may be
frozen.

It releases everything when the pipe closes (the holder died) or when the deadline passes; if the holder is
then still silent it is killed, because locks tied to its descriptors end only with it. Told "released", it
leaves without doing anything.

Requests and replies are JSON lines: {"do": …} → {"ok": true, …} or {"ok": false, "cause": …}.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

FITHAW = 0xC0045878
MCL_CURRENT_AND_FUTURE = 3
GRACE_SECONDS = 1.0


class WatchdogProcess:
    """Undo steps, last hold first, and the moment they become due."""

    def __init__(self, holder: int) -> None:
        self.undo: list[Callable[[], object]] = []
        self.deadline: float | None = None
        self.fired = False
        self.holder = os.pidfd_open(holder)

    def do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "arm":  # again: the newest deadline counts
                self.deadline = time.monotonic() + request["seconds"]
            case "resume":
                processes = [os.pidfd_open(pid) for pid in request["pids"]]
                self.undo += [partial(signal.pidfd_send_signal, p, signal.SIGCONT) for p in processes]
            case "write":
                target, data = os.open(request["path"], os.O_WRONLY), request["data"].encode()
                self.undo.append(lambda: os.write(target, data))
            case "thaw":
                root = os.open(request["path"], os.O_RDONLY | os.O_DIRECTORY)
                self.undo.append(lambda: fcntl.ioctl(root, FITHAW, 0))
            case "postgresql":
                self._postgresql(request)
            case "released":
                return {"ok": True, "fired": self.fired}
            case other:
                return {"ok": False, "cause": f"unknown request {other}"}
        return {"ok": True}

    def _postgresql(self, request: dict[str, Any]) -> None:
        sys.path[:] = request["path"]
        import psycopg2

        connection = psycopg2.connect(request["dsn"])
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT 1")

        def undo() -> None:
            for statement in request["statements"]:
                cursor.execute(statement)

        self.undo.append(undo)

    def release(self) -> None:
        """Everything, last hold first. One step's failure (a process gone, a filesystem thawed) must not keep
        the next from its release, and there is nobody left to tell."""
        self.fired = True
        for step in reversed(self.undo):
            with contextlib.suppress(Exception):
                step()
        self.undo.clear()

    def kill_holder(self) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.holder, signal.SIGKILL)


def lock_memory() -> bool:
    """Keeps every page of this process resident; False where the limit on locked memory is too small."""
    return bool(ctypes.CDLL(None).mlockall(MCL_CURRENT_AND_FUTURE) == 0)


def serve(holder: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    watchdog = WatchdogProcess(holder)
    reply({"ok": True, "locked": lock_memory()})
    pending = b""
    while True:
        due = None
        if watchdog.deadline is not None:
            due = max(0.0, watchdog.deadline + (GRACE_SECONDS if watchdog.fired else 0.0) - time.monotonic())
        readable, _, _ = select.select([0], [], [], due)
        if not readable:
            if watchdog.fired:
                watchdog.kill_holder()
                return
            watchdog.release()
            continue
        data = os.read(0, 1 << 16)
        if not data:
            watchdog.release()
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            try:
                answer = watchdog.do(request)
            except Exception as error:  # noqa: BLE001 - told to the holder, which raises it
                answer = {"ok": False, "cause": f"{type(error).__name__}: {error}"}
            reply(answer)
            if request["do"] == "released":
                return


def reply(answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
