"""Writers of tokens, a process of their own: each token is committed and acknowledged before any names it as
its cause, and the next goes to a component chosen at random.

The journal has a line per acknowledged token: [component, token, nanoseconds since the epoch].

`python -m rigs.torture.writers HOME PORT PORT PORT THREADS`, ended by SIGTERM.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

from . import COMPONENTS, Ground

BREATH = 0.03
"""Seconds a writer waits between tokens, at most: a hundred points of history must stay small."""

Write = Callable[[int, str], object]


def hands(ground: Ground) -> dict[str, Write]:
    """One thread's ways of writing a token; each returns once the component has acknowledged it."""
    rows = ground.postgresql.connect().cursor()
    tables = ground.mariadb.connect("torture").cursor()
    keys = ground.redis.connect()
    book = ground.open_book()
    tree = socket.socket(socket.AF_UNIX)
    tree.connect(str(ground.scribe_socket))

    def write_file(token: int, cause: str) -> None:
        tree.sendall(f"{token} {cause}\n".encode())
        if tree.recv(1) != b".":
            raise ConnectionError("the scribe is gone")

    insert = "INSERT INTO tokens VALUES (%s, %s)"
    ways: tuple[Write, ...] = (
        lambda token, cause: rows.execute(insert, (token, cause)),
        lambda token, cause: tables.execute(insert, (token, cause)),
        lambda token, cause: keys.hset("tokens", str(token), cause),
        lambda token, cause: book.execute("INSERT INTO tokens VALUES (?, ?)", (token, cause)),
        write_file,
    )
    return dict(zip(COMPONENTS, ways, strict=True))


class Writers:
    def __init__(self, ground: Ground, journal: IO[str]) -> None:
        self.ground = ground
        self.journal = journal
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.latest = ["none"]
        """What was acknowledged last, the causes to choose from."""
        self.closing = threading.Event()

    def write(self, seed: int) -> None:
        chance = random.Random(seed)
        ways = hands(self.ground)
        while not self.closing.wait(chance.random() * BREATH):
            with self.lock:
                cause = chance.choice(self.latest)
            component = chance.choice([c for c in COMPONENTS if not cause.startswith(c)])
            token = next(self.numbers)
            ways[component](token, cause)
            with self.lock:
                self.journal.write(json.dumps([component, token, time.time_ns()]) + "\n")
                self.journal.flush()
                self.latest = [*self.latest[-3:], f"{component}:{token}"]


def fall(trouble: threading.ExceptHookArgs) -> None:
    """One writer's failure is everyone's: no test runs with fewer writers than it believes."""
    traceback.print_exception(trouble.exc_type, trouble.exc_value, trouble.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    home, *numbers = sys.argv[1:]
    rows, tables, keys, threads = map(int, numbers)
    ground = Ground(Path(home), (rows, tables, keys))
    with ground.journal.open("a") as journal:
        writers = Writers(ground, journal)
        signal.signal(signal.SIGTERM, lambda *_: writers.closing.set())
        threading.excepthook = fall
        crew = [threading.Thread(target=writers.write, args=(seed,)) for seed in range(threads)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()


if __name__ == "__main__":
    main()
