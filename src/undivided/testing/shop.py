"""A service of three real database servers that all get every order: for tests of a whole recovery."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..capture.protect import protect
from ..config.service_file import parse_definition
from ..drivers.registry import driver_for
from ..model.point import RecoveryPoint
from ..model.service import Service
from ..recovery.execute import execute
from ..recovery.plan import RecoveryPlan, make_plan
from ..recovery.result import RecoveryResult
from ..vault.stores.directory import DirectoryStore
from ..vault.vault import Vault
from . import mariadb, postgresql, redis

_PASSPHRASE = "a passphrase"  # noqa: S105  of vaults made by tests


@dataclass
class Shop:
    """The servers, their service, and a vault."""

    root: Path
    orders: postgresql.TestServer
    stock: mariadb.MariaDBServer
    cache: redis.RedisServer
    service: Service
    vault: Vault
    last: RecoveryPoint | None = None

    def order(self, number: int) -> None:
        """Adds an order to all three; the dependent one is last."""
        self.orders.sql("INSERT INTO orders VALUES (%s)", (number,))
        with self.stock.connect() as stock, stock.cursor() as cursor:
            cursor.execute("INSERT INTO shop.stock VALUES (%s)", (number,))
        self.cache.call("SADD", "seen", number)

    def seen(self) -> list[set[int]]:
        """The orders in each server."""
        members = self.cache.call("SMEMBERS", "seen")
        assert isinstance(members, list)
        return [
            {number for (number,) in self.orders.sql("SELECT number FROM orders")},
            {number for (number,) in self.stock.rows("SELECT number FROM shop.stock")},
            {int(member) for member in members if isinstance(member, bytes)},
        ]

    def protect(self) -> RecoveryPoint:
        self.last = protect(self.service, self.vault, self.root / "state", last=self.last)
        return self.last

    def recover(self, point: RecoveryPoint) -> RecoveryResult:
        """Recovers in place."""
        return self.execute(make_plan(self.service, point, in_place=True))

    def execute(self, plan: RecoveryPlan) -> RecoveryResult:
        return execute(plan, self.vault, state=self.root / "state", protect_first=self.protect)


@contextlib.contextmanager
def open_shop() -> Iterator[Shop]:
    """A running shop with empty tables. All its processes end afterwards."""
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
            "stock": {"kind": "mariadb", "socket": stock.socket, "port": stock.port, "path": str(stock.data)},
            "cache": {"kind": "redis", "socket": cache.socket, "port": cache.port, "path": str(cache.data)},
        }
        definition = {"service": "shop", "components": components, "needs": {"cache": ["orders", "stock"]}}
        service = parse_definition(definition, "shop.yaml")
        # A recovered Redis is not our child process; the other servers are found by their data directories.
        ending.callback(lambda: driver_for(service.components["cache"]).stop())
        vault = Vault.create(DirectoryStore(root / "vault"), _PASSPHRASE)
        yield Shop(root, orders, stock, cache, service, vault)
