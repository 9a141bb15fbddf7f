"""A store behind a login: trusted hosts, accepted keys, and broken connections."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from undivided.testing.sftp import PROGRAM, SshServer
from undivided.vault.stores.address import Address
from undivided.vault.stores.base import StoreError, TransientError
from undivided.vault.stores.registry import open_store
from undivided.vault.stores.sftp import SftpStore

pytestmark = pytest.mark.real


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A server that a test may kill."""
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip(f"needs {PROGRAM} (Debian: openssh-server)")
    with SshServer() as started:
        yield started


def failure(url: str) -> StoreError:
    with contextlib.closing(SftpStore(Address.of(url))) as store, pytest.raises(StoreError) as error:
        store.create("a", [b"x"])
    return error.value


def test_a_host_that_is_not_known_is_not_trusted(sshd: SshServer, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    url = sshd.url(tmp_path / "v").replace(str(sshd.known_hosts), str(tmp_path / "empty"))
    assert "not known" in failure(url).cause
    assert not (tmp_path / "v").exists()


def test_a_refused_key_is_an_error_that_does_not_pass(sshd: SshServer, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    url = sshd.url(tmp_path / "v").replace(str(sshd.key), str(tmp_path / "other"))
    error = failure(url)
    assert "login was refused" in error.cause
    assert not isinstance(error, TransientError)


def test_a_broken_connection_is_made_again_and_logged(
    server: SshServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "undivided.vault.stores.sftp")
    store = open_store(server.url(tmp_path / "v"))
    store.create("log/1", [b"one"])
    server.kill()
    server.start()
    store.create("log/2", [b"two"])
    assert store.read("log/1") + store.read("log/2") == b"onetwo"
    assert f"{store.url}: the connection was lost; connecting again" in caplog.messages


def test_an_interrupted_upload_leaves_nothing_under_the_name(server: SshServer, tmp_path: Path) -> None:
    temporary = tmp_path / "v" / ".tmp"
    url = server.url(tmp_path / "v")
    with contextlib.closing(SftpStore(Address.of(url))) as store, ThreadPoolExecutor(1) as uploader:
        store.create("log/1", [b"one"])
        upload = uploader.submit(store.create, "packs/aa/a", [bytes(1 << 20)] * 500)
        until = time.monotonic() + 60
        while not any(entry.stat().st_size for entry in os.scandir(temporary)):
            assert time.monotonic() < until and not upload.done()
            time.sleep(0.001)
        server.kill()
        with pytest.raises(TransientError):
            upload.result()
        server.start()
        assert list(store.list()) == [("log/1", 3)]
        store.create("packs/aa/a", [b"whole"])
        assert store.read("packs/aa/a") == b"whole"


def test_an_unreachable_server_is_an_error_that_may_pass(server: SshServer, tmp_path: Path) -> None:
    server.kill()
    assert isinstance(failure(server.url(tmp_path / "v")), TransientError)


def test_files_of_a_crashed_writer_are_removed_and_those_of_a_running_one_are_kept(
    sshd: SshServer, tmp_path: Path
) -> None:
    temporary = tmp_path / "v" / ".tmp"
    temporary.mkdir(parents=True)
    for name, age in (("crashed", 30 * 86400), ("running", 3600)):
        (temporary / name).write_bytes(b"half")
        os.utime(temporary / name, (time.time() - age,) * 2)
    with contextlib.closing(SftpStore(Address.of(sshd.url(tmp_path / "v")))) as store:
        store.create("a", [b"x"])
    assert os.listdir(temporary) == ["running"]


def test_a_directory_and_a_login_see_the_same_vault(sshd: SshServer, tmp_path: Path) -> None:
    local = open_store(tmp_path / "v")
    local.create("packs/aa/a", [b"from here"])
    with contextlib.closing(SftpStore(Address.of(sshd.url(tmp_path / "v")))) as store:
        store.create("packs/aa/b", [b"from there"])
        assert list(store.list()) == list(local.list()) == [("packs/aa/a", 9), ("packs/aa/b", 10)]
