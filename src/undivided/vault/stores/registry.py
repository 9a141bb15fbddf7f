"""The list of stores: which address means which implementation. One explicit list, no side effects."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from ...model.errors import UsageError
from .base import Store


def _directory(url: str) -> Store:
    from .directory import DirectoryStore

    return DirectoryStore(unquote(urlsplit(url).path))


def _memory(_url: str) -> Store:
    from .memory import MemoryStore

    return MemoryStore()


STORES: dict[str, Callable[[str], Store]] = {"file": _directory, "memory": _memory}


def open_store(where: str | os.PathLike[str]) -> Store:
    """The store at a path or URL. Nothing is read or made yet. Raises UsageError for an unknown scheme."""
    text = os.fspath(where)
    scheme, colon, _ = text.partition(":")
    if not colon or "/" in scheme:
        from .directory import DirectoryStore

        return DirectoryStore(text)
    if scheme not in STORES:
        known = ", ".join(sorted(STORES))
        raise UsageError(f"no store is known for {text!r}", hint=f"Give a path, or a URL of: {known}.")
    return STORES[scheme](text)
