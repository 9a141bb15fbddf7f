"""A shop is protected, looked at, damaged and recovered, all by the command line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from undivided.testing.program import Program, change, open_shop

pytestmark = pytest.mark.slow


def orders(path: Path) -> list[str]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        found = [what for (what,) in database.execute("SELECT what FROM orders ORDER BY id")]
    database.close()
    return found


def ids(shop: Program) -> list[str]:
    return [point["id"] for point in shop("points", "shop")["points"]]


@pytest.fixture
def shop(program: Program) -> Program:
    open_shop(program)
    return program


def test_a_point_shows_how_it_was_made_and_is_listed(shop):
    point = shop("protect", "shop")
    assert point["service"] == "shop"
    assert point["consistency"] in ("application", "crash", "ordered")
    assert set(point["components"]) == {"db", "site"}
    assert point["bytes_seen"] >= point["bytes_read"] > 0
    listed = shop("points", "shop")["points"]
    assert [p["id"] for p in listed] == [point["point"]]
    assert listed[0]["time"] == point["time"]


def test_an_unchanged_service_moves_no_content_again(shop):
    shop("protect", "shop")
    again = shop("protect", "shop")
    assert again["components"]["site"]["bytes_read"] == 0


def test_a_component_that_cannot_be_captured_makes_no_point(shop):
    os.unlink(shop.home / "shop.db")
    said = shop.fails("protect", "shop", code=3)
    assert "db" in said
    assert shop("points", "shop")["points"] == []


def test_a_recovery_beneath_a_directory_is_the_service_as_it_was(shop):
    shop("protect", "shop")
    change(shop.home)
    shop("protect", "shop")
    first, second = ids(shop)
    shop("recover", "shop", "--at", first, "--to", "then")
    shop("recover", "shop", "--at", second, "--to", "now")
    assert sorted(os.listdir(shop.home / "then/site/orders")) == ["1.txt", "2.txt"]
    assert sorted(os.listdir(shop.home / "now/site/orders")) == ["1.txt", "3.txt"]
    assert orders(next((shop.home / "then/db").glob("*.db"))) == ["chair", "tables"]
    assert orders(next((shop.home / "now/db").glob("*.db"))) == ["chair", "tables", "lamps"]


def test_in_place_the_present_data_becomes_a_point_first_and_is_kept_aside(shop):
    shop("protect", "shop")
    change(shop.home)
    first = ids(shop)[0]
    plan = shop("recover", "shop", "--at", first, "--in-place", "--dry-run")
    assert plan["steps"][0]["action"] == "point"
    assert ids(shop) == [first]
    result = shop("recover", "shop", "--at", first, "--in-place")
    assert result["ok"] is True
    assert orders(shop.home / "shop.db") == ["chair", "tables"]
    assert ids(shop) == [first, result["first"]]
    assert (Path(result["components"]["site"]["aside"]) / "orders" / "3.txt").exists()
    assert shop("status")["services"][0]["last_recovery"]["point"] == first


def test_in_place_without_a_point_first_takes_none(shop):
    shop("protect", "shop")
    os.unlink(shop.home / "shop.db")
    said = shop.fails("recover", "shop", "--in-place", code=3)
    assert "--no-point-first" in said
    result = shop("recover", "shop", "--in-place", "--no-point-first")
    assert result["first"] is None
    assert len(ids(shop)) == 1


def test_a_target_file_puts_components_elsewhere(shop):
    shop("protect", "shop")
    target = shop.home / "target.yaml"
    target.write_text(f"db: {{path: {shop.home}/new/shop.db}}\nsite: {{path: {shop.home}/new/site}}\n")
    (shop.home / "new").mkdir()
    shop("recover", "shop", "--target", target)
    assert orders(shop.home / "new" / "shop.db") == ["chair", "tables"]
    target.write_text("dbb: {path: /x}\nsite: {pth: /x}\n")
    said = shop.fails("recover", "shop", "--target", target, code=2)
    assert "target.yaml:1:1" in said
    assert "target.yaml:2:8" in said


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--to", "x", "--in-place"],
        ["--to", "x", "--start"],
        ["--to", "x", "--no-point-first"],
        ["--target", "nothing.yaml"],
        ["--to", "x", "--at", "never"],
        ["--to", "x", "--at", "2001-01-01"],
    ],
)
def test_a_recovery_that_makes_no_sense_is_refused_with_a_hint(scene, words):
    assert "HINT:" in scene.fails("recover", "shop", *words, code=2)
    assert not (scene.home / "x").exists()


def test_a_service_that_is_not_applied_any_more_is_recovered_from_its_points(shop):
    shop("protect", "shop")
    shop("service", "remove", "shop")
    shop("recover", "shop", "--to", "back")
    assert (shop.home / "back/site/about.html").read_text() == "<h1>Shop</h1>\n"
    shop.fails("protect", "shop", code=2)


def test_without_the_passphrase_points_are_taken_and_listed_but_nothing_is_read_back(shop):
    mute = {"UNDIVIDED_PASSPHRASE": ""}
    shop("protect", "shop", **mute)
    assert len(shop("points", **mute)["points"]) == 1
    shop("status", **mute)
    assert "UNDIVIDED_PASSPHRASE" in shop.fails("recover", "shop", "--to", "x", code=2, **mute)
    shop.fails("find", "*", code=12, UNDIVIDED_PASSPHRASE="wrong")


def test_find_shows_the_first_and_last_point_of_each_version(scene):
    first, *_, last = ids(scene)
    found = {(v["path"], v["size"]): v for v in scene("find", "orders/*", "shop")["versions"]}
    assert set(found) == {("orders/1.txt", 10), ("orders/2.txt", 11), ("orders/3.txt", 12)}
    one, two, three = (found[key] for key in sorted(found))
    assert (one["first"]["point"], one["last"]["point"]) == (first, last)
    assert (two["first"]["point"], two["last"]["point"], two["points"]) == (first, first, 1)
    assert three["last"]["point"] == last
    assert len(scene("find", "about.html")["versions"]) == 2
    assert scene("find", "nothing-like-it")["versions"] == []


def test_diff_shows_the_changes_between_points_and_until_now(scene):
    first, second, *_ = ids(scene)
    said = scene("diff", "shop", first, second)
    changed = {(c["change"], c["path"]) for c in said["changes"] if c["component"] == "site"}
    assert {("removed", "orders/2.txt"), ("added", "orders/3.txt"), ("changed", "about.html")} <= changed
    assert scene("diff", "shop", second, second)["changes"] == []
    assert scene("diff", "shop", second)["changes"] == []
    with_now = scene("diff", "shop", first)
    assert with_now["components"]["db"]["compared"] is False
    assert ("added", "orders/3.txt") in {(c["change"], c["path"]) for c in with_now["changes"]}


def test_status_is_breached_when_the_newest_point_is_too_old(shop):
    assert shop("status", code=4)["services"][0]["rpo"]["met"] is False
    shop("protect", "shop")
    assert shop("status")["services"][0]["rpo"]["met"] is True
    file = shop.home / "shop.yaml"
    file.write_text(file.read_text().replace("rpo: 1h", "rpo: 1ms"))
    shop("service", "apply", "shop.yaml")
    assert "BREACHED" in shop.run("status", code=4).stdout


def test_a_broken_service_file_keeps_no_other_service_out_of_the_status(shop):
    shop("protect", "shop")
    broken = shop.config / "services" / "broken.yaml"
    broken.write_text("")
    done = shop.run("status", code=2)
    assert "its file cannot be read" in done.stdout and "shop" in done.stdout
    assert "the file is empty" in done.stderr and "HINT: " in done.stderr
    records = {record["service"]: record for record in shop("status", code=2)["services"]}
    assert "the file is empty" in records["broken"]["error"] and records["shop"]["point"]
    broken.unlink()


def test_verify_names_damage_down_to_files(shop):
    shop("protect", "shop")
    assert shop("verify", "--read-data")["damaged"] == []
    for pack in (shop.config / "vault" / "packs").rglob("*"):
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            data[0] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)
    found = shop("verify", "--read-data", code=5)
    assert found["points_affected"] == ids(shop)
    assert {f["component"] for d in found["damaged"] for f in d["files"]} <= {"db", "site"}
    assert found["damaged"][0]["object"].startswith("packs/")


def test_a_vault_that_was_rolled_back_is_noticed_and_verify_reports_it(shop):
    shop("protect", "shop")
    shop("protect", "shop")
    last = sorted((shop.config / "vault" / "log").iterdir())[-1]
    last.unlink()
    shop.fails("points", code=5)
    assert shop("verify", code=5)["damaged"][0]["object"] == "log"


def test_a_lost_catalog_is_rebuilt_automatically(shop):
    shop("protect", "shop")
    before = shop("points")
    for file in (shop.config / "state").glob("catalog.db*"):
        file.unlink()
    assert shop("points") == before
    (shop.config / "state" / "catalog.db").write_bytes(b"not a database at all" * 300)
    assert shop("points") == before
    assert shop("catalog", "rebuild")["points"] == 1


def test_killed_after_the_commit_the_point_is_there(shop):
    environment = {**shop.environment, "UNDIVIDED_CRASH_AT": "protect.cataloged"}
    command = [sys.executable, "-m", "undivided", "protect", "shop"]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == -9
    assert len(ids(shop)) == 1
    shop("protect", "shop")
    assert len(ids(shop)) == 2


def test_keys_are_added_and_removed_and_the_last_one_stays(shop):
    shop("protect", "shop")
    added = shop("vault", "key", "add", "--label", "cellar", UNDIVIDED_NEW_PASSPHRASE="another")
    keys = {key["label"]: key["id"] for key in shop("vault", "key", "list")["keys"]}
    assert keys["cellar"] == added["id"]
    old = next(id for label, id in keys.items() if label != "cellar")
    shop("find", "*.html", UNDIVIDED_PASSPHRASE="another")
    shop("vault", "key", "remove", old, UNDIVIDED_PASSPHRASE="another")
    shop.fails("find", "*.html", code=12)
    shop.fails("vault", "key", "remove", added["id"], code=12)
    shop.fails("vault", "key", "remove", added["id"], code=2, UNDIVIDED_PASSPHRASE="another")


def test_no_secret_is_in_state_configuration_or_output(shop):
    done = shop.run("protect", "shop")
    secret = shop.environment["UNDIVIDED_PASSPHRASE"]
    assert secret not in done.stdout + done.stderr
    for path in shop.config.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()
    catalog = (shop.config / "state" / "catalog.db").read_bytes()
    assert b"about.html" not in catalog


@pytest.mark.real
def test_a_point_is_mounted_and_unmounted(shop):
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse")
    pytest.importorskip("mfusepy", reason="needs the extra undivided[mount]")
    shop("protect", "shop")
    place = shop.home / "mounted"
    place.mkdir()
    answer = shop("mount", "shop", place)
    try:
        assert answer["directory"] == str(place)
        assert (place / "site" / "about.html").read_text() == "<h1>Shop</h1>\n"
    finally:
        subprocess.run(["umount", place], check=True)
    deadline = time.monotonic() + 30
    while os.path.ismount(place):
        assert time.monotonic() < deadline
        time.sleep(0.05)
