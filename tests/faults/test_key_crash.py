"""Fault: killed while keys change, or while the configuration is written. The vault opens as before or as
after, nothing is lost, and doing it again finishes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from undivided.host.crashpoints import KEYS, SAVE
from undivided.testing.program import Program, describe, open_shop

pytestmark = pytest.mark.slow

SIGKILLED = -9
ADD, REMOVE, ROTATE = KEYS[:3], KEYS[3:6], KEYS[6:]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("shop"))
    open_shop(program, 1)
    return program


def _keys(program: Program) -> list[str]:
    return [key["id"] for key in program("vault", "key", "list")["keys"]]


def _opens(program: Program, passphrase: str) -> bool:
    done = program.run("find", "about.html", UNDIVIDED_PASSPHRASE=passphrase, code=0)
    return "about.html" in done.stdout


def _refused(program: Program, passphrase: str) -> None:
    program.fails("find", "about.html", code=12, UNDIVIDED_PASSPHRASE=passphrase)


def _whole(program: Program) -> None:
    assert program("verify", "--read-data")["damaged"] == []


def test_the_steps_of_every_change_are_visited() -> None:
    assert all(name.startswith("rotate.") for name in ROTATE)
    assert [ADD[-1], REMOVE[0], REMOVE[-1]] == ["key.added", "key.unlisted", "key.removed"]


@pytest.mark.parametrize("name", ADD)
def test_killed_while_a_key_is_added_it_opens_or_not_and_can_be_added_again(name: str, shop: Program) -> None:
    before, new = _keys(shop), f"new at {name}"
    shop.run("vault", "key", "add", code=SIGKILLED, UNDIVIDED_CRASH_AT=name, UNDIVIDED_NEW_PASSPHRASE=new)
    if name == ADD[-1]:
        assert _opens(shop, new)
    else:
        _refused(shop, new)
        assert _keys(shop) == before
    shop("vault", "key", "add", UNDIVIDED_NEW_PASSPHRASE=new)
    assert _opens(shop, new)
    _whole(shop)


@pytest.mark.parametrize("name", REMOVE)
def test_killed_while_a_key_is_removed_it_opens_or_not_and_can_be_removed_again(
    name: str, shop: Program
) -> None:
    old = f"old at {name}"
    id = shop("vault", "key", "add", UNDIVIDED_NEW_PASSPHRASE=old)["id"]
    shop.run("vault", "key", "remove", id, code=SIGKILLED, UNDIVIDED_CRASH_AT=name)
    if name == REMOVE[0]:
        assert _opens(shop, old)
    else:
        _refused(shop, old)
    if name != REMOVE[-1]:
        shop("vault", "key", "remove", id)
    assert not list((shop.config / "vault" / "keys").glob(f"{id}*"))
    _refused(shop, old)
    _whole(shop)


def test_what_a_killed_addition_left_can_be_removed(shop: Program) -> None:
    known = set(_keys(shop))
    crash = {"UNDIVIDED_CRASH_AT": "key.sealed", "UNDIVIDED_NEW_PASSPHRASE": "never"}
    shop.run("vault", "key", "add", code=SIGKILLED, **crash)
    planned = shop("vault", "key", "rotate", "--dry-run")["keys"]
    left = [key["id"] for key in planned if key["kind"] == "missing" and key["id"] not in known]
    for id in left:
        shop("vault", "key", "remove", id)
        assert not list((shop.config / "vault" / "keys").glob(f"{id}*"))
    assert left
    assert "missing" not in [key["kind"] for key in shop("vault", "key", "rotate", "--dry-run")["keys"]]


@pytest.mark.parametrize("name", ROTATE)
def test_killed_while_keys_are_rotated_the_vault_opens_as_old_or_new(name: str, shop: Program) -> None:
    count = len(shop("points", "shop")["points"])
    epoch = shop("vault", "key", "rotate", "--dry-run")["epoch"]
    file: Path = shop.config / "keys" / "near.key"
    before = file.read_bytes()
    shop.run("vault", "key", "rotate", code=SIGKILLED, UNDIVIDED_CRASH_AT=name)
    if name == "rotate.committed":
        # The only step at which this machine has to ask for what it did.
        said = shop.fails("protect", "shop", code=12, UNDIVIDED_PASSPHRASE="")
        assert "undivided vault key renew" in said
    assert (file.read_bytes() != before) == (name == "rotate.saved")
    happened = name in ("rotate.committed", "rotate.saved")
    assert shop("vault", "key", "renew")["epoch"] == epoch - (not happened)
    shop("protect", "shop", UNDIVIDED_PASSPHRASE="")
    assert len(shop("points", "shop")["points"]) == count + 1
    assert shop("vault", "key", "rotate")["epoch"] == epoch + happened
    shop("protect", "shop", UNDIVIDED_PASSPHRASE="")
    _whole(shop)


@pytest.mark.parametrize("name", SAVE)
def test_killed_while_the_configuration_is_written_it_is_old_or_new(name: str, tmp_path: Path) -> None:
    program = Program(tmp_path)
    describe(program.home)
    for _ in range(2):  # the writer keys, then config.yaml
        program.run("init", code=SIGKILLED, UNDIVIDED_CRASH_AT=name)
        if name == SAVE[0]:
            break
    program("init")
    crash = {"UNDIVIDED_CRASH_AT": name}
    program.run("service", "apply", "shop.yaml", code=SIGKILLED, **crash)
    assert len(program("service", "list")["services"]) == (name == SAVE[-1])
    program("service", "apply", "shop.yaml")
    changed = tmp_path / "shop.yaml"
    changed.write_text(changed.read_text().replace("1h", "2h"))
    program.run("service", "apply", "shop.yaml", code=SIGKILLED, **crash)
    said = program.run("service", "show", "shop").stdout
    assert ("2h" in said) == (name == SAVE[-1])
    assert ("1h" in said) == (name == SAVE[0])
    before = (program.config / "keys" / "near.key").read_bytes()
    program.run("vault", "key", "renew", code=SIGKILLED, **crash)
    assert (program.config / "keys" / "near.key").read_bytes() == before
    program("protect", "shop", UNDIVIDED_PASSPHRASE="")
