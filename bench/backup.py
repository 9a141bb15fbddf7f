"""`make bench`, first part: backup and restore next to the peers and the physical limit.

Every repeat begins with empty repositories. In each step all tools take their turn on the same bytes, in
shuffled order, before the next step; figures are medians over the repeats. Ratios: peer's time divided by
ours (bigger is better for us), and our time against the limit (1.00 is the hardware).

A restore has two times. "returned" is when the command ended. "on disk" is when `sync -f`, which follows each
command, has ended as well: our command has flushed by then, the peers have not.

A restore is measured twice: with what the machine has in memory, and cold. A real restore is cold: the backup
was made days ago, or on another machine. Only root can drop the page cache; otherwise the cold columns stay
empty.

Nothing is deleted before the end. An ext4 without a journal gives out no inode that was freed in the last
minute, and looks through all of them for each file it makes: after a deletion, the next restore would take
several times as long.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from . import data, limit, tools

BACKUPS = ("first", "unchanged", "1 % changed")
RESTORES = ("restore", "cold restore")
COLD = RESTORES[1]
LEGEND = (
    "returned: until the command had ended; on disk: until `sync -f`, run after each command, had ended too. "
    "cold: the page cache was dropped before. In the other restores the peers read from memory what they "
    "have just written, while undivided writes packs past the page cache and reads them from the disk. "
    "memory: the most that any process of any of the commands had."
)


def returned(step: str) -> str:
    return f"{step}, returned"


def on_disk(step: str) -> str:
    return f"{step}, on disk"


def measure(pristine: Path, scratch: Path, repeats: int, change) -> dict[tuple[str, str], list[float]]:  # type: ignore[no-untyped-def]
    """(tool, step) → seconds of each repeat; also (tool, "memory") in MiB and (tool, "stored") in MiB."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for repeat in range(repeats):
        order = random.Random(repeat)
        home = scratch / f"{pristine.name}-{repeat}"
        subject = home / "subject"
        shutil.copytree(pristine, subject, symlinks=True)
        contestants = tools.present(home)
        for tool in contestants:
            tool.create()
        found["limit", "first"].append(limit.backup_seconds(subject))
        found["limit", "unchanged"].append(limit.walk_seconds(subject))
        for step in BACKUPS:
            if step == "1 % changed":
                change(subject)
            order.shuffle(contestants)
            for tool in contestants:
                os.sync()
                cost = tool.backup(subject)
                found[tool.name, step].append(cost.seconds)
                found[tool.name, "memory"].append(cost.megabytes)
                if step == "first":
                    found[tool.name, "stored"].append(tool.stored() / 2**20)
        for step in RESTORES:
            if step == COLD and not tools.may_drop_caches():
                continue
            order.shuffle(contestants)
            for tool in contestants:
                target = home / f"{step}-{tool.name}"
                prepare(step)
                cost = tool.restore(subject, target)
                found[tool.name, returned(step)].append(cost.seconds)
                found[tool.name, on_disk(step)].append(cost.seconds + tools.flush(target))
                found[tool.name, "memory"].append(cost.megabytes)
                data.hollow(target)
            target = home / f"{step}-copy"
            prepare(step)
            copied = limit.copy_seconds(subject, target)
            found["limit", returned(step)].append(copied)
            found["limit", on_disk(step)].append(copied + tools.flush(target))
        data.hollow(home)
    return found


def prepare(step: str) -> None:
    os.sync()
    if step == COLD:
        tools.drop_caches()


def table(title: str, found: dict[tuple[str, str], list[float]], versions: dict[str, str]) -> str:
    middle = {key: statistics.median(values) for key, values in found.items()}
    middle |= {key: max(values) for key, values in found.items() if key[1] == "memory"}
    columns = [*BACKUPS, *(f(step) for step in RESTORES for f in (returned, on_disk)), "memory", "stored"]
    lines = [f"## {title}", "", "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in [*versions, "limit"]:
        cells = []
        for column in columns:
            value = middle.get((name, column))
            unit = " MiB" if column in ("memory", "stored") else " s"
            cells.append(
                "" if value is None else f"{value:.0f}{unit}" if unit == " MiB" else f"{value:.2f}{unit}"
            )
        label = f"{name} {versions[name]}" if name in versions else "physical limit"
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    for name in [*versions, "limit"]:
        if name == "undivided":
            continue
        cells = []
        for column in columns:
            theirs, ours = middle.get((name, column)), middle.get(("undivided", column))
            cells.append(f"{theirs / ours:.2f}×" if theirs and ours else "")
        lines.append(f"| {name} ÷ undivided | " + " | ".join(cells) + " |")
    steps = ("first", on_disk("restore"))
    first, restore = (middle["limit", step] / middle["undivided", step] for step in steps)
    unchanged = middle["undivided", "unchanged"] / middle["limit", "unchanged"]
    lines += [
        "",
        f"Of the physical limit: first backup {first:.0%}, restore {restore:.0%} of `cp`"
        f" with its flush; unchanged takes {unchanged:.2f}× a bare parallel walk with stat, a Python program"
        " of its own.",
        "",
        LEGEND,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the mixed file")
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--scratch", type=Path, default=None)
    parser.add_argument("--only", choices=["file", "tree"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="undivided-bench-", dir=options.scratch) as directory:
        scratch = Path(directory)
        versions = {tool.name: tool.version() for tool in tools.present(scratch / "versions")}
        print(f"{os.cpu_count()} cores, {platform.platform()}, {options.repeats} repeats, medians\n")
        if options.only != "tree":
            (scratch / "file").mkdir()
            mixed = data.mixed_file(scratch / "file" / "mixed", options.size)
            found = measure(
                mixed.parent, scratch, options.repeats, lambda root: data.change_file(root / "mixed")
            )
            print(table(f"One mixed file of {options.size >> 20} MiB", found, versions), flush=True)
        if options.only != "file":
            root = data.small_files(scratch / "tree", options.files)
            title = f"A tree of {options.files} files, {data.tree_size(root) >> 20} MiB"
            print(
                table(title, measure(root, scratch, options.repeats, data.change_tree), versions), flush=True
            )


if __name__ == "__main__":
    main()
