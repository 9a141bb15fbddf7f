"""Signals that must not interrupt a few steps: an exception in the middle of them would lose a process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_after() -> Iterator[None]:
    """The handlers of SIGHUP, SIGINT and SIGTERM run after the block instead of inside it.

    Python runs handlers in the main thread, so in another thread there is nothing to delay. The signals are
    not blocked: a process that is started in the block would inherit that, and never end by them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: handler for number in _ENDING if callable(handler := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, catch)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in caught:
            signal.raise_signal(one)
