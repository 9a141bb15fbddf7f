"""Paths as they stand in entries: bytes, relative, '/'-separated, and what makes one safe to create.

Filesystems know bytes, not text. Names are shown to people with what is not UTF-8 escaped, and nothing else
of them is ever decoded.
"""

from __future__ import annotations

import re

ROOT = b"."

is_proper = re.compile(rb"(?!\.\.?(?:/|\Z))[^/\0]+(?:/(?!\.\.?(?:/|\Z))[^/\0]+)*").fullmatch
"""Whether a path has only plain components: none empty, '.', '..' or with NUL, and no leading '/'."""


def shown(path: bytes) -> str:
    """A path for messages."""
    return path.decode("utf-8", "backslashreplace")


def parent_of(path: bytes) -> bytes:
    """The directory that holds `path`; ROOT for names at the top."""
    return path.rpartition(b"/")[0] or ROOT


def ancestors_of(path: bytes) -> list[bytes]:
    """The directories above `path` from the nearest to the top, ROOT left out."""
    found = []
    while (path := path.rpartition(b"/")[0]) != b"":
        found.append(path)
    return found


def first_few(paths: list[bytes], limit: int = 5) -> str:
    """Names for a sentence: the first few, and how many more there are."""
    names = ", ".join(shown(p) for p in paths[:limit])
    return names if len(paths) <= limit else f"{names} and {len(paths) - limit} more"
