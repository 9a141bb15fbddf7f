"""Fault: a thief with a source's keys adds points by the thousand, of any time, to push good ones
out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from undivided.model.columns import Ragged
from undivided.model.entries import Entries
from undivided.model.point import RecoveryPoint
from undivided.model.times import SECOND
from undivided.testing.program import Program, open_shop
from undivided.vault.keys import WriterKeys
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import TimelineSegment, Vault

pytestmark = pytest.mark.slow

HOUR = 3600 * SECOND
NOTHING = TimelineSegment(Entries.none(), Ragged.empty(0))
CLAIMS = {
    "true": lambda now, number: now + number,
    "of each hour of the past": lambda now, number: now - number * HOUR,
    "of each hour to come": lambda now, number: now + number * HOUR,
}


@pytest.fixture(scope="module")
def saved_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    """Four good points; the last three and the first of the year are kept."""
    program = Program(tmp_path_factory.mktemp("shop"))
    open_shop(program, 4, policy="{keep: {last: 3, yearly: 2}}")
    return program, program.save()


@pytest.fixture
def shop(saved_shop: tuple[Program, Path]) -> Program:
    """That shop, for each test as if it were the first."""
    program, saved = saved_shop
    program.reset(saved)
    return program


def ids(shop: Program) -> list[str]:
    return [point["id"] for point in shop("points", "shop")["points"]]


def thief(shop: Program) -> Vault:
    """All that is on the source, used from elsewhere."""
    keys = WriterKeys.decode((shop.config / "keys" / "near.key").read_bytes())
    return Vault.open(DirectoryStore(shop.config / "vault"), keys=keys)


def forge(vault: Vault, forged: Iterable[tuple[str, int]]) -> None:
    """Points that look like the shop's newest one, with other ids and times, in one session."""
    records = [entry.body["point"] for entry in vault.log() if entry.kind == "point"]
    model = RecoveryPoint.from_record([r for r in records if r["service"] == "shop"][-1])
    timelines = dict.fromkeys((part.timeline for part in model.components.values()), NOTHING)
    with vault.writer() as writer:
        for id, time_ns in forged:
            point = replace(model, id=id, time_ns=time_ns)
            writer.commit("point", timelines, {"point": point.as_record()})


def flood(vault: Vault, count: int, claim: str) -> None:
    now = time.time_ns()
    forge(vault, ((f"flood-{number:05d}", CLAIMS[claim](now, number)) for number in range(count)))


def test_a_point_that_is_named_goes_while_the_flood_keeps_all_others(shop):
    good = ids(shop)
    flood(thief(shop), 300, "true")
    before = ids(shop)
    answer = shop("prune", "--forget", "flood-00007", code=1)
    assert answer["expired"] == ["flood-00007"]
    assert ids(shop) == [point for point in before if point != "flood-00007"]
    assert set(good) <= set(before)


@pytest.mark.parametrize(
    ("count", "claim"), [(10_000, "true"), (300, "of each hour of the past"), (300, "of each hour to come")]
)
def test_the_points_of_a_thief_push_no_good_point_out(count, claim, shop):
    good = ids(shop)
    flood(thief(shop), count, claim)
    answer = shop("prune", code=1)
    assert "flood" in {s["reason"] for s in answer["services"][0]["suspended"]}
    assert answer["expired"] == []
    assert ids(shop)[:4] == good
    said = shop.fails("prune", code=1)
    assert "pruning is suspended" in said
    assert "--despite flood" in said
    shop("pin", "shop", *good[1:])
    despite = [word for reason in ("flood", "backwards", "future") for word in ("--despite", reason)]
    answer = shop("prune", *despite)
    assert len(answer["expired"]) >= count - 10
    left = ids(shop)
    assert left[:4] == good
    shop("recover", "shop", "--at", good[2], "--to", "back")
    assert shop("verify", "--read-data")["damaged"] == []


def test_the_first_point_of_the_year_stays_even_if_the_flood_is_let_through(shop):
    good = ids(shop)
    flood(thief(shop), 200, "true")
    shop("prune", "--despite", "flood")
    assert good[0] in ids(shop)


def test_a_flood_of_one_service_does_not_keep_the_others_from_being_pruned(shop):
    file = shop.home / "shop.yaml"
    (shop.home / "stall.yaml").write_text(file.read_text().replace("service: shop", "service: stall"))
    shop("service", "apply", "stall.yaml")
    for _ in range(5):
        shop("protect", "stall")
    flood(thief(shop), 200, "true")
    answer = shop("prune", code=1)
    assert len(answer["expired"]) == 1
    assert len(shop("points", "stall")["points"]) == 4
    # That prune settles nothing about the flood.
    assert "flood" in {s["reason"] for s in shop("prune", code=1)["services"][0]["suspended"]}


def test_a_thief_can_neither_forget_nor_unpin(shop):
    good = ids(shop)
    shop("pin", "shop", good[1])
    vault = thief(shop)
    for kind, body in (("prune", {"expired_points": good}), ("pin", {"point": good[1], "pinned": False})):
        with pytest.raises(Exception, match="passphrase"):
            vault.append(kind, body)
    assert ids(shop) == good


def test_points_forged_under_the_ids_of_good_ones_take_nothing_from_them(shop):
    for number in (7, 8):
        (shop.home / "site" / "orders" / f"{number}.txt").write_text(f"order {number}\n")
        shop("protect", "shop")
    good = ids(shop)
    before = shop("points", "shop")
    forge(thief(shop), ((id, time.time_ns()) for id in good))
    assert shop("points", "shop") == before
    assert shop("catalog", "rebuild")["points"] == len(good)
    assert shop("prune")["expired"] == good[1:3]
    for place, id in enumerate((good[0], *good[3:])):
        shop("recover", "shop", "--at", id, "--to", f"back-{place}")
    assert not (shop.home / "back-0" / "site" / "orders" / "7.txt").exists()
    assert shop("verify", "--read-data")["damaged"] == []
