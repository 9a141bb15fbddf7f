"""Fault: recovery onto the wrong host, or over live data. It is refused before anything is changed; in place
the present state becomes a point first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.testing.kiosk import Kiosk

REFUSED = 2


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """For recoveries that are refused: it stays as it is."""
    with Kiosk(tmp_path_factory.mktemp("kiosk")) as made:
        yield made.protected()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Kiosk]:
    """For recoveries in place."""
    with Kiosk(tmp_path) as made:
        yield made.protected()


def untouched(kiosk: Kiosk, *words: object) -> str:
    """The message of a refused recovery; no file has changed."""
    before = snapshot(kiosk.home)
    said = kiosk.fails("recover", kiosk.service, *words, code=REFUSED)
    assert "HINT: " in said
    assert snapshot(kiosk.home) == before
    return said


def snapshot(home: Path) -> dict[str, bytes]:
    """Every file that is not the program's own."""
    files = (p for p in home.rglob("*") if p.is_file() and not p.is_relative_to(home / "config"))
    return {str(p): p.read_bytes() for p in files if not p.name.endswith(("-wal", "-shm"))}


def test_without_a_destination_nothing_is_recovered(kiosk: Kiosk) -> None:
    untouched(kiosk)
    untouched(kiosk, "--to", "x", "--in-place")


def test_an_occupied_directory_is_refused(kiosk: Kiosk) -> None:
    kiosk("recover", kiosk.service, "--to", kiosk.home / "there")
    assert "already exists" in untouched(kiosk, "--to", kiosk.home / "there")
    assert "holds the live data" in untouched(kiosk, "--to", kiosk.site.parent)


def test_a_target_over_live_data_is_refused(kiosk: Kiosk) -> None:
    target = kiosk.home / "target.yaml"
    target.write_text(f"db: {{path: {kiosk.home}/elsewhere.db}}\nsite: {{path: {kiosk.site}}}\n")
    assert "holds the live data" in untouched(kiosk, "--target", target)
    target.write_text(f"site: {{path: {kiosk.home}/elsewhere}}\n")  # and db, not named, where it lives
    assert "holds the live data" in untouched(kiosk, "--target", target)
    foreign = kiosk.home / "foreign"
    foreign.mkdir()
    (foreign / "precious.txt").write_text("precious")
    target.write_text(f"db: {{path: {kiosk.home}/elsewhere.db}}\nsite: {{path: {foreign}}}\n")
    assert "is not empty" in untouched(kiosk, "--target", target)


def test_a_dry_run_changes_nothing(kiosk: Kiosk) -> None:
    before, points = snapshot(kiosk.home), kiosk.points()
    kiosk("recover", kiosk.service, "--in-place", "--dry-run")
    assert snapshot(kiosk.home) == before
    assert kiosk.points() == points


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give this machine another identity")
def test_in_place_on_another_machine_is_refused(kiosk: Kiosk) -> None:
    other = kiosk.home / "machine-id"
    other.write_text("0" * 31 + "7\n")
    recover = [sys.executable, "-m", "undivided", "recover", kiosk.service, "--in-place"]
    # A mount namespace of its own: there, and only there, the machine is another one.
    script = 'mount --bind "$0" /etc/machine-id && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(other), *recover],
        env=kiosk.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == REFUSED, done.stderr
    assert "was protected on another machine" in done.stderr
    assert "HINT: " in done.stderr
    assert len(kiosk.points()) == 1
    assert kiosk.orders() == {1}


def test_a_service_of_another_host_is_not_taken_over(kiosk: Kiosk) -> None:
    kiosk.file.write_text(kiosk.file.read_text().replace("kind: sqlite,", "kind: sqlite, host: elsewhere,"))
    said = kiosk.fails("service", "apply", kiosk.file, code=REFUSED)
    assert "elsewhere" in said


def test_in_place_the_present_state_becomes_a_point_first(own: Kiosk) -> None:
    (first,) = own.points()
    own.order()
    own("recover", own.service, "--at", first, "--in-place")
    assert own.orders() == {1}
    assert [own.recovered(point) for point in own.points()] == [{1}, {1, 2}]


def test_in_place_no_point_is_taken_first_on_request(own: Kiosk) -> None:
    own.order()
    own("recover", own.service, "--in-place", "--no-point-first")
    assert own.orders() == {1}
    assert len(own.points()) == 1


def test_in_place_nothing_is_changed_when_the_first_point_cannot_be_taken(own: Kiosk) -> None:
    own.order()
    (own.home / own.service / "pid").unlink()
    before = snapshot(own.home)
    said = own.fails("recover", own.service, "--in-place", code=3)
    assert "--no-point-first" in said
    assert snapshot(own.home) == before
    assert len(own.points()) == 1
