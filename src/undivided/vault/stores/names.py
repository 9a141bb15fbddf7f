"""The object names that a store accepts, so that no name leads out of it.

A name is relative, its parts are separated by '/', and a part never begins with a dot. So there is no '..'
and no absolute path, and no name reaches a store's own files (`.tmp`).
"""

from __future__ import annotations

import re

from .base import StoreError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
LONGEST = 200


def checked(name: str) -> str:
    """The name itself. Raises StoreError for a name that a store must refuse."""
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is not a valid object name", hint="Names have no '..' and no leading '/'."
        )
    return name


def checked_prefix(prefix: str) -> str:
    """A prefix to list, which may end anywhere in a name."""
    if prefix and not _NAME.fullmatch(prefix.removesuffix("/")):
        raise StoreError(
            f"{prefix!r} cannot begin an object name", hint="Names have no '..' and no leading '/'."
        )
    return prefix
