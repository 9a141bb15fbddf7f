"""Checks that messages and documents speak the field's words: `python tools/check_words.py [PATH ...]`.

The table lists the words that this project once had of its own, each with the standard one, and the habits
of English that make a sentence hard to read at 3 a.m. They are searched in everything that an operator or a
maintainer reads: the source with its names, docstrings and messages, the tests, the documents, the tools. The
changelog is history and is left out. A line that really means the other thing (a page torn in two) ends in
a comment `words: ok`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

WORDS = {
    r"coherence": "consistency",
    r"spreads?": "skew",
    r"guardians?": "watchdog",
    r"leavings": "orphans",
    r"doom(s|ed)?": "mark for deletion, pending deletion",
    r"condemn(s|ed)?|acquit(s|ted)?|forgiven?|forgives": "mark damaged, cleared, resolved",
    r"blame[sd]?": "impact",
    r"wound(s|ed)?": "damaged since",
    r"heal(s|ed|ing)?": "repair, upload again",
    r"torn (timelines?|histor(y|ies))|cut_torn|tears": "broken timeline",
    r"liveness|occupancy": "reachability, pack usage",
    r"mend(s|ed|ing)?|overhauls?": "repair",
    r"surveys?": "log scan",
    r"inspections?": "pack check",
    r"samplings?": "restore test",
    r"custody": "key check",
    r"rosters?": "session registry, recipients",
    r"lenient(ly)?": "open damaged",
    r"authority": "signing key",
    r"suspicions?|doubt(s|ed|ful)?": "anomaly",
    r"overtaken?": "conflict",
    r"announce[sd]?|announcements?|announcing": "register",
    r"forgotten": "expired",
    r"algebra": "numpy threads",
    r"patience": "timeout, lock wait",
    r"remainders?": "delta",
    r"scatters?": "bulk restore",
    r"dividers?": "chunker",
    r"near vaults?": "primary vault",
    r"anew": "again, new",
    r"shall": "should, must, will",
    r"(gone|go|goes|went|going) on (with|from)": "resume, continue",
    r"says|told|tells": "name the record or message: states, names, reports, prints, by",
    r"(give|given|gives|gave|giving) up": "expire, stop, abandon",
    r"beside": "next to, in parallel",
    r"for ever": "forever, or say until when",
    r"whoever|(some|no|any|every)body|he|him|his": "name who",
}
_ROOT = Path(__file__).parent.parent
_PLACES = ("src", "tests", "docs", "bench", "demo", "tools", "README.md", "CONTRIBUTING.md", "SECURITY.md")
_PATTERNS = [
    (re.compile(rf"(?<![a-zA-Z])({old})(?![a-zA-Z])", re.IGNORECASE), new) for old, new in WORDS.items()
]
_MEANT = "words: ok"


def found(path: Path) -> Iterator[str]:
    """One line for each old word in a file, with its place and the standard word."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if _MEANT in line:
            continue
        for pattern, new in _PATTERNS:
            for match in pattern.finditer(line):
                yield f"{path}:{number}: {match[0]!r}: say {new}"


def files(places: list[str]) -> Iterator[Path]:
    """The sources and pages among these files and below these folders, but not the table itself."""
    for place in map(Path, places):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in (".py", ".md") and path.resolve() != Path(__file__).resolve():
                yield path


if __name__ == "__main__":
    chosen = sys.argv[1:] or [str(_ROOT / place) for place in _PLACES]
    complaints = [line for path in files(chosen) for line in found(path)]
    print("\n".join(complaints) or "no old words")
    sys.exit(bool(complaints))
