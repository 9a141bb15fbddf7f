"""`make bench`, second part: the pause and the skew of the cut under write load, next to the disk's own
fsync.

The five kinds of component are written to without a pause by the torture rig's writers, every write
acknowledged by its application. Points are taken through the public command line; between them the same
disk's bare fsync is measured under the same load. The limit is that fsync: a commit cannot be
faster than the disk.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from undivided.testing.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "real")]

from demo.command import Undivided  # noqa: E402
from rigs import servers  # noqa: E402
from rigs.torture import Ground  # noqa: E402

KINDS = {"rows": "postgresql", "tables": "mariadb", "keys": "redis", "book": "sqlite", "tree": "files"}
SERVICES = {2: ("tables", "tree"), 5: tuple(KINDS)}
THREADS = 4


@contextlib.contextmanager
def load(ground: Ground) -> Iterator[None]:
    """The rig's writers at work on all five."""
    here = ROOT / "tests" / "real"
    scribe: list[str | Path] = [ground.tree, ground.scribe_socket, ground.scribe_pid]
    crew: list[str | Path] = [ground.home, *map(str, ground.ports), str(THREADS)]
    program = [sys.executable, "-m", "rigs.torture.scribe", *scribe]
    with servers.family(), subprocess.Popen(program, cwd=here) as scribing:
        servers.until(ground.scribe_socket.exists, "the scribe")
        with subprocess.Popen([sys.executable, "-m", "rigs.torture.writers", *crew], cwd=here) as writers:
            servers.until(ground.journal.exists, "the first tokens")
            yield
            writers.terminate()
        scribing.terminate()


def service(ground: Ground, names: Sequence[str]) -> dict[str, Any]:
    where = ground.where()
    components = {name: {"kind": KINDS[name], **where[name]} for name in names}
    components["tree"]["writers"] = {"pidfile": str(ground.scribe_pid), "freeze": "stop"}
    return {"service": f"cut{len(names)}", "components": components}


def fsyncs(directory: Path, count: int) -> list[float]:
    """Milliseconds of `count` fsyncs of 4 KiB appended to a file."""
    found = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            found.append((time.perf_counter() - begun) * 1e3)
    return found


def percentile(values: Sequence[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def main(points: int = 100) -> None:
    servers.needs("mariadbd", "mariadb-backup", "redis-server", str(servers.POSTGRESQL / "postgres"))
    with tempfile.TemporaryDirectory(prefix="undivided-bench-") as directory, servers.family():
        home = Path(directory)
        home.chmod(0o755)
        ground = Ground(home / "here", tuple(free_ports(3)))  # type: ignore[arg-type]
        ground.create()
        undivided = Undivided(home / "undivided")
        undivided("init", "--vault", undivided.vault)
        rows: list[tuple[str, list[float], list[float], float]] = []
        bare: list[float] = []
        slowest: dict[str, list[float]] = {}
        with load(ground):
            for size, names in SERVICES.items():
                file = home / f"{size}.yaml"
                file.write_text(yaml.safe_dump(service(ground, names)))
                undivided("service", "apply", file)
                pauses, skews = [], []
                for _ in range(points):
                    point = undivided("protect", f"cut{size}")
                    pauses.append(point["pause_ms"])
                    skews.append(point["skew_ms"])
                    bare += fsyncs(home, 10)
                    for name, part in point["components"].items():
                        for step, took in part.get("took_ms", {}).items():
                            slowest.setdefault(f"{size} {name} {step}", []).append(took)
                rows.append((f"{size} components", pauses, skews, max(pauses)))
        print(f"## The cut under write load, {points} points each\n")
        print("| | pause p50 | p99 | max | skew p50 | p99 |\n|---|---|---|---|---|---|")
        for title, pauses, skews, worst in rows:
            figures = [percentile(pauses, 50), percentile(pauses, 99), worst]
            figures += [percentile(skews, 50), percentile(skews, 99)]
            print(f"| {title} | " + " | ".join(f"{figure:.1f} ms" for figure in figures) + " |")
        limits = [percentile(bare, 50), percentile(bare, 99), max(bare)]
        print("| bare fsync of the same disk | " + " | ".join(f"{x:.1f} ms" for x in limits) + " | | |")
        for title, pauses, _, _ in rows:
            print(
                f"\n{title}: p99 of the pause is {percentile(pauses, 99) / limits[1]:.2f}× the p99 of fsync"
            )
        print("\n| step | p50 | p99 |\n|---|---|---|")
        for name, values in slowest.items():
            print(f"| {name} | {percentile(values, 50):.1f} ms | {percentile(values, 99):.1f} ms |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
