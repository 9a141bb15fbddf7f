"""A vault behind an SFTP login, by the command line alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from undivided.testing.program import Program, open_shop
from undivided.testing.sftp import SshServer

pytestmark = pytest.mark.real


def test_a_service_is_protected_behind_a_login_and_recovered_from_it(sshd: SshServer, tmp_path: Path) -> None:
    program = Program(tmp_path)
    open_shop(program, 1, vault=sshd.url(tmp_path / "far"))
    assert program("verify", "--read-data")["damaged"] == []
    program("recover", "shop", "--at", "latest", "--to", program.home / "back")
    for name in ("about.html", "orders/1.txt", "orders/2.txt"):
        assert (program.home / "back" / "site" / name).read_bytes() == (tmp_path / "site" / name).read_bytes()
