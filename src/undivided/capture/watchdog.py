"""The watchdog: a process of its own that releases a held service when we no longer can.

While writers are held, our own death must not leave them held. Before the first hold this file is started as
a bare interpreter (no site, no package) and locks itself into memory. For each hold the holder sends over a
pipe how to undo it, and the watchdog opens at once all that the undo needs (a pidfd, a directory, a cgroup
file, a database connection). From then on releasing needs no exec, no open, no log and no page of a
filesystem that may be frozen.

It undoes everything when the pipe closes (the holder died), when the deadline passes, or on request. A holder
that is still silent a moment after the deadline is killed, because locks tied to its descriptors end only
with it. On the request "released" the watchdog leaves without doing anything.

Requests and replies are JSON lines: {"do": …} → {"ok": true, …} or {"ok": false, "cause": …}. The last reply
has the record of what was undone, and the holder logs it. If the holder is dead, the record goes to standard
error, after everything is released: writing it may block.
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
    """Undo steps, the newest hold last, and the moment when they become due.

    fired: the deadline passed before the holder reported the release. record: one sentence for each step that
    was run.
    """

    def __init__(self, holder: int) -> None:
        self.undo: list[tuple[str, Callable[[], object]]] = []
        self.deadline: float | None = None
        self.fired = False
        self.record: list[str] = []
        self.holder = holder
        self.process = os.pidfd_open(holder)

    def do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "arm":  # a later request replaces the deadline
                self.deadline = time.monotonic() + request["seconds"]
            case "resume":
                for pid in request["pids"]:
                    resume = partial(signal.pidfd_send_signal, os.pidfd_open(pid), signal.SIGCONT)
                    self.undo.append((f"resume process {pid}", resume))
            case "write":
                target, data = os.open(request["path"], os.O_WRONLY), request["data"].encode()
                name = f"write {request['data']} to {request['path']}"
                self.undo.append((name, partial(os.write, target, data)))
            case "thaw":
                root = os.open(request["path"], os.O_RDONLY | os.O_DIRECTORY)
                thaw = partial(fcntl.ioctl, root, FITHAW, 0)
                self.undo.append((f"thaw the filesystem of {request['path']}", thaw))
            case "postgresql":
                self._postgresql(request)
            case "undo" | "released" as last:
                if last == "undo":
                    self.release()
                return {"ok": True, "fired": self.fired, "record": self.record}
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

        self.undo.append(("run " + "; ".join(request["statements"]), undo))

    def release(self) -> None:
        """Undoes every hold, the last one first. A step that fails (a process that ended, a filesystem
        that is thawed already) does not keep the next one from running; the record has its failure."""
        for name, step in reversed(self.undo):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - recorded, and the next hold must still be undone
                self.record.append(f"{name}: {type(error).__name__}: {error}")
            else:
                self.record.append(f"{name}: done")
        self.undo.clear()

    def kill_holder(self) -> None:
        try:
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
        except OSError as error:
            self.record.append(f"kill process {self.holder}, which held the service: {error}")
        else:
            self.record.append(f"kill process {self.holder}, which held the service and did not answer: done")

    def print_record(self, reason: str) -> None:
        """To standard error, for the case that the holder can no longer log it."""
        lines = [reason, *self.record] if self.record else []
        with contextlib.suppress(OSError):  # a closed terminal
            os.write(2, "".join(f"undivided watchdog: {line}\n" for line in lines).encode())


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
                watchdog.print_record(f"process {holder} held the service past its deadline")
                return
            watchdog.fired = True
            watchdog.release()
            continue
        data = os.read(0, 1 << 16)
        if not data:
            watchdog.release()
            watchdog.print_record(f"process {holder} ended while it held the service")
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            try:
                answer = watchdog.do(request)
            except Exception as error:  # noqa: BLE001 - sent to the holder, which raises it
                answer = {"ok": False, "cause": f"{type(error).__name__}: {error}"}
            reply(answer)
            if request["do"] in ("undo", "released"):
                return


def reply(answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
