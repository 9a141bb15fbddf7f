"""The first thing a newcomer sees works, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rigs import servers

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.real
def test_the_demo_ends_whole_and_leaves_nothing_behind() -> None:
    with servers.scratch() as place:
        done = subprocess.run(
            [sys.executable, "-m", "demo"],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(place)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Whole." in done.stdout
        assert list(place.iterdir()) == []
