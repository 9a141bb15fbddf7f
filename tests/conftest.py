"""Servers that many tests share, each started by the first that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from undivided.testing.s3 import SeaweedFS


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedFS]:
    """A real S3 server. Each test takes a prefix of its own."""
    with SeaweedFS() as server:
        yield server
