"""Pruning a vault on a disk that is full: exactly then it is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.testing.filesystems import loop_filesystem
from undivided.testing.vaults import contents, protect
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.base import FullError
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify


@pytest.fixture
def vault(tmp_path: Path, cheap_passphrases: None) -> Iterator[Vault]:
    with loop_filesystem("ext4", tmp_path, megabytes=40) as root:
        yield Vault.create(DirectoryStore(root / "vault"), "correct horse")


def fill(path: Path) -> None:
    """To the last byte."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 4096, 512, 1):
            try:
                while True:
                    os.write(handle, bytes(size))
            except OSError:
                continue
        os.fsync(handle)
    finally:
        os.close(handle)


@pytest.mark.real
def test_a_full_disk_is_freed_by_a_prune(vault: Vault) -> None:
    root = Path(vault.store.url)
    stays = os.urandom(200_000)
    protect(vault, "p1", {b"goes": os.urandom(8_000_000), b"stays": stays})
    last = protect(vault, "p2", {b"goes": b"gone"})
    fill(root.parent / "ballast")
    with pytest.raises(FullError):
        protect(vault, "p3", {b"more": os.urandom(100_000)})
    before = os.statvfs(root).f_bavail
    pruned = execute(vault, plan_prune(vault, ["p1"], grace=0, threshold=1.0))
    assert pruned.entry
    execute(vault, plan_prune(vault, grace=0, threshold=1.0))
    assert (os.statvfs(root).f_bavail - before) * os.statvfs(root).f_frsize > 5_000_000
    assert contents(vault, last.number) == {b"goes": b"gone", b"stays": stays}
    assert verify(vault, Scope(read_data=True)).damaged == []
    assert (root / "ballast").stat().st_size
    protect(vault, "p3", {b"more": os.urandom(100_000)})


@pytest.mark.real
def test_what_a_prune_without_room_left_half_way_is_gone(vault: Vault) -> None:
    root = Path(vault.store.url)
    for number in range(4):
        protect(vault, f"p{number}", {b"a": os.urandom(1_500_000), b"b%d" % number: os.urandom(1_500_000)})
    fill(root.parent / "ballast")
    plan = plan_prune(vault, ["p0", "p1", "p2"], grace=0, threshold=1.0)
    assert plan.repacked
    execute(vault, plan)
    named = {name for entry in vault.log() for name in entry.links.get("index", ())}
    assert {name.rpartition("/")[2] for name, _ in vault.store.list("index/")} <= named
    assert len(contents(vault, plan.head.number)) == 5
