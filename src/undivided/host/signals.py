"""Signals that end a run, and the processes that must end with it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_groups: set[int] = set()
"""Process groups that end when a signal ends the run."""
_received: list[int] = []
"""The signals so far. Not an Event: its lock would block a handler that interrupts another."""


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A handler: ends the process groups of `ended_with_us`, then raises KeyboardInterrupt.

    The exception alone would not reach another thread, and the main thread waits for that thread, which waits
    for its process.
    """
    _received.append(number)
    for group in tuple(_groups):
        _end(group)
    raise KeyboardInterrupt


@contextmanager
def ended_with_us(group: int) -> Iterator[None]:
    """A signal inside the block, or earlier, ends this process group, in whichever thread the block is."""
    _groups.add(group)
    try:
        if _received:
            _end(group)
        yield
    finally:
        _groups.discard(group)


def _end(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or runs as another user
        os.killpg(group, signal.SIGKILL)


@contextmanager
def signals_after() -> Iterator[None]:
    """The handlers of SIGHUP, SIGINT and SIGTERM run after the block instead of inside it: an exception in
    the middle of starting a process would lose the process.

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
