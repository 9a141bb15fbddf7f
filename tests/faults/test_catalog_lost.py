"""Fault: the catalog is lost, old or broken, or the vault goes back to an earlier state. The one is made
again from the vault; the other is never believed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from undivided.catalog.tables import VERSION
from undivided.testing.kiosk import Kiosk

pytestmark = pytest.mark.slow

DAMAGED = 5


@contextmanager
def opened(home: Path) -> Iterator[Kiosk]:
    """Two points, and a recovery between them."""
    with Kiosk(home) as made:
        made.protected()
        made("recover", made.service, "--to", home / "elsewhere")
        made.order()
        made.protect()
        yield made


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """For faults of the catalog, after each of which it must be as good as before."""
    with opened(tmp_path_factory.mktemp("kiosk")) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Kiosk]:
    """For faults of the vault."""
    with opened(tmp_path) as made:
        yield made


def catalog(kiosk: Kiosk) -> Path:
    return kiosk.config / "state" / "catalog.db"


def dump(kiosk: Kiosk) -> list[str]:
    with closing(sqlite3.connect(catalog(kiosk))) as database:
        return list(database.iterdump())


def remove(kiosk: Kiosk) -> None:
    for file in catalog(kiosk).parent.glob("catalog.db*"):
        file.unlink()


def answers(kiosk: Kiosk) -> list[object]:
    """The answers from the catalog, without the fields that are only ages."""
    status = kiosk("status")["services"]
    for service in status:
        del service["age_seconds"]
    return [kiosk("points"), status, kiosk("find", "1.txt")["versions"]]


def test_a_deleted_catalog_is_rebuilt_by_the_next_command_and_is_the_same(kiosk: Kiosk) -> None:
    kiosk("points")
    answered, before = answers(kiosk), dump(kiosk)
    remove(kiosk)
    assert answers(kiosk) == answered
    assert dump(kiosk) == before


def test_a_rebuilt_catalog_is_the_same_as_one_that_followed_all_along(kiosk: Kiosk) -> None:
    kiosk("points")
    before = dump(kiosk)
    kiosk("catalog", "rebuild")
    assert dump(kiosk) == before
    remove(kiosk)
    kiosk("catalog", "rebuild")
    assert dump(kiosk) == before


def test_an_older_copy_of_the_catalog_catches_up_with_the_vault(kiosk: Kiosk) -> None:
    kiosk("points")
    old = kiosk.home / "old.db"
    with closing(sqlite3.connect(catalog(kiosk))) as now, closing(sqlite3.connect(old)) as copy:
        now.backup(copy)
    kiosk.order()
    kiosk.protect()
    answered, before = answers(kiosk), dump(kiosk)
    remove(kiosk)
    shutil.copy(old, catalog(kiosk))
    assert answers(kiosk) == answered
    assert dump(kiosk) == before


@pytest.mark.parametrize("damage", ["cut short", "overwritten", "another program's", "without its tables"])
def test_a_broken_catalog_is_replaced_from_the_vault(damage: str, kiosk: Kiosk) -> None:
    kiosk("points")
    before = dump(kiosk)
    file = catalog(kiosk)
    data = file.read_bytes()
    remove(kiosk)
    if damage == "cut short":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "overwritten":
        file.write_bytes(data[:100] + b"\xa5" * (len(data) - 100))
    else:
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE theirs (x)")
            version = VERSION if damage == "without its tables" else 4711
            other.execute(f"PRAGMA user_version = {version}")
    kiosk("catalog", "rebuild")
    assert dump(kiosk) == before


def test_a_vault_that_went_back_in_time_is_reported_and_nothing_is_added_to_it(own: Kiosk) -> None:
    older = own.home / "older"
    shutil.copytree(own.vault, older, copy_function=shutil.copy2)
    own.order()
    own.protect()
    shutil.rmtree(own.vault)
    older.rename(own.vault)
    entries = sorted(path.name for path in (own.vault / "log").iterdir())
    for words in (["points"], ["protect", own.service], ["recover", own.service, "--to", "x"]):
        said = own.fails(*words, code=DAMAGED)
        assert "rolled back" in said
        assert "HINT: " in said
    assert own("verify", code=DAMAGED)["damaged"][0]["object"] == "log"
    assert sorted(path.name for path in (own.vault / "log").iterdir()) == entries


def test_a_vault_that_went_back_and_is_accepted_by_a_rebuild_is_gone_on_with(own: Kiosk) -> None:
    """Its lost points are gone; what the source remembers of them must not get into the next one."""
    older = own.home / "older"
    shutil.copytree(own.vault, older, copy_function=shutil.copy2)
    kept = own.points()
    own.order()
    own.protect()
    shutil.rmtree(own.vault)
    older.rename(own.vault)
    own("catalog", "rebuild")
    assert own.points() == kept
    assert own.recovered(own.protect()) == own.orders()
    assert own.damaged() == []


def test_another_vault_in_its_place_is_refused(own: Kiosk) -> None:
    shutil.rmtree(own.vault)
    other = Kiosk(own.home / "other")
    with other:
        other("init")
    shutil.copytree(other.vault, own.vault)
    said = own.fails("protect", own.service, code=12)
    assert "do not belong to the vault" in said
    assert "HINT: " in said
