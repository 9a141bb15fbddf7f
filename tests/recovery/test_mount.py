"""A point mounted by the kernel, compared with the tree it was taken of."""

from __future__ import annotations

import ctypes.util
import errno
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from undivided.host.detach import run_detached
from undivided.model.errors import UndividedError, UsageError
from undivided.model.point import RecoveryPoint
from undivided.recovery.mount import mount
from undivided.testing.history import History

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount and to make devices"),
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse"),
    pytest.mark.skipif(not ctypes.util.find_library("fuse3"), reason="needs libfuse3"),
]

Facts = dict[bytes, tuple[object, ...]]


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A tree with one of everything."""
    root = tmp_path / "original"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "file").write_bytes(os.urandom(3 << 20))
    (root / "empty").touch()
    os.link(root / "deep" / "er" / "file", root / "twin")
    os.symlink("deep/er/file", root / "to")
    os.symlink("nowhere", root / "dangling")
    os.mkfifo(root / "fifo")
    os.mknod(root / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with open(os.path.join(os.fsencode(root), b"caf\xe9 \xff"), "wb") as file:
        file.write(b"not UTF-8")
    with open(root / "sparse", "wb") as file:
        file.seek(5 << 20)
        file.write(b"island")
        file.truncate(9 << 20)
    os.setxattr(root / "empty", "user.colour", b"blue")
    os.setxattr(root / "deep", "trusted.mark", b"\0\1")
    os.chown(root / "empty", 1234, 4321)
    os.chmod(root / "deep" / "er", 0o1750)
    os.utime(root / "to", ns=(1, 987654321123456789), follow_symlinks=False)
    os.utime(root, ns=(1, 1111111111222222222))
    return root


@contextmanager
def mounted(
    history: History, point: RecoveryPoint, at: Path, end: Callable[[Path, int], None]
) -> Iterator[Path]:
    """A point mounted by another process, which is ended by `end(at, its pid)`."""
    at.mkdir()
    pid = run_detached(lambda ready: _serve(history, point, at, ready), doing="mount")
    try:
        yield at
    finally:
        end(at, pid)
        deadline = time.monotonic() + 20
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                subprocess.run(["umount", "-l", str(at)], check=False)
            time.sleep(0.01)


def _serve(history: History, point: RecoveryPoint, at: Path, ready: Callable[[], None]) -> None:
    from undivided.recovery.mount import serve
    from undivided.recovery.point_tree import PointTree
    from undivided.recovery.vault_source import VaultSource

    reader = history.vault.reader()
    sources = {name: VaultSource(reader, part) for name, part in point.components.items()}
    serve(PointTree(sources, reader, point.time_ns), at, "portal", ready=ready)


def unmount(at: Path, _pid: int) -> None:
    subprocess.run(["umount", str(at)], check=True)


def interrupt(_at: Path, pid: int) -> None:
    os.kill(pid, signal.SIGINT)


def facts(root: Path) -> Facts:
    """All that can be seen of a tree: per path its attributes, links and content."""
    found: Facts = {}
    inodes: dict[int, bytes] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in [b"", *folders, *files] if folder == top else [*folders, *files]:
            path = os.path.join(folder, name) if name else folder
            s = os.lstat(path)
            content: object = None
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(s.st_mode):
                content = os.readlink(path)
            links = (
                None
                if stat.S_ISDIR(s.st_mode)
                else (s.st_nlink, inodes.setdefault(s.st_ino, path[len(top) :]))
            )
            size = None if stat.S_ISDIR(s.st_mode) else s.st_size
            names = os.listxattr(path, follow_symlinks=False)
            xattrs = {x: os.getxattr(path, x, follow_symlinks=False) for x in names}
            shown = (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_rdev, size, links, xattrs, content)
            found[path[len(top) :]] = shown
    return found


def test_a_mounted_point_shows_everything_of_its_original(original: Path, tmp_path: Path) -> None:
    history = History()
    point = history.point(history.tree(original))
    with mounted(history, point, tmp_path / "mnt", unmount) as at:
        assert os.listdir(at) == ["site"]
        here, there = facts(at / "site"), facts(original)
        assert here.keys() == there.keys()
        for path, shown in there.items():
            assert here[path] == shown, path
        compared = subprocess.run(
            ["diff", "-r", "--no-dereference", "-x", "fifo", "-x", "null", str(original), str(at / "site")],
            capture_output=True,
        )
        assert compared.returncode == 0, compared.stdout
    assert os.listdir(tmp_path / "mnt") == []


def test_a_mounted_point_is_read_only(original: Path, tmp_path: Path) -> None:
    history = History()
    point = history.point(history.tree(original))
    with mounted(history, point, tmp_path / "mnt", interrupt) as at:
        site = at / "site"
        attempts: list[Callable[[], object]] = [
            lambda: (site / "empty").write_text("x"),
            lambda: (site / "new").touch(),
            lambda: (site / "empty").unlink(),
            lambda: (site / "new").mkdir(),
            lambda: (site / "empty").rename(site / "full"),
            lambda: os.chmod(site / "empty", 0o777),
            lambda: os.truncate(site / "twin", 0),
            lambda: os.setxattr(site / "empty", "user.colour", b"red"),
            lambda: os.symlink("a", site / "b"),
        ]
        for attempt in attempts:
            with pytest.raises(OSError) as refused:
                attempt()
            assert refused.value.errno == errno.EROFS
    assert not os.path.ismount(tmp_path / "mnt")


def test_parts_of_files_are_read_without_the_rest(original: Path, tmp_path: Path) -> None:
    history = History()
    point = history.point(history.tree(original))
    whole = (original / "twin").read_bytes()
    with mounted(history, point, tmp_path / "mnt", unmount) as at, open(at / "site" / "twin", "rb") as file:
        for offset in (0, 1, 999_999, len(whole) - 3, len(whole)):
            file.seek(offset)
            assert file.read(70_000) == whole[offset : offset + 70_000]


def test_damage_is_an_input_output_error_for_that_file_only(original: Path, tmp_path: Path) -> None:
    history = History()
    point = history.point(history.tree(original))
    healthy = history.rows([])
    assert healthy.sequence
    for name, _size in list(history.store.list("packs/")):
        history.store.delete(name)
    with mounted(history, point, tmp_path / "mnt", unmount) as at:
        with pytest.raises(OSError) as refused:
            (at / "site" / "twin").read_bytes()
        assert refused.value.errno == errno.EIO
        assert (at / "site" / "empty").read_bytes() == b""


def test_a_background_mount_reports_what_it_could_not_read_to_the_system_log(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    point = history.point(history.tree(original))
    for name, _size in list(history.store.list("packs/")):
        history.store.delete(name)
    at = tmp_path / "mnt"
    at.mkdir()
    monkeypatch.setattr("undivided.recovery.mount._SYSTEM_LOG", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(20)
        mount(history.vault, point, at, foreground=False)
        try:
            with pytest.raises(OSError):
                (at / "site" / "twin").read_bytes()
            record = log.recv(1 << 16).decode()
        finally:
            subprocess.run(["umount", str(at)], check=True)
    assert f"undivided: mount {at}: " in record
    assert "packs/" in record


def test_a_point_is_mounted_on_an_existing_directory_only(tmp_path: Path) -> None:
    history = History()
    point = history.point(history.rows([]))
    with pytest.raises(UsageError, match="is not a directory"):
        mount(history.vault, point, tmp_path / "nowhere")


def test_a_failure_in_the_background_is_raised_in_the_foreground() -> None:
    def fails(ready: Callable[[], None]) -> None:
        raise UndividedError("the cause", doing="what was done", hint="Do this.")

    with pytest.raises(UndividedError) as raised:
        run_detached(fails, doing="x")
    assert (raised.value.cause, raised.value.doing, raised.value.hint) == (
        "the cause",
        "what was done",
        "Do this.",
    )
