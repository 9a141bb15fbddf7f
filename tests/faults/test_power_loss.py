"""Fault: the power goes. Whatever the moment, the filesystem's journal is played, the vault opens, and every
point that was acknowledged is there, whole; protection goes on.

A vault is looked at after every flush of a disk that remembers its writes (testing/disk.py), and after some
of them torn, too: with part of what was written next, in no order. A whole installation after some.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.model.errors import NoVaultError
from undivided.testing.disk import LoggedDisk, logged_disk, mounted
from undivided.testing.kiosk import Kiosk
from undivided.testing.vaults import contents, protect
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
PASSPHRASE = "correct horse"
TORN = 4
"""At every so many of the visited flushes the disk is torn as well."""


def losses(disk: LoggedDisk, after: int, images: Path, every: int = 1) -> Iterator[tuple[int, Path]]:
    """(position, image) of power losses: at every so many of the flushes after `after`."""
    moments = [at for at in disk.flushes() if at >= after][::every]
    assert len(moments) >= 10, "the test needs more moments"
    for number, at in enumerate(moments):
        for torn in (None, random.Random(number)) if number % TORN == 0 else (None,):
            disk.image(images / "image", at, torn)
            yield at, images / "image"


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_vault_opens_after_power_loss_with_every_acknowledged_point_whole(
    filesystem: str, tmp_path: Path, cheap_passphrases: None
) -> None:
    made: dict[str, dict[bytes, bytes]] = {}
    acknowledged: list[tuple[int, str]] = []
    with logged_disk(filesystem, tmp_path, megabytes=96 if filesystem == "ext4" else 320) as disk:
        begun = disk.position()
        vault = Vault.create(DirectoryStore(disk.root / "vault"), PASSPHRASE)
        ready = disk.position()
        files: dict[bytes, bytes] = {}
        for number in range(6):
            new = {b"%d/%d" % (number, i): os.urandom(70_000 * (i + 1)) for i in range(3)}
            new[b"rewritten"] = os.urandom(200_000)
            protect(vault, f"p{number}", new)
            files = made[f"p{number}"] = {**files, **new}
            acknowledged.append((disk.position(), f"p{number}"))
            if number == 3:
                execute(vault, plan_prune(vault, ["p0", "p2"], grace=0, threshold=1.0))
    for at, image in losses(disk, begun, tmp_path):
        with mounted(image, tmp_path / "after") as root:
            try:
                vault = Vault.open(DirectoryStore(root / "vault"), passphrase=lambda: PASSPHRASE)
            except NoVaultError:
                assert at < ready
                continue
            points = {e.body["point"]["id"]: e.number for e in vault.log() if e.kind == "point"}
            expired = {p for e in vault.log() if e.kind == "prune" for p in e.body["expired_points"]}
            assert points.keys() >= {point for known, point in acknowledged if known <= at}
            for point, number in points.items():
                if point in expired:
                    continue
                assert contents(vault, number) == made[point]
            assert verify(vault, Scope(read_data=True)).damaged == []
            protect(vault, "next", {b"next": b"after the loss"})
            execute(vault, plan_prune(vault, ["p1"] if "p1" in points else [], grace=0, session_age=0))
            assert verify(vault, Scope(read_data=True)).damaged == []


def test_a_store_that_does_not_sync_would_be_caught(
    tmp_path: Path, cheap_passphrases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with logged_disk("ext4", tmp_path) as disk:
        vault = Vault.create(DirectoryStore(disk.root / "vault"), PASSPHRASE)
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, lambda descriptor: None)
        protect(vault, "p", {b"a": b"content"})
        acknowledged = disk.position()
    disk.image(tmp_path / "image", acknowledged)
    with mounted(tmp_path / "image", tmp_path / "after") as root:
        vault = Vault.open(DirectoryStore(root / "vault"), passphrase=lambda: PASSPHRASE)
        assert [entry for entry in vault.log() if entry.kind == "point"] == []


def test_a_whole_installation_goes_on_after_power_loss(tmp_path: Path) -> None:
    """Configuration, keys, state and catalog lie on the same disk as the vault."""
    acknowledged: list[tuple[int, str]] = []
    with logged_disk("ext4", tmp_path) as disk, Kiosk(disk.root) as kiosk:
        kiosk.protected()
        begun = disk.position()
        acknowledged.append((begun, kiosk.points()[0]))
        for _ in range(3):
            kiosk.order()
            point = kiosk.protect()
            acknowledged.append((disk.position(), point))
    for at, image in losses(disk, begun, tmp_path, every=8):
        with mounted(image, disk.root):
            expected = [point for known, point in acknowledged if known <= at]
            points = kiosk.points()
            assert points[: len(expected)] == expected
            assert len(kiosk.recovered(points[-1])) >= len(expected)
            assert kiosk("verify", "--read-data")["damaged"] == []
