"""A bare parallel walk with stat: the least that is needed to find out whether a tree has changed.

Run as a program of its own, in an interpreter that loads nothing else, so that its start counts as ours does.
A thread per core takes directories from one queue, lists them and asks for one stat an entry. Nothing is
kept.
"""

from __future__ import annotations

import os
import queue
import sys
import threading


def walk(root: str, threads: int) -> int:
    """Entries beneath."""
    waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    mutex, entries, unlisted = threading.Lock(), 0, 1
    waiting.put(root)

    def work() -> None:
        nonlocal entries, unlisted
        while (directory := waiting.get()) is not None:
            seen, below = 0, []
            with os.scandir(directory) as listed:
                for entry in listed:
                    entry.stat(follow_symlinks=False)
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
            with mutex:
                entries += seen
                unlisted += len(below) - 1
                done = not unlisted
            for path in below:
                waiting.put(path)
            if done:
                for _ in range(threads):
                    waiting.put(None)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return entries


if __name__ == "__main__":
    walk(sys.argv[1], os.cpu_count() or 1)
