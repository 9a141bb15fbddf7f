"""A vault in a bucket, by the command line alone: made, filled, verified, recovered from, joined again."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from undivided.testing.program import Program, change, describe, open_shop
from undivided.testing.s3 import ACCESS_KEY, SECRET_KEY, Nanio, SeaweedFS

pytestmark = pytest.mark.real

_count = itertools.count()


@pytest.fixture
def address(seaweed: SeaweedFS) -> str:
    return seaweed.url(f"portal/{next(_count)}")


@pytest.fixture
def program(tmp_path: Path, seaweed: SeaweedFS) -> Program:
    made = Program(tmp_path)
    made.environment |= seaweed.environment
    return made


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_service_is_protected_in_a_bucket_and_recovered_from_it(program: Program, address: str) -> None:
    describe(program.home)
    made = program("init", "--vault", address)
    assert made["vault"] == address
    program("service", "apply", "shop.yaml")
    then = tree(program.home / "site")
    first = program("protect", "shop")
    change(program.home)
    program("protect", "shop")
    assert program("verify", "--read-data")["damaged"] == []
    program("recover", "shop", "--at", "latest", "--to", program.home / "now")
    assert tree(program.home / "now" / "site") == tree(program.home / "site")
    program("recover", "shop", "--at", first["point"], "--to", program.home / "then")
    assert tree(program.home / "then" / "site") == then


def test_a_new_machine_joins_the_vault_with_the_passphrase(program: Program, address: str) -> None:
    describe(program.home)
    made = program("init", "--vault", address)
    program("service", "apply", "shop.yaml")
    program("protect", "shop")
    shutil.rmtree(program.config)
    assert program("init", "--vault", address)["id"] == made["id"]
    program("recover", "shop", "--at", "latest", "--to", program.home / "back")
    assert tree(program.home / "back" / "site") == tree(program.home / "site")


def test_the_keys_of_the_bucket_are_nowhere_on_disk_and_in_no_answer(program: Program, address: str) -> None:
    describe(program.home)
    said = [program.run("init", "--vault", address), program.run("service", "apply", "shop.yaml")]
    said += [program.run("protect", "shop"), program.run("vault", "info")]
    wrong = program.run("protect", "shop", code=1, AWS_SECRET_ACCESS_KEY="hush, a wrong one")
    assert "Check the access key" in wrong.stderr
    for answer in (*said, wrong):
        for secret in (SECRET_KEY, "hush", ACCESS_KEY):
            assert secret not in answer.stdout + answer.stderr
    for path in program.config.rglob("*"):
        if path.is_file():
            assert SECRET_KEY.encode() not in path.read_bytes()


def test_what_the_cache_held_is_fetched_again_when_it_is_damaged_or_gone(
    program: Program, address: str
) -> None:
    open_shop(program, 1, vault=address)
    cache = program.config / "state" / "cache"
    copies = [path for path in cache.rglob("*") if path.is_file()]
    assert copies
    for path in copies:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    program("recover", "shop", "--at", "latest", "--to", program.home / "one")
    shutil.rmtree(cache)
    program("recover", "shop", "--at", "latest", "--to", program.home / "two")
    assert tree(program.home / "one") == tree(program.home / "two") != {}


def test_no_vault_is_made_on_a_server_that_lets_writers_overwrite_each_other(tmp_path: Path) -> None:
    with Nanio() as server:
        program = Program(tmp_path)
        program.environment |= server.environment
        said = program.fails("init", "--vault", server.url("portal"), code=2)
        assert "the store is not fit for a vault" in said
        assert "If-None-Match" in said
        assert not (program.config / "config.yaml").exists()
        assert [path for path in (server.directory / "data").rglob("*") if path.is_file()] == []


_MEASURED = """
import sys
from undivided.cli.run import run
code = run(sys.argv[1:])
print(open("/proc/self/status").read())
sys.exit(code)
"""


def test_memory_stays_within_bounds_however_much_goes_to_the_bucket(program: Program, address: str) -> None:
    (program.home / "data").mkdir()
    with open(program.home / "data" / "noise", "wb") as file:
        for _ in range(24):
            file.write(os.urandom(16 << 20))
    (program.home / "data.yaml").write_text(
        f"service: data\ncomponents:\n  data: {{kind: files, path: {program.home}/data}}\n"
    )
    program("init", "--vault", address)
    program("service", "apply", "data.yaml")
    # By itself: what wait4 reports of a child has the memory of the parent in it that it was forked from.
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURED, "protect", "data"],
        env=program.environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    peak = int(measured.stdout.split(b"VmHWM:")[1].split()[0])
    assert peak < 500 << 10, f"{peak >> 10} MiB"
