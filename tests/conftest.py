"""Servers that many tests share, each started by the first that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from undivided.testing.s3 import SeaweedFS
from undivided.testing.sftp import PROGRAM, SshServer


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
