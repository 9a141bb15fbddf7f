"""The public command line of Undivided, called as a script would call it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any


class CommandFailed(Exception):
    """A command ended with another code than 0. The text is its output."""


class Undivided:
    """`undivided … --json` with a configuration, a passphrase and a vault of its own beneath `home`."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        secret = home / "passphrase"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24))
        self.vault = home / "vault"
        self.program = Path(sys.executable).with_name("undivided")
        self.environment = {
            **os.environ,
            "UNDIVIDED_CONFIG": str(home / "config"),
            "UNDIVIDED_PASSPHRASE_FILE": str(secret),
        }

    def __call__(self, *arguments: str | Path) -> Any:
        """Runs one command to its end and returns its answer."""
        with subprocess.Popen(
            [self.program, *arguments, "--json"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            output, errors = process.communicate()
        if process.returncode:
            words = " ".join(str(a) for a in arguments)
            raise CommandFailed(f"undivided {words} ended with code {process.returncode}\n{errors or output}")
        return json.loads(output) if output.strip() else None
