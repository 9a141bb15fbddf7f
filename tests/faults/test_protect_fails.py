"""Fault: a component cannot be captured. Then there is no point: it is named, everybody is released, and what
the vault listed before is what it lists."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from undivided.testing.kiosk import Kiosk
from undivided.testing.redis import RedisServer

NO_POINT = 3


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    with Kiosk(tmp_path) as made:
        yield made.protected()


def refused(kiosk: Kiosk, component: str) -> str:
    """What a protection says that makes no point because of that component; nothing else has changed."""
    before = kiosk.points()
    said = kiosk.fails("protect", kiosk.service, code=NO_POINT)
    assert f"component {component}: " in said
    assert len(said.splitlines()) == 2 and said.splitlines()[1].startswith("HINT: "), said
    assert kiosk.points() == before
    kiosk.order()  # is acknowledged: nobody is held
    return said


def test_a_tree_that_is_gone_makes_no_point(kiosk: Kiosk) -> None:
    kiosk.site.rename(kiosk.site.with_name("moved"))
    assert str(kiosk.site) in kiosk.fails("protect", kiosk.service, code=NO_POINT)
    kiosk.site.with_name("moved").rename(kiosk.site)
    assert kiosk.recovered(kiosk.protect()) == kiosk.orders()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who may not read")
def test_a_file_that_may_not_be_read_makes_no_point(kiosk: Kiosk) -> None:
    """Not even root reads everything; whoever has given up that right reads nothing of others."""
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
    assert len(kiosk.points()) == 1
    kiosk.order()


def test_a_database_that_is_gone_makes_no_point(kiosk: Kiosk) -> None:
    kiosk.database.rename(kiosk.database.with_name("moved"))
    assert "orders.db" in refused(kiosk, "db")


def test_a_file_that_is_no_database_makes_no_point(kiosk: Kiosk) -> None:
    other = kiosk.home / "other.db"
    other.write_bytes(b"not a database at all" * 400)
    kiosk.file.write_text(kiosk.file.read_text().replace(str(kiosk.database), str(other)))
    kiosk("service", "apply", kiosk.file)
    refused(kiosk, "db")


def test_a_database_that_stays_locked_makes_no_point(kiosk: Kiosk) -> None:
    kiosk.file.write_text(kiosk.file.read_text() + "policy: {pause: 500ms}\n")
    kiosk("service", "apply", kiosk.file)
    with closing(sqlite3.connect(kiosk.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        said = kiosk.fails("protect", kiosk.service, code=NO_POINT)
        assert "component db" in said
        assert "HINT: " in said
        other.rollback()
    kiosk.order()
    assert len(kiosk.points()) == 1


def test_writers_that_are_not_there_make_no_point(kiosk: Kiosk) -> None:
    (kiosk.home / kiosk.service / "pid").unlink()
    refused(kiosk, "site")


@pytest.mark.real
def test_a_server_that_is_down_makes_no_point(kiosk: Kiosk) -> None:
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server")
    with RedisServer() as redis:
        file = kiosk.file.read_text()
        cache = f"  cache: {{kind: redis, socket: {redis.socket}}}\n"
        kiosk.file.write_text(file.replace("needs:", cache + "needs:"))
        kiosk("service", "apply", kiosk.file)
        kiosk.protect()
        redis.kill()
        refused(kiosk, "cache")
        redis.start()
        assert kiosk.recovered(kiosk.protect()) == kiosk.orders()
