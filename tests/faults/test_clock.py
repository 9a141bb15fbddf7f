"""Fault: a clock jumps by years. Nothing expires, and pruning is suspended until an operator has checked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from undivided.model.times import SECOND
from undivided.testing.program import Program, open_shop
from undivided.vault.keys import WriterKeys
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault

pytestmark = pytest.mark.slow

YEAR = 365 * 86400 * SECOND


@pytest.fixture
def shop(tmp_path: Path) -> Program:
    """Four points, of which the rules would let two go."""
    made = Program(tmp_path)
    open_shop(made, 4, policy="{keep: {last: 2}}")
    return made


def ids(shop: Program) -> list[str]:
    return [point["id"] for point in shop("points", "shop")["points"]]


def entry_by_a_clock_that_is(shop: Program, wrong_by: int) -> None:
    """Any entry of the log, by a client whose clock is wrong."""
    keys = WriterKeys.decode((shop.config / "keys" / "near.key").read_bytes())
    store = DirectoryStore(shop.config / "vault")
    vault = Vault.open(store, keys=keys, now=lambda: time.time_ns() + wrong_by)
    vault.append("recovery", {"service": "shop", "point": "", "ok": False})


def suspended(shop: Program) -> set[str]:
    answer = shop("prune", code=1)
    assert "expired" not in answer
    return {anomaly["reason"] for anomaly in answer["suspended"]}


def test_our_clock_fell_back_by_years_nothing_is_destroyed(shop):
    before = ids(shop)
    entry_by_a_clock_that_is(shop, 5 * YEAR)
    assert suspended(shop) == {"future", "leap"}
    assert ids(shop) == before


def test_a_clock_jumped_ahead_by_years_and_was_set_right_nothing_is_destroyed(shop):
    before = ids(shop)
    entry_by_a_clock_that_is(shop, 5 * YEAR)
    entry_by_a_clock_that_is(shop, 0)
    assert "backwards" in suspended(shop)
    assert ids(shop) == before


def test_years_passed_at_once_nothing_is_destroyed(tmp_path):
    """The log was written years ago, by this clock: either it jumped, or the vault was unused for years."""
    made = Program(tmp_path)
    open_shop(made, policy="{keep: {within: 1d}}")
    entry_by_a_clock_that_is(made, -5 * YEAR)
    made("protect", "shop")
    made("protect", "shop")
    assert suspended(made) == {"leap"}
    assert len(ids(made)) == 2


def test_an_accepted_anomaly_is_not_reported_again(shop):
    before = ids(shop)
    entry_by_a_clock_that_is(shop, 5 * YEAR)
    entry_by_a_clock_that_is(shop, 0)
    said = shop.fails("prune", code=1)
    hint = said.split("run it again with ")[1].strip().rstrip(".")
    assert hint == "--despite backwards --despite future --despite leap"
    assert shop("prune", *hint.split())["expired"] == before[:2]
    shop("protect", "shop")
    assert len(shop("prune")["expired"]) == 1
