"""Fault: a repair destroys good data, or dies half-way. It shows its plan first; what it takes away is kept
to the byte; killed at any step, it ends as if it had not been."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.host.crashpoints import REPAIR
from undivided.testing.kiosk import Kiosk

pytestmark = pytest.mark.slow

SIGKILLED = -9
DAMAGED = 5


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    with Kiosk(tmp_path) as made:
        yield made.protected()


def objects(vault: Path) -> dict[str, bytes]:
    found = {path.relative_to(vault).as_posix(): path for path in vault.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".")}


def wreck(kiosk: Kiosk) -> dict[str, bytes]:
    """An object of each kind, and junk at the end of the log. Returns what is there instead."""
    wrecked = {}
    for kind in ("packs", "index", "timeline"):
        path = sorted(p for p in (kiosk.vault / kind).rglob("*") if p.is_file())[0]
        data = bytearray(path.read_bytes())
        data[10] ^= 4
        path.chmod(0o600)
        path.write_bytes(data)
        wrecked[path.relative_to(kiosk.vault).as_posix()] = bytes(data)
    entries = sorted((kiosk.vault / "log").iterdir())
    name = f"log/{int(entries[-1].name) + 1:010d}"
    (kiosk.vault / name).write_bytes(b"torn")
    return {**wrecked, name: b"torn"}


def copied(kiosk: Kiosk) -> Path:
    """The vault elsewhere, byte for byte."""
    return Path(shutil.copytree(kiosk.vault, kiosk.home / "copy"))


def in_quarantine(vault: dict[str, bytes]) -> set[bytes]:
    return {data for name, data in vault.items() if name.startswith("quarantine/")}


def test_a_dry_run_names_everything_and_changes_nothing(kiosk: Kiosk) -> None:
    copy = copied(kiosk)
    wrecked = wreck(kiosk)
    before = objects(kiosk.vault)
    plan = kiosk("repair", "--read-data", "--dry-run", "--from", copy)
    # Damage in packs that only the damaged index names is found once the index is repaired.
    visible = {name for name in wrecked if not name.startswith("packs/")}
    assert {remedy["object"] for remedy in plan["remedies"]} >= visible
    assert plan["repaired"] == plan["quarantined"] == []
    kiosk("repair", "--read-data", "--dry-run", code=DAMAGED)
    assert objects(kiosk.vault) == before


@pytest.mark.parametrize("step", REPAIR)
def test_killed_at_any_step_a_repair_from_a_copy_ends_in_the_vault_as_it_was(kiosk: Kiosk, step: str) -> None:
    copy = objects(copied(kiosk))
    wrecked = wreck(kiosk)
    arguments = ("repair", "--read-data", "--from", kiosk.home / "copy")
    kiosk.run(*arguments, "--json", code=SIGKILLED, UNDIVIDED_CRASH_AT=step)
    kiosk(*arguments)
    repaired = objects(kiosk.vault)
    assert {name: repaired.get(name) for name in copy if name != "ballast"} == {
        name: data for name, data in copy.items() if name != "ballast"
    }
    assert in_quarantine(repaired) == set(wrecked.values())
    assert kiosk("verify", "--read-data")["damaged"] == []
    assert kiosk.recovered(kiosk.points()[0]) == {1}


@pytest.mark.parametrize("step", [s for s in REPAIR if s != "repair.replaced"])
def test_killed_at_any_step_a_repair_without_a_copy_keeps_what_was_there_and_the_source_stores_the_rest_again(
    kiosk: Kiosk, step: str
) -> None:
    wrecked = wreck(kiosk)
    kiosk.run("repair", "--read-data", "--json", code=SIGKILLED, UNDIVIDED_CRASH_AT=step)
    kiosk.run("repair", "--read-data", code=DAMAGED)
    assert in_quarantine(objects(kiosk.vault)) >= set(wrecked.values())
    kiosk.rest()
    after = kiosk.protect()
    assert kiosk.recovered(after) == kiosk.orders() == {1}
    left = kiosk("verify", "--read-data", code=DAMAGED)
    assert {damage["object"].partition("/")[0] for damage in left["damaged"]} == {"timeline"}
    assert after not in left["points_affected"]
