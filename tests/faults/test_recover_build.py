"""Fault: the recovering process is killed while a database's private server replays its log into the build.
The server that stays behind must not block the next run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from undivided.model.point import RecoveryPoint
from undivided.recovery.staging import PREFIX
from undivided.testing.shop import Shop, open_shop

pytestmark = pytest.mark.real
_TIMEOUT = 60.0


def builders(shop: Shop) -> list[psutil.Process]:
    """Servers that run on builds of this service."""
    roots = (str(shop.root), str(shop.stock.directory), str(shop.cache.directory))
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(PREFIX in word and any(root in word for root in roots) for word in words):
            found.append(process)
    return found


def killed_while_building(shop: Shop, point: RecoveryPoint, server: str) -> None:
    """A recovery in place, killed when that program runs on its build."""
    child = os.fork()
    if child == 0:
        try:
            shop.recover(point)
        finally:
            os._exit(77)
    until = time.monotonic() + _TIMEOUT
    while not any(server in Path((p.info["cmdline"] or [""])[0]).name for p in builders(shop)):
        assert time.monotonic() < until, f"{server} was not seen"
    os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_a_server_that_a_killed_build_left_does_not_block_the_next_run(server: str) -> None:
    with open_shop() as shop:
        shop.order(1)
        shop.order(2)
        point = shop.protect()
        shop.order(3)
        killed_while_building(shop, point, server)
        assert shop.seen() == [{1, 2, 3}] * 3
        result = shop.recover(point)
        assert result.ok, result.failure()
        assert shop.seen() == [{1, 2}] * 3
        until = time.monotonic() + _TIMEOUT
        while builders(shop):
            assert time.monotonic() < until, "a server still runs on a build"
            time.sleep(0.1)
