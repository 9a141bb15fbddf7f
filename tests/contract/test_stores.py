"""Every store, and every wrapper around one, passes the one suite."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_suite import StoreSuite

from undivided.testing.s3 import SeaweedFS
from undivided.testing.sftp import SshServer
from undivided.testing.stores import Flaky
from undivided.vault.stores.address import Address
from undivided.vault.stores.base import Store
from undivided.vault.stores.cache import Cached
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.stores.limit import Limited, TokenBucket
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.stores.registry import open_store
from undivided.vault.stores.retry import Retrying
from undivided.vault.stores.sftp import SftpStore

_count = itertools.count()


class TestDirectoryStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        yield DirectoryStore(tmp_path / "vault")


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        yield MemoryStore()


class TestS3Store(StoreSuite):
    """As the product opens it, with retries and a cache."""

    @pytest.fixture
    def store(self, seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
        for name, value in seaweed.environment.items():
            monkeypatch.setenv(name, value)
        yield open_store(seaweed.url(f"contract/{next(_count)}"), tmp_path)


@pytest.mark.real
class TestSftpStore(StoreSuite):
    """On a real OpenSSH server."""

    many = 300

    @pytest.fixture
    def store(self, sshd: SshServer, tmp_path: Path) -> Iterator[Store]:
        with contextlib.closing(SftpStore(Address.of(sshd.url(tmp_path / "vault")))) as made:
            yield made


class TestRetrying(StoreSuite):
    """Three answers of ten are lost, half of them after the effect."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        flaky = Flaky(MemoryStore(), random.Random(1), share=0.3)
        yield Retrying(flaky, attempts=100, sleep=lambda _: None)


class TestLimited(StoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        ways = {way: TokenBucket(1e9) for way in ("requests", "upload", "download")}
        yield Limited(MemoryStore(), **ways)


class TestCached(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        yield Cached(MemoryStore(), tmp_path / "cache")
