"""A prune that is killed: before its one entry nothing has changed, after it the next one goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from undivided.host.crashpoints import PRUNE
from undivided.testing.vaults import contents, protect
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

PASSPHRASE = "correct horse"
LARGE = 1_200_000
SCRIPT = """
import sys
from undivided.vault.prune import plan_prune
from undivided.vault.prune import execute
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault

vault = Vault.open(DirectoryStore(sys.argv[1]), passphrase=lambda: "correct horse")
execute(vault, plan_prune(vault, sys.argv[2:], grace=0, threshold=1.0))
"""


def opened(path: Path) -> Vault:
    return Vault.open(DirectoryStore(path), passphrase=lambda: PASSPHRASE)


def objects(path: Path) -> list[str]:
    store = DirectoryStore(path)
    return [name for kind in ("packs/", "index/", "timeline/") for name, _ in store.list(kind)]


@pytest.mark.parametrize("place", PRUNE)
def test_a_prune_killed_anywhere_has_lost_nothing_and_the_next_one_ends_it(
    tmp_path: Path, cheap_passphrases: None, place: str
) -> None:
    path = tmp_path / "vault"
    vault = Vault.create(DirectoryStore(path), PASSPHRASE)
    states = {}
    files = {b"stays": os.urandom(LARGE), b"goes": os.urandom(LARGE)}
    for number in range(5):
        changed = files if not number else {b"goes": os.urandom(LARGE), b"n%d" % number: b"new"}
        files = {**files, **changed}
        states[f"p{number}"] = (protect(vault, f"p{number}", changed).number, files)
    execute(vault, plan_prune(vault, ["p1"]))  # something to sweep for the one that is killed
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), "p0", "p3"],
        env={**os.environ, "UNDIVIDED_CRASH_AT": place},
        check=False,
    )
    assert killed.returncode == -9

    vault = opened(path)
    entries = list(vault.log())
    expired = {point for e in entries if e.kind == "prune" for point in e.body["expired_points"]}
    assert expired in ({"p1"}, {"p0", "p1", "p3"})
    assert verify(vault, Scope(read_data=True)).damaged == []
    for point in states.keys() - expired:
        number, state = states[point]
        assert contents(vault, number) == state

    later = time.time_ns() + 2 * 86400 * 10**9
    for _ in range(2):
        execute(vault, plan_prune(vault, ["p0", "p3"], now=lambda: later, grace=0, threshold=1.0))
    for point in ("p2", "p4"):
        number, state = states[point]
        assert contents(vault, number) == state
    assert verify(vault, Scope(read_data=True)).damaged == []
    plan = plan_prune(vault, now=lambda: later, grace=0, threshold=1.0)
    assert plan.idle
    assert not any(plan.orphans.unknown.values())
    assert len([name for name in objects(path) if name.startswith("timeline/")]) == 2
