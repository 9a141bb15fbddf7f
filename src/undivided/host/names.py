"""Paths as entries hold them: bytes, relative, separated by '/'; and the check that a path is safe to create.

Filesystems use bytes, not text. A path is decoded only for messages, with bytes that are not UTF-8 escaped.
"""

from __future__ import annotations

import re

ROOT = b"."

is_proper = re.compile(rb"(?!\.\.?(?:/|\Z))[^/\0]+(?:/(?!\.\.?(?:/|\Z))[^/\0]+)*").fullmatch
"""Whether a path has only plain components: none is empty, '.', '..' or contains NUL; no leading '/'."""


def shown(path: bytes) -> str:
    """A path for people and JSON: bytes that are not UTF-8 and characters that could drive a terminal are
    escaped."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def parent_of(path: bytes) -> bytes:
    """The directory that holds `path`; ROOT for names at the top."""
    return path.rpartition(b"/")[0] or ROOT


def ancestors_of(path: bytes) -> list[bytes]:
    """The directories above `path`, from the nearest to the top, without ROOT."""
    found = []
    while (path := path.rpartition(b"/")[0]) != b"":
        found.append(path)
    return found


def first_few(paths: list[bytes], limit: int = 5) -> str:
    """Names for a sentence: the first few, and the number of the others."""
    names = ", ".join(shown(p) for p in paths[:limit])
    return names if len(paths) <= limit else f"{names} and {len(paths) - limit} more"
