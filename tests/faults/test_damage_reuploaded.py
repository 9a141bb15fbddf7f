"""Fault: a pack in the vault rots. Verification finds and names it, and the next point uploads its data
again, as far as the source still has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from undivided.testing.kiosk import Kiosk

pytestmark = pytest.mark.slow

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
    return [note for note in point["components"][component]["notes"] if "read again in full" in note]


def test_the_next_point_uploads_damaged_data_again_and_makes_the_old_point_whole(kiosk: Kiosk) -> None:
    kiosk.rest()
    (first,) = kiosk.points()
    for pack in packs(kiosk):
        rot(pack)
    assert {"orders/1.txt", "data/orders.db"} <= files(verified(kiosk, DAMAGED))
    repairing = kiosk("protect", kiosk.service)
    assert notes(repairing, "site") == ["read again in full: 1 file was in damaged packs"]
    assert notes(repairing, "db") == ["read again in full: 2 files were in damaged packs"]
    repaired = verified(kiosk)
    assert any("stored again" in note for note in repaired["notes"])
    assert kiosk.recovered(first) == kiosk.recovered(repairing["point"]) == kiosk.orders() == {1}


def test_after_the_upload_points_continue_in_the_same_history(kiosk: Kiosk) -> None:
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


def test_a_component_whose_files_are_whole_is_not_read_again(kiosk: Kiosk) -> None:
    before = packs(kiosk)
    (kiosk.site / "late.html").write_text("late")
    kiosk.protect()
    (late,) = packs(kiosk) - before
    rot(late)
    assert files(verified(kiosk, DAMAGED)) == {"late.html"}
    repairing = kiosk("protect", kiosk.service)
    assert notes(repairing, "site") and not notes(repairing, "db")
    assert repairing["components"]["db"]["image"] == "continued"
    verified(kiosk)


def test_when_part_of_a_history_is_lost_points_begin_a_new_one_and_can_be_recovered(kiosk: Kiosk) -> None:
    for segment in (kiosk.vault / "timeline").iterdir():
        segment.unlink()
    verified(kiosk, DAMAGED)
    kiosk.rest()
    repairing = kiosk("protect", kiosk.service)
    for part in repairing["components"].values():
        assert any("a new history begins" in note for note in part["notes"])
    assert kiosk.recovered(repairing["point"]) == kiosk.orders() == {1}
    after = kiosk("protect", kiosk.service)
    assert {part["image"] for part in after["components"].values()} == {"continued"}
    assert kiosk.recovered(after["point"]) == {1}


def test_data_that_the_source_no_longer_has_stays_named_and_is_not_searched_at_every_point(
    kiosk: Kiosk,
) -> None:
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
