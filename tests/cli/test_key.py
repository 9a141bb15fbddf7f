"""What opens the vault, from the command line: key files, commands, rotation, the recovery kit."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from undivided.testing.program import PASSPHRASE, Program, describe, open_shop

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(program: Program) -> Program:
    open_shop(program, 1)
    return program


def _reads(program: Program, **environment: Any) -> bool:
    """Whether content can be read, with this in place of the passphrase."""
    return "about.html" in program.run("find", "about.html", UNDIVIDED_PASSPHRASE="", **environment).stdout


def test_a_key_file_opens_the_vault_once_it_was_added(shop: Program) -> None:
    file = shop.home / "stick" / "vault.key"
    file.parent.mkdir()
    assert shop("vault", "key", "new", file) == {"file": str(file)}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shop.fails("find", "*", code=12, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_FILE=str(file))
    added = shop("vault", "key", "add", "--key-file", file, "--label", "stick")
    assert added["kind"] == "x25519"
    assert _reads(shop, UNDIVIDED_KEY_FILE=str(file))
    shop("vault", "key", "remove", added["id"], UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_FILE=str(file))
    shop.fails("find", "*", code=12, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_FILE=str(file))


def test_a_key_file_is_never_overwritten(program: Program) -> None:
    file = program.home / "vault.key"
    program("vault", "key", "new", file)
    before = file.read_bytes()
    assert "a file of that name exists" in program.fails("vault", "key", "new", file, code=2)
    assert file.read_bytes() == before


def test_the_output_of_a_command_opens_the_vault_and_the_vault_never_holds_the_command(shop: Program) -> None:
    secret = shop.home / "secret"
    secret.write_text("from-the-tpm-7f3a\n")
    added = shop("vault", "key", "add", "--label", "TPM", UNDIVIDED_NEW_KEY_COMMAND=f"cat {secret}")
    assert added["kind"] == "command"
    assert _reads(shop, UNDIVIDED_KEY_COMMAND=f"cat {secret}")
    shop.fails("find", "*", code=12, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_COMMAND="echo else")
    shop.fails("find", "*", code=2, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_COMMAND="false")
    vault = shop.config / "vault"
    for path in vault.rglob("*"):
        if path.is_file():
            assert str(secret).encode() not in path.read_bytes()


def test_a_vault_can_be_made_with_a_key_file_and_no_passphrase(program: Program) -> None:
    file = program.home / "vault.key"
    program("vault", "key", "new", file)
    secrets: dict[str, Any] = {"UNDIVIDED_PASSPHRASE": "", "UNDIVIDED_KEY_FILE": str(file)}
    program("init", **secrets)
    assert [k["kind"] for k in program("vault", "key", "list")["keys"]] == ["x25519"]
    program("vault", "key", "add", UNDIVIDED_NEW_PASSPHRASE="another", **secrets)


def test_the_wrong_line_of_a_mistyped_key_file_is_named(shop: Program) -> None:
    file = shop.home / "vault.key"
    shop("vault", "key", "new", file)
    lines = file.read_text().splitlines()
    lines[3] = lines[3][:8] + ("z" if lines[3][8] != "z" else "y") + lines[3][9:]
    file.write_text("\n".join(lines))
    said = shop.fails("find", "*", code=12, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_FILE=str(file))
    assert "`key 3:`" in said and str(file) in said
    said = shop.fails("find", "*", code=2, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_FILE="/nowhere")
    assert "/nowhere" in said


# ── rotation ────────────────────────────────────────────────────────────────────────────────────────────────


def test_rotation_is_planned_first_and_then_this_machine_protects_without_a_passphrase(shop: Program) -> None:
    file = shop.config / "keys" / "near.key"
    before = file.read_bytes()
    planned = shop("vault", "key", "rotate", "--dry-run")
    assert planned["result"] == "planned"
    assert [k["label"] for k in planned["keys"]] == ["first"]
    assert file.read_bytes() == before
    rotated = shop("vault", "key", "rotate")
    assert {**planned, "result": "rotated"} == rotated
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shop("protect", "shop", UNDIVIDED_PASSPHRASE="")
    assert len(shop("points", "shop")["points"]) == 2
    assert _reads(shop, UNDIVIDED_PASSPHRASE_FILE=_written(shop, PASSPHRASE))
    assert shop("verify", "--read-data")["damaged"] == []


def test_another_machine_needs_the_new_keys_and_protects_again_once_it_has_them(shop: Program) -> None:
    other = Program(shop.home / "other")
    other.home.mkdir()
    other("init", "--vault", shop.config / "vault")
    describe(other.home)
    other("service", "apply", "shop.yaml")
    other("protect", "shop")
    shop("vault", "key", "rotate")
    shop("protect", "shop")
    said = other.fails("protect", "shop", code=12, UNDIVIDED_PASSPHRASE="")
    assert "rotated" in said and "undivided vault key renew" in said
    assert other("vault", "key", "renew")["epoch"] == 1
    other("protect", "shop", UNDIVIDED_PASSPHRASE="")
    assert shop("verify", "--read-data")["damaged"] == []


def test_a_machine_without_a_passphrase_gets_a_copy_of_the_writer_keys(shop: Program) -> None:
    other = Program(shop.home / "other")
    other.home.mkdir()
    other("init", "--vault", shop.config / "vault")
    shop("vault", "key", "rotate")
    shutil.copy(shop.config / "keys" / "near.key", other.config / "keys" / "near.key")
    assert len(other("points", UNDIVIDED_PASSPHRASE="")["points"]) == 1


# ── the recovery kit ────────────────────────────────────────────────────────────────────────────────────────


def test_a_machine_that_has_nothing_else_recovers_with_the_page_alone(shop: Program) -> None:
    page = shop.run("vault", "kit").stdout
    assert str(shop.config / "vault") in page
    for step in ("undivided init --vault", "undivided points", "undivided recover", "key rotate"):
        assert step in page
    shop("vault", "key", "rotate")
    shop("protect", "shop")
    shutil.rmtree(shop.home / "site")

    new = Program(shop.home / "new")
    new.home.mkdir()
    (new.home / "kit.txt").write_text(page.upper())
    alone: dict[str, Any] = {"UNDIVIDED_PASSPHRASE": "", "UNDIVIDED_KEY_FILE": str(new.home / "kit.txt")}
    new("init", "--vault", shop.config / "vault", **alone)
    assert len(new("points", **alone)["points"]) == 2
    new("recover", "shop", "--at", "latest", "--to", new.home / "back", **alone)
    assert (new.home / "back" / "site" / "about.html").read_text() == "<h1>Shop</h1>\n"
    new("vault", "key", "add", "--label", "mine", UNDIVIDED_NEW_PASSPHRASE="my own", **alone)
    assert _reads(new, UNDIVIDED_PASSPHRASE_FILE=_written(new, "my own"))


def test_a_lost_page_is_removed_like_any_other_key(shop: Program) -> None:
    kit = shop("vault", "kit", "--label", "safe")
    file = shop.home / "kit.txt"
    file.write_text(kit["text"])
    assert _reads(shop, UNDIVIDED_KEY_FILE=str(file))
    assert [k["label"] for k in shop("vault", "key", "list")["keys"]].count("safe") == 1
    shop("vault", "key", "remove", kit["id"])
    shop("vault", "key", "rotate")
    shop.fails("find", "*", code=12, UNDIVIDED_PASSPHRASE="", UNDIVIDED_KEY_FILE=str(file))


def _written(program: Program, passphrase: str) -> str:
    path: Path = program.home / "passphrase"
    path.write_text(passphrase)
    return str(path)
