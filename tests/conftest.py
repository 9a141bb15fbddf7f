"""What many tests share: a vault in memory, and servers that the first test that needs one starts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from undivided.testing.cheap_passphrases import make_cheap
from undivided.testing.s3 import SeaweedFS
from undivided.testing.sftp import PROGRAM, SshServer
from undivided.vault.crypto import recipients
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

PASSPHRASE = "correct horse"


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost little to stretch. Each recipient records its costs, so they open as usual."""
    for name in ("_ITERATIONS", "_LANES", "_MEMORY_KIB"):
        monkeypatch.setattr(recipients, name, getattr(recipients, name))
    make_cheap()


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
