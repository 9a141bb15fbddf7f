"""Importing numpy without its linear algebra's threads.

Nothing of ours uses that algebra, and it starts a thread per core when it is imported, which spins while it
waits for work: 80 ms of processor time a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"


@contextmanager
def single_threaded_numpy() -> Iterator[None]:
    """numpy is imported in here. The setting is for us alone, not for what a service's own commands start
    later."""
    ours = _THREADS not in os.environ
    if ours:
        os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if ours:
            del os.environ[_THREADS]
