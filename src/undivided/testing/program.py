"""The program, run like a user runs it: in its own process, with its own configuration.

And a small shop to protect: a database and a tree of files, without a server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PASSPHRASE = "correct horse battery staple"  # noqa: S105


class Program:
    """`undivided …` with its configuration in `home/config`. Another exit code than the expected one fails
    the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "config"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("UNDIVIDED_", "XDG_"))}
        self.environment = {
            **kept,
            "HOME": str(home),
            "UNDIVIDED_CONFIG": str(self.config),
            "UNDIVIDED_PASSPHRASE": PASSPHRASE,
        }

    def initialize(self, *words: object) -> None:
        """`undivided init`, with a passphrase that is cheap to stretch, also for every later command."""
        self._run("undivided.testing.cheap_passphrases", ("init", *words), 0, {})

    def run(self, *words: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run("undivided", words, code, environment)

    def save(self) -> Path:
        """Copies everything in `home`, for `reset`."""
        saved = self.home.with_name(f"{self.home.name}-saved")
        shutil.copytree(self.home, saved, symlinks=True)
        return saved

    def reset(self, saved: Path) -> None:
        """Restores everything in `home` from a saved copy, in the same place."""
        shutil.rmtree(self.home)
        shutil.copytree(saved, self.home, symlinks=True)

    def _run(
        self, module: str, words: Sequence[object], code: int, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        variables = {k: v for k, v in {**self.environment, **environment}.items() if v}
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            env=variables,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def __call__(self, *words: object, code: int = 0, **environment: str) -> dict[str, Any]:
        """The answer with --json."""
        answer: dict[str, Any] = json.loads(self.run(*words, "--json", code=code, **environment).stdout)
        assert answer.pop("version") == 1
        return answer

    def fails(self, *words: object, code: int, **environment: str) -> str:
        """Its message on standard error, behind what was logged there."""
        return message(self.run(*words, code=code, **environment).stderr)


def message(stderr: str) -> str:
    """The message of a command that failed: the last that it prints, after the lines of the log."""
    found = re.search(r"^undivided: .*", stderr, re.MULTILINE | re.DOTALL)
    assert found, stderr
    return found[0]


def describe(home: Path) -> Path:
    """A shop's files, its database, and its service file."""
    site = home / "site"
    (site / "orders").mkdir(parents=True)
    (site / "orders" / "1.txt").write_text("one chair\n")
    (site / "orders" / "2.txt").write_text("two tables\n")
    (site / "about.html").write_text("<h1>Shop</h1>\n")
    with sqlite3.connect(home / "shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        database.execute("INSERT INTO orders (what) VALUES ('chair'), ('tables')")
    database.close()
    file = home / "shop.yaml"
    file.write_text(
        "service: shop\n"
        "components:\n"
        f"  db:   {{kind: sqlite, path: {home}/shop.db}}\n"
        f"  site: {{kind: files, path: {home}/site}}\n"
        "needs: {site: [db]}\n"
        "objectives: {rpo: 1h}\n"
    )
    return file


def open_shop(program: Program, points: int = 0, *, vault: object = "", policy: str = "") -> list[str]:
    """Makes the shop, applies its service file and takes so many points. Returns their ids. vault: its place,
    if not in the configuration. policy: the service's, as YAML."""
    file = describe(program.home)
    if policy:
        file.write_text(file.read_text() + f"policy: {policy}\n")
    program.initialize(*(["--vault", vault] if vault else []))
    program("service", "apply", "shop.yaml")
    return [program("protect", "shop")["point"] for _ in range(points)]


def change(home: Path) -> None:
    (home / "site" / "orders" / "2.txt").unlink()
    (home / "site" / "orders" / "3.txt").write_text("three lamps\n")
    (home / "site" / "about.html").write_text("<h1>Shop and more</h1>\n")
    with sqlite3.connect(home / "shop.db") as database:
        database.execute("INSERT INTO orders (what) VALUES ('lamps')")
    database.close()
