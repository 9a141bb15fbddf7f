"""Pruning by the command line: points that no rule keeps expire, and the others can still be recovered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import pytest

from undivided.cli.prune import Despite
from undivided.policy.anomalies import REASONS
from undivided.testing.program import Program, open_shop

pytestmark = pytest.mark.slow


def order(home: Path, number: int) -> None:
    (home / "site" / "orders" / f"{number}.txt").write_text(f"order {number}\n" * 3000)


@pytest.fixture(scope="module")
def saved_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    """Five points, one order more in each; the rules keep the last two and the first of the year."""
    program = Program(tmp_path_factory.mktemp("shop"))
    open_shop(program, policy="{keep: {last: 2, yearly: 1}}")
    for number in range(11, 16):
        order(program.home, number)
        program("protect", "shop")
    return program, program.save()


@pytest.fixture
def shop(saved_shop: tuple[Program, Path]) -> Program:
    """That shop, for each test as if it were the first."""
    program, saved = saved_shop
    program.reset(saved)
    return program


def ids(shop: Program) -> list[str]:
    return [point["id"] for point in shop("points", "shop")["points"]]


def orders(shop: Program, point: str) -> list[str]:
    to = shop.home / f"out-{point}"
    shop("recover", "shop", "--at", point, "--to", to)
    return sorted(path.name for path in (to / "site" / "orders").iterdir())


def vault_size(shop: Program) -> int:
    return sum(path.stat().st_size for path in (shop.config / "vault").rglob("*") if path.is_file())


def going(answer: dict[str, Any]) -> list[str]:
    return [point["id"] for point in answer["services"][0]["points"] if not point["stays"]]


def test_a_dry_run_shows_the_points_that_would_expire_and_why_the_others_stay_and_changes_nothing(shop):
    before = ids(shop)
    entries = sorted((shop.config / "vault").rglob("*"))
    answer = shop("prune", "--dry-run")
    assert answer["dry_run"] is True
    assert answer["expired"] == going(answer) == before[1:3]
    reasons = {p["id"]: p["reasons"] for p in answer["services"][0]["points"]}
    assert reasons[before[0]] == ["yearly"]
    assert reasons[before[4]] == ["newest", "last"]
    said = shop.run("prune", "shop", "--dry-run").stdout
    assert "3 of 5 points kept, 2 to expire" in said
    assert "2 points would expire" in said
    assert ids(shop) == before
    assert sorted((shop.config / "vault").rglob("*")) == entries


def test_points_that_no_rule_keeps_expire_and_the_others_are_unchanged(shop):
    before = ids(shop)
    contents = {point: orders(shop, point) for point in (before[0], before[3], before[4])}
    answer = shop("prune")
    # The recoveries proved their points; the newest of them is the newest anyway.
    assert answer["expired"] == before[1:3]
    assert ids(shop) == [before[0], *before[3:]]
    for point, files in contents.items():
        to = shop.home / f"after-{point}"
        shop("recover", "shop", "--at", point, "--to", to)
        assert sorted(path.name for path in (to / "site" / "orders").iterdir()) == files
    assert shop("verify", "--read-data")["damaged"] == []
    assert shop("prune")["expired"] == []


def test_an_expired_point_is_not_listed_and_is_refused_with_a_hint(shop):
    before = ids(shop)
    shop("prune")
    for words in (["recover", "shop", "--to", "x", "--at"], ["pin", "shop"]):
        said = shop.fails(*words, before[1], code=2)
        assert f"point {before[1]} was expired by the prune of" in said
        assert "HINT: `undivided points shop`" in said
    found = shop("find", "12.txt", "shop")["versions"]
    assert [(v["first"]["point"], v["points"]) for v in found] == [(before[3], 2)]
    assert shop("status")["services"][0]["point"] == before[4]
    assert shop("vault", "info")["points"] == 3


def test_a_rebuilt_catalog_expires_the_same_points(shop):
    shop("pin", "shop", ids(shop)[2])
    shop("prune")
    before = shop("points")
    assert len(before["points"]) == 4
    shop("catalog", "rebuild")
    assert shop("points") == before


def test_a_pinned_point_stays_until_it_is_unpinned(shop):
    second = ids(shop)[1]
    shop("pin", "shop", second)
    shop("prune")
    assert second in ids(shop)
    shop("unpin", "shop", second)
    assert shop("prune")["expired"] == [second]


def test_the_newest_proven_point_stays(shop):
    second = ids(shop)[1]
    shop("recover", "shop", "--at", second, "--to", "proof")
    answer = shop("prune")
    assert {p["id"]: p["reasons"] for p in answer["services"][0]["points"]}[second] == ["proven"]
    assert second in ids(shop)


@pytest.mark.parametrize("why", ["it has no rules", "it is not applied"])
def test_no_point_expires_of_a_service_without_rules_or_that_is_not_applied(why, shop):
    before = ids(shop)
    if why == "it has no rules":
        file = shop.home / "shop.yaml"
        file.write_text(file.read_text().replace("policy: {keep: {last: 2, yearly: 1}}\n", ""))
        shop("service", "apply", "shop.yaml")
    else:
        shop("service", "remove", "shop")
    answer = shop("prune")
    assert answer["expired"] == []
    assert ids(shop) == before


def test_unused_data_is_deleted_by_a_later_prune_once_the_grace_is_over(shop):
    big = shop.home / "site" / "big"
    for _ in range(4):
        big.write_bytes(os.urandom(2_000_000))
        shop("protect", "shop")
    full = vault_size(shop)
    assert shop("prune", "shop", "--grace", "1h")["freed_bytes"] > 3_900_000
    assert vault_size(shop) > full - 100_000
    assert shop("prune", "shop", "--grace", "1h")["pending_deletion_bytes"] > 3_900_000
    assert shop("prune", "shop", "--grace", "0")["deleted_bytes"] > 3_900_000
    assert vault_size(shop) < full - 3_900_000
    assert shop("prune", "--dry-run")["pending_deletion_bytes"] == 0
    assert shop("verify", "--read-data")["damaged"] == []


def test_points_expire_by_name_and_the_rules_see_the_others(shop):
    before = ids(shop)
    wanted = ["--forget", before[1], "--forget", before[3]]
    answer = shop("prune", "--dry-run", *wanted)
    reasons = {p["id"]: p["reasons"] for p in answer["services"][0]["points"]}
    assert reasons[before[1]] == reasons[before[3]] == ["requested"]
    # Without the fourth, the third is one of the last two.
    assert reasons[before[2]] == ["last"]
    assert f"requested: {before[1]}, {before[3]}" in shop.run("prune", "--dry-run", *wanted).stdout
    assert shop("prune", *wanted)["expired"] == [before[1], before[3]]
    assert ids(shop) == [before[0], before[2], before[4]]
    assert shop("verify", "--read-data")["damaged"] == []


def test_a_point_of_a_service_without_rules_expires_by_name_and_no_other_does(shop):
    shop("service", "remove", "shop")
    before = ids(shop)
    assert shop("prune", "shop", "--forget", before[0])["expired"] == before[:1]
    assert ids(shop) == before[1:]


def test_points_that_may_not_expire_by_name_are_refused_with_a_hint(shop):
    before = ids(shop)
    shop("pin", "shop", before[0])
    for name, cause, hint in [
        ("20200101T000000-abcdef", "there is no point", "`undivided points`"),
        ("20", "there is no point", "`undivided points`"),
        (before[0][:4], "several point ids begin with", "more characters"),
        (before[0], f"point {before[0]} of shop is pinned", f"`undivided unpin shop {before[0]}`"),
        (before[4], f"point {before[4]} is the newest of shop", "`undivided protect shop`"),
    ]:
        said = shop.fails("prune", "--forget", before[1], "--forget", name, code=2)
        assert cause in said
        assert hint in said.partition("HINT:")[2]
    assert ids(shop) == before


def test_a_history_that_is_lost_for_good_expires_point_by_point(shop):
    """Damage, and the ways out in the order in which the messages lead to them."""
    segments = sorted(
        (shop.config / "vault" / "timeline").iterdir(), key=lambda path: path.stat().st_mtime_ns
    )
    before = ids(shop)
    segments[4].write_bytes(b"no segment")
    shop("verify", code=5)
    shop("repair", code=5)
    newest = shop("protect", "shop")["point"]
    said = shop.fails("prune", code=5)
    assert "`undivided repair --from COPY`" in said
    lost = before[3:]
    named = [word for point in lost for word in ("--forget", point)]
    assert f"`undivided prune {' '.join(named)}`" in said
    answer = shop("prune", "--grace", "0", *named)
    assert set(lost) <= set(answer["expired"])
    assert shop("verify", "--read-data")["damaged"] == []
    assert "11.txt" in orders(shop, before[0])
    assert "15.txt" in orders(shop, newest)
    assert shop("prune")["expired"] == []
    shop("protect", "shop")


def test_pruning_needs_the_passphrase(shop):
    before = ids(shop)
    assert "UNDIVIDED_PASSPHRASE" in shop.fails("prune", code=2, UNDIVIDED_PASSPHRASE="")
    shop.fails("prune", code=12, UNDIVIDED_PASSPHRASE="wrong")
    assert ids(shop) == before


def test_protection_continues_after_a_prune(shop):
    shop("prune")
    order(shop.home, 20)
    point = shop("protect", "shop")
    assert point["components"]["site"]["image"] == "continued"
    assert "20.txt" in orders(shop, point["point"])


@pytest.mark.parametrize(
    "words", [["nowhere"], ["--grace", "5"], ["--budget", "much"], ["--despite", "everything"]]
)
def test_wrong_options_are_refused_with_a_hint(shop, words):
    assert "HINT:" in shop.fails("prune", *words, code=2)


def test_every_anomaly_can_be_accepted():
    assert get_args(Despite) == REASONS
