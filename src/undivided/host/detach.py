"""Work that goes on when the command that began it has returned: a mount in the background.

The child tells by a pipe that it is ready, or why it never will be; until one of the two the parent waits.
So whoever began it learns of every failure that he can still do something about.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

from ..model.errors import UndividedError


def detached(work: Callable[[Callable[[], None]], None], *, doing: str) -> int:
    """Runs work(ready) in a process of its own, apart from this terminal, and returns its id once it has
    called `ready`. Raises UndividedError with what work raised before that.

    No other thread may be in the midst of something: the child would inherit its locks.
    """
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _become(work, telling)
    os.close(telling)
    with open(told, "rb") as pipe:
        message = json.loads(pipe.read() or b'{"cause": "it ended before it was ready"}')
    if message.get("ready"):
        return child
    os.waitpid(child, 0)
    raise UndividedError(message["cause"], doing=message.get("doing") or doing, hint=message.get("hint", ""))


def _become(work: Callable[[Callable[[], None]], None], telling: int) -> None:
    """The child, from here to its end."""

    def ready() -> None:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        os.write(telling, b'{"ready": true}')
        os.close(telling)

    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.chdir("/")
        work(ready)
        code = 0
    except UndividedError as error:
        os.write(
            telling, json.dumps({"cause": error.cause, "doing": error.doing, "hint": error.hint}).encode()
        )
        code = error.exit_code
    finally:
        os._exit(code)
