"""Every store through the one suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_suite import StoreSuite

from undivided.vault.stores.base import Store
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.stores.memory import MemoryStore


class TestDirectoryStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        yield DirectoryStore(tmp_path / "vault")


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        yield MemoryStore()
