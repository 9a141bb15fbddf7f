"""Work that continues after the command that started it has returned: a mount in the background.

The child writes to a pipe that it is ready, or why it failed; the parent waits for one of the two. So every
failure at the start is reported by the command itself. Later failures are for `work` to log.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

from ..model.errors import UndividedError


def run_detached(work: Callable[[Callable[[], None]], None], *, doing: str) -> int:
    """Runs work(ready) in a new process without this terminal. Returns the id of the process when it has
    called `ready`. Raises the UndividedError that `work` raised before that.

    No other thread may hold a lock: the child would inherit it locked.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_child(work, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        message = json.loads(pipe.read() or b'{"cause": "the process ended before it was ready"}')
    if message.get("ready"):
        return child
    os.waitpid(child, 0)
    raise UndividedError(message["cause"], doing=message.get("doing") or doing, hint=message.get("hint", ""))


def _run_child(work: Callable[[Callable[[], None]], None], pipe: int) -> None:
    """The child from its start to its end: never returns."""

    def ready() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.write(pipe, b'{"ready": true}')
        os.close(pipe)

    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.chdir("/")
        work(ready)
        code = 0
    except UndividedError as error:
        os.write(pipe, json.dumps({"cause": error.cause, "doing": error.doing, "hint": error.hint}).encode())
        code = error.exit_code
    finally:
        os._exit(code)
