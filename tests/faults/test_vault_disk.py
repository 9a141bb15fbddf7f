"""Faults of the disk beneath a directory store: it is full, it fails to sync, the process dies on the way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.testing.filesystems import loop_filesystem
from undivided.testing.vaults import contents, protect
from undivided.vault.stores.base import ExistsError, StoreError
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

pytestmark = pytest.mark.usefixtures("cheap_passphrases")
PASSPHRASE = "correct horse"
CRASHES = (
    "vault.session-logged",
    "vault.pack-stored",
    "vault.packs-stored",
    "vault.segments-stored",
    "vault.committed",
)


def _reopened(path: Path) -> Vault:
    return Vault.open(DirectoryStore(path), passphrase=lambda: PASSPHRASE)


def _points(vault: Vault) -> list[str]:
    return [e.body["point"]["id"] for e in vault.log() if e.kind == "point"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with loop_filesystem("ext4", tmp_path, megabytes=24) as root:
        yield root


@pytest.mark.real
def test_a_full_disk_leaves_old_points_intact_and_the_next_protection_works(small_disk: Path) -> None:
    vault = Vault.create(DirectoryStore(small_disk / "v"), PASSPHRASE)
    old = {b"old": os.urandom(1_000_000)}
    first = protect(vault, "p1", old)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(6 << 20))
    too_large = {b"new": os.urandom(14 << 20)}
    with pytest.raises(StoreError, match="no space") as caught:
        protect(vault, "p2", too_large)
    assert caught.value.hint
    assert os.listdir(small_disk / "v" / ".tmp") == []
    after = _reopened(small_disk / "v")
    assert _points(after) == ["p1"]
    assert contents(after, first.number) == old
    assert verify(after, Scope(read_data=True)).damaged == []
    ballast.unlink()
    second = protect(after, "p2", too_large)
    assert contents(_reopened(small_disk / "v"), second.number) == {**too_large, **old}


@pytest.mark.real
def test_at_every_amount_of_free_space_a_point_exists_whole_or_not_at_all(small_disk: Path) -> None:
    vault = Vault.create(DirectoryStore(small_disk / "v"), PASSPHRASE)
    kept = {b"f": os.urandom(10_000)}
    protect(vault, "kept", kept)
    ballast = small_disk / "ballast"
    failures = 0
    for left in range(0, 240, 12):
        _fill(ballast, leave=left << 10)
        try:
            protect(vault, f"p{left}", {b"f": os.urandom(100_000)})
        except StoreError:
            failures += 1
        ballast.unlink()
        state = _reopened(small_disk / "v")
        for entry in state.log():
            if entry.kind == "point":
                contents(state, entry.number)
    assert 0 < failures < 20
    assert verify(_reopened(small_disk / "v"), Scope(read_data=True)).damaged == []


def _fill(ballast: Path, leave: int) -> None:
    """Takes all free space of the disk but `leave` bytes, the part kept for root included."""
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(64 << 10))
    os.truncate(ballast, max(0, os.path.getsize(ballast) - leave))
    os.sync()


_CREATE = """
import sys
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.stores.base import StoreError
store = DirectoryStore(sys.argv[1])
try:
    store.create(sys.argv[2], [b"the bytes", b" of the object"])
except StoreError as error:
    print(error)
    sys.exit(1)
"""


def _with_failing_fsync(path: Path, name: str, when: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("strace"):
        pytest.skip("needs strace to make fsync fail")
    trace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(path.parent / "trace"),
        "-e",
        f"inject=fsync:error=EIO:when={when}",
    ]
    result = subprocess.run(
        [*trace, sys.executable, "-c", _CREATE, str(path), name], capture_output=True, text=True, timeout=60
    )
    if "ptrace" in result.stderr:
        pytest.skip("this machine does not allow strace")
    return result


def _traced(path: Path, call: str) -> list[str]:
    lines = (path.parent / "trace").read_text().splitlines()
    return [line for line in lines if f"{call}(" in line]


def test_after_a_failed_fsync_the_bytes_go_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "v"
    DirectoryStore(path).create("a", [b"makes the directories"])
    result = _with_failing_fsync(path, "o", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert DirectoryStore(path).read("o") == b"the bytes of the object"
    assert os.listdir(path / ".tmp") == []
    assert len(_traced(path, "fsync")) == 3  # the failed one, the new file, the directory


@pytest.mark.parametrize("when", ["1+", "2+"])
def test_when_fsync_keeps_failing_nothing_is_stored_and_the_error_states_it(
    tmp_path: Path, when: str
) -> None:
    path = tmp_path / "v"
    DirectoryStore(path).create("a", [b"makes the directories"])
    result = _with_failing_fsync(path, "o", when)
    assert result.returncode == 1
    assert "HINT" in result.stdout
    assert [n for n, _ in DirectoryStore(path).list()] == ["a"]
    assert os.listdir(path / ".tmp") == []


def test_leftovers_of_a_crashed_writer_are_removed_and_a_living_ones_kept(tmp_path: Path) -> None:
    import fcntl

    store = DirectoryStore(tmp_path / "v")
    store.create("a", [b"1"])
    leftover, alive = (tmp_path / "v" / ".tmp" / n for n in ("dead", "alive"))
    leftover.write_bytes(b"half")
    with open(alive, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        DirectoryStore(tmp_path / "v").create("b", [b"2"])
        assert not leftover.exists()
        assert alive.exists()
    assert [n for n, _ in store.list()] == ["a", "b"]


@pytest.mark.parametrize("place", CRASHES)
def test_killed_at_any_step_a_point_exists_whole_or_not_at_all(tmp_path: Path, place: str) -> None:
    vault = Vault.create(DirectoryStore(tmp_path / "v"), PASSPHRASE)
    old = {b"old": os.urandom(200_000)}
    first = protect(vault, "p1", old)
    new = {b"new": os.urandom(300_000)}
    child = os.fork()
    if not child:
        os.environ["UNDIVIDED_CRASH_AT"] = place
        try:
            protect(Vault.open(DirectoryStore(tmp_path / "v"), keys=vault.keys), "p2", new)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    after = _reopened(tmp_path / "v")
    there = ["p1", "p2"] if place == "vault.committed" else ["p1"]
    assert _points(after) == there
    assert contents(after, first.number) == old
    assert verify(after, Scope(read_data=True)).damaged == []
    again = protect(after, "p3", new)
    assert contents(_reopened(tmp_path / "v"), again.number) == {**new, **old}


def test_a_killed_writer_leaves_no_half_object(tmp_path: Path) -> None:
    """SIGKILL while objects are being written, many times: each is there whole or not at all."""
    store = DirectoryStore(tmp_path / "v")
    data = os.urandom(3 << 20)
    for attempt in range(12):
        child = os.fork()
        if not child:
            mine = DirectoryStore(tmp_path / "v")
            number = 0
            while True:
                try:
                    mine.create(f"packs/{attempt:02d}/{number}", [data, b"%d" % number])
                except ExistsError:
                    os._exit(3)
                number += 1
        deadline = 200 * (attempt + 1)
        while deadline and not list(store.list(f"packs/{attempt:02d}/")):
            deadline -= 1
            os.sched_yield()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for name, size in store.list():
        assert size == len(data) + len(name.rpartition("/")[2])
        assert store.read(name) == data + name.rpartition("/")[2].encode()
    DirectoryStore(tmp_path / "v").create("after", [b""])
    assert os.listdir(tmp_path / "v" / ".tmp") == []
