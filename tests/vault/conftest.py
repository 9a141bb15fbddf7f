"""A vault in memory, made with a passphrase that costs little to stretch."""

from __future__ import annotations

import pytest

from undivided.vault import recipients
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The costs are recorded in each recipient, so cheap ones open like dear ones."""
    monkeypatch.setattr(recipients, "_ITERATIONS", 1)
    monkeypatch.setattr(recipients, "_LANES", 1)
    monkeypatch.setattr(recipients, "_MEMORY_KIB", 64)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def vault(store: MemoryStore) -> Vault:
    return Vault.create(store, PASSPHRASE)
