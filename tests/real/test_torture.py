"""Five kinds of component written to at once, points taken under that load, each recovered and examined.

The law: no effect without its cause, ever; and nothing lost that was acknowledged before the point.
UNDIVIDED_TORTURE_POINTS is the number of points; `make torture` takes a hundred.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo.command import Undivided
from rigs import servers, torture
from rigs.torture import Ground

from undivided.testing.ports import free_ports

POINTS = int(os.environ.get("UNDIVIDED_TORTURE_POINTS", "10"))
THREADS = 8

pytestmark = [pytest.mark.real, pytest.mark.timeout(300 + 30 * POINTS)]


@pytest.fixture
def place() -> Iterator[Path]:
    servers.needs("mariadbd", "mariadb-backup", "redis-server", str(servers.POSTGRESQL / "postgres"))
    with servers.scratch() as place:
        yield place


@pytest.fixture
def ground(place: Path) -> Ground:
    """The five, running."""
    ground = Ground(place / "here", ports())
    ground.create()
    return ground


def ports() -> tuple[int, int, int]:
    one, two, three = free_ports(3)
    return one, two, three


@contextlib.contextmanager
def writers_at_work(ground: Ground) -> Iterator[None]:
    """Writers of tokens and the scribe. The block starts when tokens flow and must not outlive them."""
    here = Path(__file__).parent
    scribe: list[str | Path] = [ground.tree, ground.scribe_socket, ground.scribe_pid]
    crew: list[str | Path] = [ground.home, *map(str, ground.ports), str(THREADS)]
    # The family ends the processes that are left, so a failure inside must not wait for them.
    with servers.family():
        subprocess.Popen([sys.executable, "-m", "rigs.torture.scribe", *scribe], cwd=here)
        servers.until(ground.scribe_socket.exists, "the scribe")
        writers = subprocess.Popen([sys.executable, "-m", "rigs.torture.writers", *crew], cwd=here)
        servers.until(lambda: flowing(ground, THREADS * 10), "the first tokens")
        yield
        assert writers.poll() is None, "the writers fell"
        writers.terminate()
        assert writers.wait(60) == 0


def flowing(ground: Ground, count: int) -> bool:
    return ground.journal.exists() and ground.journal.read_bytes().count(b"\n") >= count


def service_of(ground: Ground) -> dict[str, Any]:
    kinds = {"rows": "postgresql", "tables": "mariadb", "keys": "redis", "book": "sqlite", "tree": "files"}
    components = {name: {"kind": kinds[name], **options} for name, options in ground.where().items()}
    components["tree"]["writers"] = {"pidfile": str(ground.scribe_pid), "freeze": "stop"}
    return {"service": "torture", "components": components}


def recovered_and_examined(
    undivided: Undivided, point: dict[str, Any], journal: Path, place: Path
) -> list[str]:
    """What is wrong with a point: it is recovered, started, read, and removed again."""
    ground = Ground(place, ports())
    ground.configure()
    target = place / "target.yaml"
    target.write_text(yaml.safe_dump(ground.where()))
    try:
        undivided("recover", "torture", "--at", point["point"], "--target", target, "--start")
        tokens = ground.tokens()
        instant = datetime.fromisoformat(point["time"]).timestamp() * 1e9
        return torture.broken(tokens) + torture.lost(tokens, journal, instant)
    finally:
        servers.end_below(place)
        shutil.rmtree(place)


def test_what_is_read_at_different_instants_breaks_the_law(ground: Ground) -> None:
    """The law has teeth: the same five, read live one after the other, are found out, if not at once."""
    with writers_at_work(ground):
        servers.until(lambda: bool(torture.broken(ground.tokens())), "a reading that breaks the law")
    assert torture.broken(ground.tokens()) == []


def test_no_point_taken_under_load_has_an_effect_without_its_cause(ground: Ground, place: Path) -> None:
    undivided = Undivided(place / "undivided")
    undivided("init", "--vault", undivided.vault)
    service = place / "torture.yaml"
    service.write_text(yaml.safe_dump(service_of(ground)))
    undivided("service", "apply", service)
    with writers_at_work(ground):
        points = [undivided("protect", "torture") for _ in range(POINTS)]
    servers.end_below(ground.home)

    wrong = []
    for number, point in enumerate(points):
        findings = recovered_and_examined(undivided, point, ground.journal, place / f"there-{number}")
        wrong += [f"point {point['point']}: {finding}" for finding in findings]
    assert wrong == []
