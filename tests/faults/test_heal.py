"""Fault: a pack in the vault rots. It is found, named, and made whole again by the next point, as far as the
source still has what was in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from undivided.testing.kiosk import Kiosk

DAMAGED = 5


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    with Kiosk(tmp_path) as made:
        yield made.protected()


def packs(kiosk: Kiosk) -> set[Path]:
    return {path for path in (kiosk.vault / "packs").rglob("*") if path.is_file()}


def rot(pack: Path) -> None:
    """One bit of its first frame."""
    data = bytearray(pack.read_bytes())
    data[10] ^= 4
    pack.chmod(0o600)
    pack.write_bytes(data)


def verified(kiosk: Kiosk, code: int = 0) -> dict[str, Any]:
    return kiosk("verify", "--read-data", code=code)


def files(report: dict[str, Any]) -> set[str]:
    return {file["path"] for damage in report["damaged"] for file in damage["files"]}


def notes(point: dict[str, Any], component: str) -> list[str]:
    return [note for note in point["components"][component]["notes"] if "read anew" in note]


def test_the_next_point_heals_what_the_source_still_has_and_the_old_point_with_it(kiosk: Kiosk) -> None:
    kiosk.rest()
    (first,) = kiosk.points()
    for pack in packs(kiosk):
        rot(pack)
    assert {"orders/1.txt", "data/orders.db"} <= files(verified(kiosk, DAMAGED))
    healing = kiosk("protect", kiosk.service)
    assert notes(healing, "site") == ["read anew: 1 file was in damaged packs"]
    assert notes(healing, "db") == ["read anew: 2 files were in damaged packs"]
    healed = verified(kiosk)
    assert any("stored anew" in note for note in healed["notes"])
    assert kiosk.recovered(first) == kiosk.recovered(healing["point"]) == kiosk.orders() == {1}


def test_after_it_has_healed_points_go_on_from_the_last_in_the_same_history(kiosk: Kiosk) -> None:
    for pack in packs(kiosk):
        rot(pack)
    verified(kiosk, DAMAGED)
    kiosk.protect()
    kiosk.order()
    after = kiosk("protect", kiosk.service)
    assert not notes(after, "site") and not notes(after, "db")
    assert {part["image"] for part in after["components"].values()} == {"continued"}
    assert kiosk.recovered(after["point"]) == {1, 2}
    assert verified(kiosk)["damaged"] == []
    kiosk("points")
    assert len(kiosk.histories("db")) == len(kiosk.histories("site")) == 1


def test_a_component_whose_files_are_whole_is_not_read_anew(kiosk: Kiosk) -> None:
    before = packs(kiosk)
    (kiosk.site / "late.html").write_text("late")
    kiosk.protect()
    (late,) = packs(kiosk) - before
    rot(late)
    assert files(verified(kiosk, DAMAGED)) == {"late.html"}
    healing = kiosk("protect", kiosk.service)
    assert notes(healing, "site") and not notes(healing, "db")
    assert healing["components"]["db"]["image"] == "continued"
    verified(kiosk)


def test_after_a_part_of_a_history_is_lost_points_begin_a_new_one_and_can_be_recovered(kiosk: Kiosk) -> None:
    for segment in (kiosk.vault / "timeline").iterdir():
        segment.unlink()
    verified(kiosk, DAMAGED)
    kiosk.rest()
    healing = kiosk("protect", kiosk.service)
    for part in healing["components"].values():
        assert any("a new one begins" in note for note in part["notes"])
    assert kiosk.recovered(healing["point"]) == kiosk.orders() == {1}
    after = kiosk("protect", kiosk.service)
    assert {part["image"] for part in after["components"].values()} == {"continued"}
    assert kiosk.recovered(after["point"]) == {1}


def test_what_the_source_has_no_more_stays_named_and_is_not_looked_for_at_every_point(kiosk: Kiosk) -> None:
    before = packs(kiosk)
    late = kiosk.site / "late.html"
    late.write_text("late")
    kiosk.protect()
    (pack,) = packs(kiosk) - before
    rot(pack)
    verified(kiosk, DAMAGED)
    late.unlink()
    assert notes(kiosk("protect", kiosk.service), "site")
    assert not notes(kiosk("protect", kiosk.service), "site")
    assert files(verified(kiosk, DAMAGED)) == {"late.html"}
    assert kiosk.recovered(kiosk.points()[0]) == kiosk.orders()
