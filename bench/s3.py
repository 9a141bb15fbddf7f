"""`make bench`, third part: the first backup to a distant bucket next to the one to a directory.

Every request waits 50 ms before it goes out (delayed.py). The bucket is a real S3 server on the same
machine, so its own work, hashing and writing what it gets, is paid for by the same cores; the row
"directory + 50 ms" has the delay alone, which is what distance costs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from undivided.testing.s3 import SeaweedFS

from . import data, tools

DELAY = 0.05


class Way(tools.Undivided):
    """Us on a store of some kind; delay: seconds before each of its requests."""

    def __init__(self, home: Path, name: str, where: str, delay: float, environment: dict[str, str]) -> None:
        super().__init__(home)
        self.name, self.where = name, where
        self.environment |= environment
        if delay:
            self.delayed = [sys.executable, "-m", "bench.delayed", str(delay)]
        else:
            self.delayed = [self.program]

    def create(self) -> None:
        tools.run([self.program, "init", "--vault", self.where], self.environment)

    def backup(self, path: Path) -> tools.Cost:
        if not (self.home / "data.yaml").exists():
            self._apply(path)
        return tools.run([*self.delayed, "protect", "data"], self.environment)


def ways(home: Path, server: SeaweedFS, repeat: int) -> list[Way]:
    keys, bucket = dict(server.environment), server.url(f"repeat-{repeat}/near")
    distant = server.url(f"repeat-{repeat}/distant")
    found: list[Way] = []
    for name, where, delay in (
        ("directory", str(home / "a"), 0.0),
        (f"directory + {DELAY * 1000:.0f} ms", str(home / "b"), DELAY),
        ("S3", bucket, 0.0),
        (f"S3 + {DELAY * 1000:.0f} ms", distant, DELAY),
    ):
        place = home / f"way-{len(found)}"
        place.mkdir(parents=True)
        found.append(Way(place, name, where, delay, keys))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the mixed file")
    options, _ = parser.parse_known_args()
    seconds: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    server_seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="undivided-bench-") as directory, SeaweedFS() as server:
        scratch = Path(directory)
        (scratch / "file").mkdir()
        subject = data.mixed_file(scratch / "file" / "mixed", options.size).parent
        for repeat in range(options.repeats):
            home = scratch / f"repeat-{repeat}"
            contestants = ways(home, server, repeat)
            random.Random(repeat).shuffle(contestants)
            for way in contestants:
                way.create()
                os.sync()
                before = server.processor_seconds
                cost = way.backup(subject)
                seconds[way.name].append(cost.seconds)
                server_seconds[way.name].append(server.processor_seconds - before)
                memory[way.name].append(cost.megabytes)
            shutil.rmtree(home)
    print(f"## First backup of {options.size >> 20} MiB to a distant store\n")
    print("| | first | ÷ directory | memory | processor time of the S3 server |\n|---|---|---|---|---|")
    near = statistics.median(seconds["directory"])
    for name in sorted(seconds):
        took, held = statistics.median(seconds[name]), statistics.median(memory[name])
        there = f"{statistics.median(server_seconds[name]):.2f} s" if name.startswith("S3") else ""
        print(f"| {name} | {took:.2f} s | {took / near:.2f}× | {held:.0f} MiB | {there} |")
    print(flush=True)


if __name__ == "__main__":
    main()
