"""Fault: a component cannot be captured. Then there is no point: the component is named, all components are
released, and the vault lists the same points as before."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from undivided.testing.kiosk import Kiosk
from undivided.testing.redis import RedisServer

NO_POINT = 3


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """Shared: each test removes its fault at the end."""
    with Kiosk(tmp_path_factory.mktemp("kiosk")) as made:
        yield made.protected()


@contextmanager
def away(path: Path) -> Iterator[None]:
    """While it lasts, the path does not exist."""
    moved = path.with_name("moved")
    path.rename(moved)
    try:
        yield
    finally:
        moved.rename(path)


@contextmanager
def applied(kiosk: Kiosk, old: str, new: str) -> Iterator[None]:
    """While it lasts, the service file is changed."""
    before = kiosk.file.read_text()
    kiosk.file.write_text(before.replace(old, new))
    try:
        kiosk("service", "apply", kiosk.file)
        yield
    finally:
        kiosk.file.write_text(before)
        kiosk("service", "apply", kiosk.file)


def refused(kiosk: Kiosk, component: str) -> str:
    """The message of a protection that makes no point because of that component; nothing has changed."""
    before = kiosk.cataloged()
    said = kiosk.fails("protect", kiosk.service, code=NO_POINT)
    assert f"component {component}: " in said
    assert len(said.splitlines()) == 2 and said.splitlines()[1].startswith("HINT: "), said
    assert kiosk.points() == before
    kiosk.order()  # is acknowledged: no component is held
    return said


def test_a_tree_that_is_gone_makes_no_point(kiosk: Kiosk) -> None:
    with away(kiosk.site):
        assert str(kiosk.site) in kiosk.fails("protect", kiosk.service, code=NO_POINT)
    assert kiosk.recovered(kiosk.protect()) == kiosk.orders()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop the right to read")
def test_a_file_that_may_not_be_read_makes_no_point(kiosk: Kiosk) -> None:
    """Root can drop the right to read the files of others; then this file cannot be read."""
    before = kiosk.cataloged()
    secret = kiosk.site / "orders" / "1.txt"
    secret.chmod(0)
    os.chown(secret, 12345, 12345)
    command = [sys.executable, "-m", "undivided", "protect", kiosk.service]
    unprivileged = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    done = subprocess.run(unprivileged, env=kiosk.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == NO_POINT, done.stderr
    assert "component site: " in done.stderr
    assert "orders/1.txt" in done.stderr
    assert "HINT: " in done.stderr
    assert kiosk.points() == before
    secret.chmod(0o644)
    os.chown(secret, 0, 0)
    kiosk.order()


def test_a_database_that_is_gone_makes_no_point(kiosk: Kiosk) -> None:
    with away(kiosk.database):
        assert "orders.db" in refused(kiosk, "db")


def test_a_file_that_is_no_database_makes_no_point(kiosk: Kiosk) -> None:
    other = kiosk.home / "other.db"
    other.write_bytes(b"not a database at all" * 400)
    with applied(kiosk, str(kiosk.database), str(other)):
        refused(kiosk, "db")


def test_a_database_that_stays_locked_makes_no_point(kiosk: Kiosk) -> None:
    before = kiosk.cataloged()
    short = applied(kiosk, "needs:", "policy: {pause: 500ms}\nneeds:")
    with short, closing(sqlite3.connect(kiosk.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        said = kiosk.fails("protect", kiosk.service, code=NO_POINT)
        assert "component db" in said
        assert "HINT: " in said
        other.rollback()
    kiosk.order()
    assert kiosk.points() == before


def test_writers_that_are_not_there_make_no_point(kiosk: Kiosk) -> None:
    with away(kiosk.home / kiosk.service / "pid"):
        refused(kiosk, "site")


@pytest.mark.real
def test_a_server_that_is_down_makes_no_point(kiosk: Kiosk) -> None:
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server")
    with (
        RedisServer() as redis,
        applied(kiosk, "needs:", f"  cache: {{kind: redis, socket: {redis.socket}}}\nneeds:"),
    ):
        kiosk.protect()
        redis.kill()
        refused(kiosk, "cache")
        redis.start()
        assert kiosk.recovered(kiosk.protect()) == kiosk.orders()
