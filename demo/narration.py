"""The output of the demo: a few quiet lines per chapter, the same on a terminal and in a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

COLUMNS = (
    ("point", 22),
    ("pause", 9),
    ("skew", 9),
    ("protected", 10),
    ("moved", 9),
    ("took", 8),
    ("orders", 7),
)
FINDINGS = 10
"""How many findings are printed one by one."""


class Narration:
    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def title(self, root: Path) -> None:
        self.console.print()
        self._line("Undivided: a live portal, wrecked and recovered", "bold")
        self._line(f"Everything happens in {root}", "dim")

    def chapter(self, name: str) -> None:
        self.console.print()
        self._line(name, "bold cyan")

    def text(self, text: str) -> None:
        self._line(text)

    def command(self, line: str) -> None:
        self._line(f"$ {line}", "green")

    def damage(self, text: str) -> None:
        self._line(f"✗ {text}", "bold red")

    def heading(self) -> None:
        self._line("".join(f"{name:>{width}}" for name, width in COLUMNS), "dim")

    def point(self, point: Mapping[str, Any], *, orders: int) -> None:
        cells = (
            point["point"],
            f"{point['pause_ms']:.1f} ms",
            f"{point['skew_ms']:.1f} ms",
            size(point["bytes_seen"]),
            size(point["bytes_stored"]),
            seconds(point["seconds"]),
            str(orders),
        )
        self._line("".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)))

    def plan(self, steps: Sequence[str]) -> None:
        for number, step in enumerate(steps, 1):
            self._line(f"{number:>3}. {step}", "dim", hang=5)

    def verdict(self, fine: bool, text: str, findings: Sequence[str]) -> bool:
        """One line for a promise that is kept, or the findings against it. Returns `fine`."""
        if fine:
            self._line(f"✓ {text}", "green", hang=2)
        else:
            for finding in findings[:FINDINGS]:
                self._line(f"✗ {finding}", "bold red", hang=2)
            if len(findings) > FINDINGS:
                self._line(f"  and {len(findings) - FINDINGS} more", "bold red")
        return fine

    def numbers(self, rows: Mapping[str, str]) -> None:
        width = max(map(len, rows)) + 2
        for name, value in rows.items():
            self._line(f"{name:<{width}}{value}", hang=width)

    def end(self, whole: bool, took: float) -> None:
        self.console.print()
        if whole:
            self._line(f"Whole. The demo took {seconds(took)}.", "bold green")
        else:
            self._line(f"Not whole. The demo took {seconds(took)}.", "bold red")
        self.console.print()

    def _line(self, text: str, style: str = "", *, hang: int = 0) -> None:
        """Prints text with the common indent, wrapped; further lines are indented by `hang` more."""
        for line in text.split("\n"):
            wrapped = textwrap.wrap(
                line,
                max(self.console.width - 2, 60),
                initial_indent="  ",
                subsequent_indent=" " * (2 + hang),
                break_long_words=False,
                break_on_hyphens=False,
                replace_whitespace=False,
            )
            self.console.print(Text("\n".join(wrapped), style), soft_wrap=True)


def size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
