"""Real databases recovered as one service: where they live, and on other ports beside their originals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from undivided.capture.protect import protect
from undivided.drivers.redis.resp import Connection, Server
from undivided.drivers.registry import driver_for
from undivided.model.parse import parse_definition
from undivided.model.point import RecoveryPoint
from undivided.model.service import Service
from undivided.recovery.execute import execute
from undivided.recovery.plan import Plan, make_plan
from undivided.recovery.result import Result
from undivided.testing import mariadb, postgresql, redis
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

pytestmark = pytest.mark.real


@dataclass
class Shop:
    """Three servers that get every order, the dependents after what they need."""

    root: Path
    orders: postgresql.TestServer
    stock: mariadb.MariaDBServer
    cache: redis.RedisServer
    service: Service
    vault: Vault = field(default_factory=lambda: Vault.create(MemoryStore(), "a passphrase"))
    last: RecoveryPoint | None = None

    def order(self, number: int) -> None:
        self.orders.sql("INSERT INTO orders VALUES (%s)", (number,))
        self.stock.run(f"INSERT INTO shop.stock VALUES ({number})")
        self.cache.call("SADD", "seen", number)

    def protect(self) -> RecoveryPoint:
        self.last = protect(self.service, self.vault, self.root / "state", last=self.last)
        return self.last

    def execute(self, plan: Plan) -> Result:
        return execute(plan, self.vault, state=self.root / "state", protect_first=self.protect)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with (
        postgresql.scratch() as root,
        postgresql.running_server(root / "pg") as orders,
        mariadb.MariaDBServer() as stock,
        redis.RedisServer() as cache,
        contextlib.ExitStack() as ending,
    ):
        orders.sql("CREATE TABLE orders (number int PRIMARY KEY)")
        stock.run("CREATE DATABASE shop", "CREATE TABLE shop.stock (number INT PRIMARY KEY)")
        components: dict[str, Any] = {
            "orders": {"kind": "postgresql", "socket": str(orders.root), "port": orders.port},
            "stock": {"kind": "mariadb", "socket": stock.socket, "port": stock.port},
            "cache": {"kind": "redis", "socket": cache.socket, "port": cache.port},
        }
        definition = {"service": "shop", "components": components, "needs": {"cache": ["orders", "stock"]}}
        made = Shop(root, orders, stock, cache, parse_definition(definition, "shop.yaml"))
        ending.callback(lambda: driver_for(made.service.components["cache"]).stop())
        yield made


def everywhere(shop: Shop) -> list[set[int]]:
    members = shop.cache.call("SMEMBERS", "seen")
    assert isinstance(members, list)
    return [
        {number for (number,) in shop.orders.sql("SELECT number FROM orders")},
        {number for (number,) in shop.stock.rows("SELECT number FROM shop.stock")},
        {int(str(member, "ascii")) for member in members if isinstance(member, bytes)},
    ]


def test_three_databases_come_back_in_place_to_one_instant(shop: Shop) -> None:
    shop.order(1)
    shop.order(2)
    point = shop.protect()
    shop.order(3)
    result = shop.execute(make_plan(shop.service, point, in_place=True))
    assert result.ok, result.failure()
    assert everywhere(shop) == [{1, 2}] * 3
    shop.order(4)
    later = shop.protect()
    shop.order(5)
    assert shop.execute(make_plan(shop.service, later, in_place=True)).ok
    assert everywhere(shop) == [{1, 2, 4}] * 3


def test_three_databases_start_elsewhere_beside_their_originals(shop: Shop) -> None:
    shop.order(1)
    point = shop.protect()
    shop.order(2)
    new = shop.root / "new"
    new.mkdir()
    shop.root.chmod(0o755)
    new.chmod(0o777)  # each server makes its socket there
    pg, my, rd = (postgresql.free_port() for _ in range(3))
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
        with contextlib.closing(Connection(Server(socket=str(new / "rd.s")), None)) as copy:
            assert copy.call("SMEMBERS", "seen") == [b"1"]
        assert everywhere(shop) == [{1, 2}] * 3
    finally:
        for driver in reversed(drivers):
            driver.stop()
