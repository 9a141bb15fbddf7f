"""The programs that are compared, each driven by its own command line as in its manual, with its defaults.

A tool gives four commands: make a repository, back a path up, restore the last backup, print its version.
Every peer on PATH takes part; bench/README.md explains how to install them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PASSPHRASE = "bench"


@dataclass
class Cost:
    """Of one command: wall seconds and peak resident memory of its largest process, in MiB."""

    seconds: float
    megabytes: float


def run(command: list[str], environment: Mapping[str, str], cwd: Path | None = None) -> Cost:
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak = Peak(process.pid)
    peak.start()
    _, complaint = process.communicate()
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{complaint.decode(errors='replace')}")
    peak.join()
    return Cost(seconds, peak.kibibytes / 1024)


class Peak(threading.Thread):
    """Watches the most memory that a process ever had. What wait4 reports of a child is no use: it has the
    memory of the parent in it that the child was forked from."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.kibibytes = 0
        self._status = f"/proc/{pid}/status"

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while found := re.search(rb"VmHWM:\s*(\d+)", Path(self._status).read_bytes()):
                self.kibibytes = int(found[1])
                time.sleep(0.01)


DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def may_drop_caches() -> bool:
    return os.access(DROP_CACHES, os.W_OK)


def drop_caches() -> None:
    """Makes the next command read everything from the disk, its own program included."""
    os.sync()
    DROP_CACHES.write_text("3\n")


def flush(path: Path) -> float:
    """Seconds until all that was written on this filesystem is on disk."""
    return run(["sync", "-f", str(path)], {}).seconds


@dataclass
class Tool:
    """One program on one private repository under `home`."""

    home: Path
    name: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return self.home / "repository"

    def version(self) -> str:
        raise NotImplementedError

    def create(self) -> None:
        raise NotImplementedError

    def backup(self, path: Path) -> Cost:
        raise NotImplementedError

    def restore(self, path: Path, into: Path) -> Cost:
        raise NotImplementedError

    def stored(self) -> int:
        return sum(f.stat().st_size for f in self.repository.rglob("*") if f.is_file())


class Restic(Tool):
    def __init__(self, home: Path) -> None:
        cache = {"RESTIC_PASSWORD": PASSPHRASE, "RESTIC_CACHE_DIR": str(home / "cache")}
        super().__init__(home, "restic", {**cache, "RESTIC_REPOSITORY": str(home / "repository")})

    def version(self) -> str:
        return subprocess.check_output(["restic", "version"], text=True).split()[1]

    def create(self) -> None:
        run(["restic", "init"], self.environment)

    def backup(self, path: Path) -> Cost:
        return run(["restic", "backup", str(path)], self.environment)

    def restore(self, path: Path, into: Path) -> Cost:
        return run(["restic", "restore", "latest", "--target", str(into)], self.environment)


class Borg(Tool):
    def __init__(self, home: Path) -> None:
        places = {"BORG_REPO": str(home / "repository"), "BORG_BASE_DIR": str(home)}
        super().__init__(home, "borg", {**places, "BORG_PASSPHRASE": PASSPHRASE})
        self.count = 0

    def version(self) -> str:
        return subprocess.check_output(["borg", "--version"], text=True).split()[1]

    def create(self) -> None:
        run(["borg", "init", "--encryption", "repokey-blake2"], self.environment)

    def backup(self, path: Path) -> Cost:
        self.count += 1
        return run(["borg", "create", f"::{self.count}", str(path)], self.environment)

    def restore(self, path: Path, into: Path) -> Cost:
        into.mkdir()
        return run(["borg", "extract", f"::{self.count}"], self.environment, into)


class Kopia(Tool):
    def __init__(self, home: Path) -> None:
        places = {"KOPIA_CONFIG_PATH": str(home / "config"), "KOPIA_CACHE_DIRECTORY": str(home / "cache")}
        super().__init__(
            home, "kopia", {**places, "KOPIA_PASSWORD": PASSPHRASE, "KOPIA_CHECK_FOR_UPDATES": "false"}
        )

    def version(self) -> str:
        return subprocess.check_output(["kopia", "--version"], text=True).split()[0]

    def create(self) -> None:
        self.repository.mkdir()
        run(["kopia", "repository", "create", "filesystem", "--path", str(self.repository)], self.environment)

    def backup(self, path: Path) -> Cost:
        return run(["kopia", "snapshot", "create", str(path)], self.environment)

    def restore(self, path: Path, into: Path) -> Cost:
        listed = subprocess.check_output(
            ["kopia", "snapshot", "list", "--json", str(path)], env={**os.environ, **self.environment}
        )
        return run(
            ["kopia", "snapshot", "restore", json.loads(listed)[-1]["id"], str(into)], self.environment
        )


class Rustic(Tool):
    def __init__(self, home: Path) -> None:
        places = {"RUSTIC_REPOSITORY": str(home / "repository"), "RUSTIC_CACHE_DIR": str(home / "cache")}
        super().__init__(home, "rustic", {**places, "RUSTIC_PASSWORD": PASSPHRASE})

    def version(self) -> str:
        return subprocess.check_output(["rustic", "--version"], text=True).split()[1]

    def create(self) -> None:
        run(["rustic", "init"], self.environment)

    def backup(self, path: Path) -> Cost:
        return run(["rustic", "backup", str(path)], self.environment)

    def restore(self, path: Path, into: Path) -> Cost:
        return run(["rustic", "restore", f"latest:{path}", str(into)], self.environment)


class Undivided(Tool):
    def __init__(self, home: Path) -> None:
        # As installed: with the bytecode of its modules kept, whatever the caller's environment is.
        config = {"PYTHONDONTWRITEBYTECODE": "", "UNDIVIDED_CONFIG": str(home / "config")}
        config["UNDIVIDED_PASSPHRASE"] = PASSPHRASE
        super().__init__(home, "undivided", config)
        self.program = str(Path(sys.executable).with_name("undivided"))

    def version(self) -> str:
        return subprocess.check_output([self.program, "--version"], text=True).split()[-1]

    def create(self) -> None:
        run([self.program, "init", "--vault", str(self.repository)], self.environment)

    def backup(self, path: Path) -> Cost:
        if not (self.home / "data.yaml").exists():
            self._apply(path)
        return run([self.program, "protect", "data"], self.environment)

    def restore(self, path: Path, into: Path) -> Cost:
        return run([self.program, "recover", "data", "--at", "latest", "--to", str(into)], self.environment)

    def _apply(self, path: Path) -> None:
        file = self.home / "data.yaml"
        file.write_text(f"service: data\ncomponents:\n  data: {{kind: files, path: {path}}}\n")
        run([self.program, "service", "apply", str(file)], self.environment)


ALL = {"restic": Restic, "borg": Borg, "kopia": Kopia, "rustic": Rustic}


def present(home: Path) -> list[Tool]:
    """Us, and every peer on PATH, each with an empty home of its own beneath `home`."""
    found = [Undivided, *(tool for program, tool in ALL.items() if shutil.which(program))]
    tools = []
    for make in found:
        place = home / make.__name__.lower()
        place.mkdir(parents=True)
        tools.append(make(place))
    return tools
