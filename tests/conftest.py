"""What many tests share: a vault in memory, and servers that are started by the first that asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from undivided.testing.s3 import SeaweedFS
from undivided.testing.sftp import PROGRAM, SshServer
from undivided.vault.crypto import recipients
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

PASSPHRASE = "correct horse"


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost little to stretch: each recipient records its costs, so cheap ones open like dear ones."""
    monkeypatch.setattr(recipients, "_ITERATIONS", 1)
    monkeypatch.setattr(recipients, "_LANES", 1)
    monkeypatch.setattr(recipients, "_MEMORY_KIB", 64)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def vault(store: MemoryStore, cheap_passphrases: None) -> Vault:
    return Vault.create(store, PASSPHRASE)


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedFS]:
    """A real S3 server. Each test takes a prefix of its own."""
    with SeaweedFS() as server:
        yield server


@pytest.fixture(scope="session")
def sshd() -> Iterator[SshServer]:
    """A real OpenSSH server. Each test takes a directory of its own."""
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip(f"needs {PROGRAM} (Debian: openssh-server)")
    with SshServer() as server:
        yield server
