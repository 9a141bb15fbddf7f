from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from undivided.host.lockfile import exclusive
from undivided.model.errors import UndividedError


def test_a_second_holder_is_refused_with_the_reason_until_the_first_has_left(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with exclusive(file, "protect shop", "it is busy"):
        refused = pytest.raises(UndividedError, match="protect shop: it is busy")
        with refused, exclusive(file, "protect shop", "it is busy"):
            raise AssertionError("two holders at once")
    with exclusive(file, "protect shop", "it is busy"):
        assert file.exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with exclusive(file, "hold", "busy"):
            os.write(writing, b"locked")
            signal.pause()
    assert os.read(reading, 6) == b"locked"
    with pytest.raises(UndividedError), exclusive(file, "hold", "busy"):
        raise AssertionError("two holders at once")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with exclusive(file, "hold", "busy"):
        pass
