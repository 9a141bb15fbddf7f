"""Fault: the recovering process is killed, and so is the one that resumes after it. At every step the old
data is kept whole under a recognisable name, and the same recovery started again ends in the recovered
service."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from undivided.host.crashpoints import RECOVER
from undivided.model.point import RecoveryPoint
from undivided.recovery.execute import execute
from undivided.recovery.plan import make_plan
from undivided.recovery.result import RecoveryResult
from undivided.testing.portal import Portal

pytestmark = pytest.mark.slow


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    with Portal(tmp_path) as made:
        yield made


def recover(portal: Portal, point: RecoveryPoint) -> RecoveryResult:
    plan = make_plan(portal.service(), point, in_place=True)
    return execute(plan, portal.vault, state=portal.state, protect_first=portal.protect)


def dies_at(name: str, portal: Portal, point: RecoveryPoint) -> bool:
    """The recovery in a process of its own, which dies at that step; False when it ends without reaching it,
    all well."""
    child = os.fork()
    if child == 0:
        os.environ["UNDIVIDED_CRASH_AT"] = name
        code = 1
        try:
            code = 0 if recover(portal, point).ok else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), f"it neither died at {name} nor ended well: exit code {code}"
    return code != 0


def killed_at(name: str, portal: Portal, point: RecoveryPoint) -> None:
    assert dies_at(name, portal, point), f"{name} was not reached"


def rows(database: Path) -> set[int]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {number for (number,) in connection.execute("SELECT number FROM orders")}


def files(site: Path) -> set[int]:
    return {int(file.stem) for file in site.glob("orders/*.txt")}


def old_data_is_kept(portal: Portal, orders: frozenset[int] = frozenset((1, 2))) -> bool:
    """Whether exactly these orders are kept: at their place, or next to it under a recognisable name."""
    databases = [p for p in portal.live.glob("audit.db*") if not p.name.endswith(("-wal", "-shm"))]
    aside = [*portal.live.glob("site.before-*"), *portal.site.glob(".undivided-old.before-*")]
    sites = [portal.site, *aside]
    return any(rows(d) == orders for d in databases) and any(files(s) == orders for s in sites)


def two_orders(portal: Portal) -> RecoveryPoint:
    """A running service with an order after its point."""
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    return point


@pytest.mark.parametrize("name", RECOVER)
def test_killed_at_any_step_nothing_is_lost_and_the_next_run_ends_recovered(
    name: str, portal: Portal
) -> None:
    point = two_orders(portal)
    killed_at(name, portal, point)
    assert old_data_is_kept(portal)
    result = recover(portal, point)
    assert result.ok, result.failure()
    assert portal.orders() == {1}
    assert portal.answers()
    assert old_data_is_kept(portal)
    assert not list(portal.live.glob(".undivided-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a filesystem")
@pytest.mark.parametrize("name", ["recover.built", "recover.stopped", "recover.aside", "recover.installed"])
def test_killed_while_a_mount_point_is_exchanged_it_still_ends_recovered(name: str, portal: Portal) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(portal.site)], check=True)
    try:
        point = two_orders(portal)
        killed_at(name, portal, point)
        assert old_data_is_kept(portal)
        result = recover(portal, point)
        assert result.ok, result.failure()
        assert portal.orders() == {1}
        assert old_data_is_kept(portal)
    finally:
        portal.stop()
        subprocess.run(["umount", str(portal.site)], check=True)


def test_killed_at_one_step_after_the_other_it_still_ends_recovered(portal: Portal) -> None:
    point = two_orders(portal)
    for name in RECOVER:
        if name != "recover.first-built":  # by then everything is built, and is not built again
            killed_at(name, portal, point)
            assert old_data_is_kept(portal), name
    assert recover(portal, point).ok
    assert portal.orders() == {1}
    assert old_data_is_kept(portal)


INSTALLED = ("recover.installed", "recover.started")
BUILT = ("recover.built", "recover.stopped", "recover.aside", *INSTALLED)
PASSED = {
    *((first, "recover.first-built") for first in ("recover.first-built", *BUILT)),
    *((first, "recover.aside") for first in INSTALLED),
}
"""Pairs of steps whose second step may be skipped after a kill at the first: a complete build is not built
again (and both may be complete when the first is reported), an installed build is not installed again."""


@pytest.mark.parametrize("first", RECOVER)
def test_killed_and_killed_again_after_resuming_it_still_ends_recovered(first: str, portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    content = {file.name: file.read_bytes() for file in portal.site.glob("orders/*")}
    for number, second in enumerate(RECOVER, 2):
        portal.order(number)
        old = frozenset((1, number))
        killed_at(first, portal, point)
        assert old_data_is_kept(portal, old), f"first {first}"
        assert dies_at(second, portal, point) or (first, second) in PASSED, f"{second} after {first}"
        assert old_data_is_kept(portal, old), f"{second} after {first}"
        result = recover(portal, point)
        assert result.ok, (first, second, result.failure())
        assert portal.orders() == {1}
        assert {file.name: file.read_bytes() for file in portal.site.glob("orders/*")} == content
        assert portal.answers()
        assert old_data_is_kept(portal, old), f"{second} after {first}"
        assert not list(portal.live.glob(".undivided-*"))


def test_before_anything_is_stopped_the_service_has_not_noticed(portal: Portal) -> None:
    point = two_orders(portal)
    assert recover(portal, point).ok
    portal.order(3)
    for name in ("recover.planned", "recover.first-built", "recover.built"):
        killed_at(name, portal, point)
        assert portal.orders() == {1, 3}
        assert portal.answers()


def test_an_interrupted_recovery_builds_only_what_is_missing(portal: Portal) -> None:
    point = two_orders(portal)
    killed_at("recover.stopped", portal, point)
    result = recover(portal, point)
    assert result.ok
    assert {part.bytes for part in result.components.values()} == {0}
    assert result.first is not None
