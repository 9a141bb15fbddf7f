"""The ballast: room for one prune on a full disk.

Deleting starts with writing: the log must list the pending deletions first. So every vault holds an object of
random bytes without meaning. A prune that finds no room deletes it, writes its entry into that room, and
restores the ballast at the end.
"""

from __future__ import annotations

import os

from .stores.base import ExistsError, FullError, Store

NAME = "ballast"
SIZE = 4 << 20


def release_ballast(store: Store) -> None:
    store.delete(NAME)


def restore_ballast(store: Store) -> None:
    """Creates the ballast if it is missing and there is room."""
    if any(name == NAME for name, _ in store.list(NAME)):
        return
    try:
        store.create(
            NAME, [os.urandom(SIZE)]
        )  # random: a filesystem that compresses would give no room for zeros
    except (ExistsError, FullError):
        return
