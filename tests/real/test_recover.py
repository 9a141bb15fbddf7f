"""Real databases recovered as one service: where they live, and on other ports next to their originals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from undivided.drivers.redis.resp import RedisAddress, RedisConnection
from undivided.drivers.registry import driver_for
from undivided.model.errors import UsageError
from undivided.recovery.plan import make_plan
from undivided.testing.ports import free_port
from undivided.testing.shop import Shop, open_shop

pytestmark = pytest.mark.real


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


def test_three_databases_come_back_in_place_to_one_instant(shop: Shop) -> None:
    shop.order(1)
    shop.order(2)
    point = shop.protect()
    shop.order(3)
    result = shop.recover(point)
    assert result.ok, result.failure()
    assert shop.seen() == [{1, 2}] * 3
    shop.order(4)
    later = shop.protect()
    shop.order(5)
    assert shop.recover(later).ok
    assert shop.seen() == [{1, 2, 4}] * 3


def test_another_cluster_at_the_same_address_is_not_recovered_over(shop: Shop) -> None:
    shop.order(1)
    point = shop.protect()
    own, other = shop.orders.data, shop.orders.root / "other"
    shop.orders.stop()
    own.rename(other)
    shop.orders.create()
    shop.orders.start()
    with pytest.raises(UsageError, match="is not the installation that was protected"):
        shop.recover(point)
    assert shop.orders.sql("SELECT count(*) FROM pg_class WHERE relname = 'orders'") == [(0,)]


def test_three_databases_start_elsewhere_next_to_their_originals(shop: Shop) -> None:
    shop.order(1)
    point = shop.protect()
    shop.order(2)
    new = shop.root / "new"
    new.mkdir()
    shop.root.chmod(0o755)
    new.chmod(0o777)  # each server makes its socket there
    pg, my, rd = (free_port() for _ in range(3))
    target = {
        "orders": {"path": str(new / "pg"), "port": pg, "socket": str(new)},
        "stock": {"path": str(new / "my"), "port": my, "socket": str(new / "my.s")},
        "cache": {"path": str(new / "rd"), "port": rd, "socket": str(new / "rd.s")},
    }
    plan = make_plan(shop.service, point, target=target, start=True)
    drivers = [driver_for(placement.component) for placement in plan.placements]
    try:
        result = shop.execute(plan)
        assert result.ok, result.failure()
        assert shop.orders.sql("SELECT number FROM orders", host=str(new), port=pg) == [(1,)]
        assert shop.stock.rows("SELECT number FROM shop.stock", unix_socket=str(new / "my.s")) == [(1,)]
        with contextlib.closing(RedisConnection(RedisAddress(socket=str(new / "rd.s")), None)) as copy:
            assert copy.call("SMEMBERS", "seen") == [b"1"]
        assert shop.seen() == [{1, 2}] * 3
    finally:
        for driver in reversed(drivers):
            driver.stop()
