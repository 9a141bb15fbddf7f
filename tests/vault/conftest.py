"""No test of a vault needs a passphrase that is dear to stretch."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _cheap(cheap_passphrases: None) -> None:
    """Of tests/conftest.py."""
