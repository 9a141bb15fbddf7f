"""Names of objects: what a store accepts, so that no name can leave it.

A name is relative, its parts are joined by '/', and a part never begins with a dot: so there is no '..', no
absolute path, and whatever a store keeps for itself (`.tmp`) cannot be named.
"""

from __future__ import annotations

import re

from .base import StoreError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
LONGEST = 200


def checked(name: str) -> str:
    """The name itself. Raises StoreError when a store must not take it."""
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is not a name for an object", hint="Names have no '..' and no leading '/'."
        )
    return name


def checked_prefix(prefix: str) -> str:
    """A prefix to list, which may end anywhere in a name."""
    if prefix and not _NAME.fullmatch(prefix.removesuffix("/")):
        raise StoreError(f"{prefix!r} cannot begin a name", hint="Names have no '..' and no leading '/'.")
    return prefix
