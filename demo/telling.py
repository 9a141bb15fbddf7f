"""How the story is told: a few quiet lines per chapter, on a terminal and in a pipe alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

COLUMNS = (
    ("point", 22),
    ("pause", 9),
    ("spread", 9),
    ("protected", 11),
    ("moved", 10),
    ("took", 8),
    ("orders", 8),
)


class Telling:
    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=False)

    def title(self, root: Path) -> None:
        self.console.print(
            f"\n  [bold]Undivided[/bold] [dim]· a live portal, wrecked and whole again · {root}[/dim]",
            soft_wrap=True,
        )

    def chapter(self, name: str) -> None:
        self.console.print(f"\n  [bold cyan]{name}[/bold cyan]")

    def says(self, text: str) -> None:
        self._indented(escape(text))

    def command(self, line: str) -> None:
        self._indented(f"[green]$ {escape(line)}[/green]")

    def damage(self, text: str) -> None:
        self._indented(f"[bold red]✗ {escape(text)}[/bold red]")

    def heading(self) -> None:
        self._indented("[dim]" + "".join(f"{name:>{width}}" for name, width in COLUMNS) + "[/dim]")

    def point(self, number: int, point: Mapping[str, Any], *, orders: int) -> None:
        cells = (
            point["point"],
            f"{point['pause_ms']:.1f} ms",
            f"{point['spread_ms']:.1f} ms",
            size(point["bytes_seen"]),
            size(point["bytes_stored"]),
            seconds(point["seconds"]),
            str(orders),
        )
        self._indented("".join(f"{escape(c):>{w}}" for c, (_, w) in zip(cells, COLUMNS, strict=True)))

    def plan(self, plan: Mapping[str, Any]) -> None:
        for number, step in enumerate(plan["steps"], 1):
            self._indented(f"[dim]{number:>4}. {escape(sentence(step))}[/dim]")

    def verdict(self, fine: bool, text: str, findings: Sequence[str]) -> bool:
        """One line for a promise kept, or what broke it. Returns `fine`."""
        if fine:
            self._indented(f"[green]✓[/green] {escape(text)}")
        else:
            for finding in findings[:10]:
                self._indented(f"[bold red]✗ {escape(finding)}[/bold red]")
            if len(findings) > 10:
                self._indented(f"[bold red]  and {len(findings) - 10} more[/bold red]")
        return fine

    def numbers(self, rows: Mapping[str, str]) -> None:
        width = max(map(len, rows))
        for name, value in rows.items():
            self._indented(f"[dim]{name:<{width}}[/dim]  {escape(value)}")

    def end(self, whole: bool, took: float) -> None:
        said = "[bold green]Whole.[/bold green]" if whole else "[bold red]Not whole.[/bold red]"
        self.console.print(f"\n  {said} [dim]The story took {seconds(took)}.[/dim]\n")

    def _indented(self, markup: str) -> None:
        self.console.print(Padding(Text.from_markup(markup, overflow="fold"), (0, 0, 0, 4)))


def sentence(step: Any) -> str:
    """A step of a plan, whether it is told as text or as a record."""
    if isinstance(step, str):
        return step
    return str(step.get("says") or " ".join(str(value) for value in step.values()))


def size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
