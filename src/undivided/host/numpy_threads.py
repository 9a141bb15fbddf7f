"""Imports numpy without the threads of OpenBLAS.

OpenBLAS starts a thread per core when numpy is imported, and these threads spin while they wait: 80 ms of
processor time per run. The product never uses them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"


@contextmanager
def single_threaded_numpy() -> Iterator[None]:
    """A block in which numpy is imported. The variable is removed afterwards: the commands of a service that
    run later must not inherit it."""
    ours = _THREADS not in os.environ
    if ours:
        os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if ours:
            del os.environ[_THREADS]
