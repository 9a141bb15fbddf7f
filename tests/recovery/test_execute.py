"""Whole recoveries of a real portal: an upload tree served by a web server, and a database."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from undivided.model.errors import DamageError, UndividedError
from undivided.model.point import RecoveryPoint
from undivided.recovery.execute import execute
from undivided.recovery.plan import make_plan
from undivided.recovery.result import RecoveryResult
from undivided.testing.portal import Portal
from undivided.testing.ports import free_port
from undivided.vault.stores.base import StoreError


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    with Portal(tmp_path) as made:
        yield made


def in_place(portal: Portal, point: RecoveryPoint, *, first: bool = True) -> RecoveryResult:
    plan = make_plan(portal.service(), point, in_place=True, protect_first=first)
    return execute(plan, portal.vault, state=portal.state, protect_first=portal.protect)


def recorded(portal: Portal) -> list[dict[str, object]]:
    return [entry.body for entry in portal.vault.log() if entry.kind == "recovery"]


def test_in_place_the_service_has_its_state_at_the_point_again(portal: Portal) -> None:
    portal.order(1)
    portal.order(2)
    point = portal.protect()
    portal.order(3)
    (portal.site / "orders" / "1.txt").unlink()
    result = in_place(portal, point)
    assert result.ok, result.failure()
    assert portal.orders() == {1, 2}
    assert portal.answers()
    assert [verdict.ok for verdict in result.checks] == [True]
    assert result.started
    assert not list(portal.live.glob(".undivided-*"))


def test_old_data_is_kept_and_its_place_reported(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    result = in_place(portal, point)
    aside = {name: Path(part.aside or "") for name, part in result.components.items()}
    assert portal.orders(site=aside["site"], database=aside["audit"]) == {1, 2}
    assert aside["site"] == portal.live / f"site.before-{point.id}"


def test_the_same_point_can_be_recovered_again_and_again(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    for number in (2, 3):
        portal.order(number)
        assert in_place(portal, point).ok
        assert portal.orders() == {1}
    olds = sorted(path.name for path in portal.live.glob("site.before-*"))
    assert olds == [f"site.before-{point.id}", f"site.before-{point.id}-2"]


def test_the_present_state_becomes_a_point_first_and_can_be_recovered(portal: Portal) -> None:
    portal.order(1)
    wanted = portal.protect()
    portal.order(2)
    result = in_place(portal, wanted)
    first = portal.last
    assert first is not None
    assert result.first == first.id
    assert portal.orders() == {1}
    assert in_place(portal, first).ok
    assert portal.orders() == {1, 2}


def test_protection_continues_after_a_recovery(portal: Portal) -> None:
    portal.order(1)
    wanted = portal.protect()
    portal.order(2)
    assert in_place(portal, wanted).ok
    portal.order(3)
    later = portal.protect()
    portal.order(4)
    assert in_place(portal, later).ok
    assert portal.orders() == {1, 3}


def test_the_recovery_is_recorded_with_its_numbers(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    result = in_place(portal, point)
    (record,) = recorded(portal)
    assert record["point"] == point.id
    assert record["ok"] is True
    assert 0 < float(str(record["down_seconds"])) <= float(str(record["seconds"]))
    assert float(str(record["data_loss_seconds"])) > 0
    assert result.components["site"].bytes > 0


def test_without_changes_since_the_point_no_work_is_lost(portal: Portal) -> None:
    portal.order(1)
    point = replace(portal.protect(), time_ns=10**18)
    loss = in_place(portal, point).data_loss_seconds
    assert loss is not None
    assert loss < 3600  # and not the years since the point


def test_a_service_that_is_gone_entirely_comes_back(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.live.rename(portal.root / "lost")
    result = in_place(portal, point, first=False)
    assert result.ok, result.failure()
    assert portal.orders() == {1}
    assert {part.aside for part in result.components.values()} == {None}


def test_beneath_a_directory_no_service_is_started_and_no_live_data_changed(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    out = portal.root / "out"
    plan = make_plan(portal.service(), point, to=out)
    result = execute(plan, portal.vault, state=portal.state)
    assert result.ok
    assert not result.started
    assert result.data_loss_seconds is None
    assert portal.orders(site=out / "site", database=out / "audit" / "audit.db") == {1}
    assert portal.orders() == {1, 2}
    assert not portal.answers()
    assert sorted(path.name for path in out.iterdir()) == ["audit", "site"]


def test_a_target_has_its_own_paths_and_leaves_the_live_service_alone(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    new = portal.root / "new"
    new.mkdir()
    target = {"site": {"path": str(new / "site")}, "audit": {"path": str(new / "audit.db")}}
    plan = make_plan(portal.service(), point, target=target)
    assert execute(plan, portal.vault, state=portal.state).ok
    assert portal.orders(site=new / "site", database=new / "audit.db") == {1}
    assert portal.orders() == {1, 2}


def test_a_check_that_fails_is_reported_recorded_and_rolls_nothing_back(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    silent = f"http://127.0.0.1:{free_port()}/"
    checks = [{"http": silent, "expect": 200, "timeout": "200ms"}, {"command": ["true"]}]
    portal.change(checks=checks)
    result = in_place(portal, point)
    assert not result.ok
    failure = result.failure()
    assert failure is not None
    assert failure.exit_code == 1
    assert silent in failure.cause
    assert f"{portal.live}/site.before-{point.id} → {portal.site}" in failure.hint
    assert portal.orders() == {1}
    (record,) = recorded(portal)
    assert record["ok"] is False


def test_nothing_is_stopped_when_one_component_cannot_be_built(portal: Portal) -> None:
    for number in range(3):
        portal.order(number, size=200_000)
    point = portal.protect()
    assert in_place(portal, point, first=False).ok
    portal.order(7)
    packs = sorted((portal.root / "vault" / "packs").rglob("*"), key=lambda path: path.stat().st_size)
    for pack in packs:
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(os.urandom(pack.stat().st_size))
    with pytest.raises(DamageError, match=r"^build (site|audit): "):
        in_place(portal, point, first=False)
    assert portal.answers()
    assert portal.orders() == {0, 1, 2, 7}
    assert not list(portal.live.glob(".undivided-*"))
    assert len(recorded(portal)) == 1


def test_a_service_that_cannot_be_stopped_keeps_running_unchanged(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    assert in_place(portal, point, first=False).ok
    components = portal.definition()["components"]
    components["audit"]["stop"] = ["false"]
    portal.change(components=components)
    with pytest.raises(UndividedError, match="exited with 1") as refused:
        in_place(portal, point, first=False)
    assert "stop audit" in refused.value.doing
    assert portal.answers()
    assert portal.orders() == {1}


def test_a_service_that_does_not_start_is_reported_with_the_place_of_its_old_data(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    components = portal.definition()["components"]
    components["site"]["start"] = ["false"]
    portal.change(components=components)
    result = in_place(portal, point)
    assert not result.ok
    assert not result.started
    assert "start site" in (result.failed or "")
    failure = result.failure()
    assert failure is not None
    assert f"site.before-{point.id}" in failure.hint
    assert "run the same command again" in failure.hint


def test_after_its_cause_is_removed_a_failed_recovery_resumes(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)
    whole = portal.definition()["components"]
    portal.change(components={**whole, "site": {**whole["site"], "start": ["false"]}})
    assert not in_place(portal, point).ok
    portal.change(components=whole)
    result = in_place(portal, point)
    assert result.ok, result.failure()
    assert portal.orders() == {1}
    assert result.components["site"].aside == f"{portal.site}.before-{point.id}"
    assert not list(portal.live.glob("*.before-*-2"))


def test_a_vault_that_cannot_record_it_fails_the_recovery_and_undoes_nothing(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal.order(1)
    point = portal.protect()
    portal.order(2)

    def full(*_: object) -> None:
        raise StoreError("no space left on device")

    plan = make_plan(portal.service(), point, in_place=True, protect_first=False)
    vault = portal.vault
    monkeypatch.setattr(vault.store, "create", full)
    result = execute(plan, vault, state=portal.state)
    assert not result.ok
    assert "could not be recorded" in (result.failed or "")
    assert portal.orders() == {1}
    assert portal.answers()


def test_a_database_inside_the_upload_tree_is_recovered_with_it(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        inner = portal.site / "data" / "audit.db"
        inner.parent.mkdir()
        portal.database.rename(inner)
        portal.database = inner
        portal.order(1)
        components = portal.definition()["components"]
        components["site"]["exclude"] = ["data/*"]
        components["audit"]["path"] = str(inner)
        portal.change(components=components)
        point = portal.protect()
        portal.order(2)
        result = in_place(portal, point)
        assert result.ok, result.failure()
        assert portal.orders() == {1}


def test_two_recoveries_of_a_service_do_not_run_at_once(portal: Portal) -> None:
    portal.order(1)
    point = portal.protect()
    with open(portal.state / "recover-portal.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UndividedError, match="another recovery"):
            in_place(portal, point, first=False)
    assert in_place(portal, point, first=False).ok


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a filesystem")
def test_a_component_that_is_a_mount_point_is_recovered_within_it(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(portal.site)], check=True)
        try:
            portal.order(1)
            point = portal.protect()
            portal.order(2)
            plan = make_plan(portal.service(), point, in_place=True)
            site = next(p for p in plan.placements if p.name == "site")
            assert site.staging.directory.parent == portal.site
            result = execute(plan, portal.vault, state=portal.state, protect_first=portal.protect)
            assert result.ok, result.failure()
            assert portal.orders() == {1}
            assert portal.site.is_mount()
            aside = Path(result.components["site"].aside or "")
            assert aside == site.aside
            assert {file.stem for file in aside.glob("orders/*.txt")} == {"1", "2"}
            assert not list(portal.site.rglob(".undivided-2*"))
        finally:
            portal.stop()
            subprocess.run(["umount", str(portal.site)], check=True)
