"""The ballast: room for one prune on a disk that is full.

Deleting starts with writing: the log must say what is pending_deletion before it goes. So every vault holds
an object of random bytes that means nothing. A prune that finds no room deletes it, writes its entry where it
was, and puts it back when there is room again."""

from __future__ import annotations

import os

from .stores.base import ExistsError, FullError, Store

NAME = "ballast"
SIZE = 4 << 20


def release_ballast(store: Store) -> None:
    store.delete(NAME)


def restore_ballast(store: Store) -> None:
    """Makes it if it is not there and there is room."""
    if any(name == NAME for name, _ in store.list(NAME)):
        return
    try:
        store.create(NAME, [os.urandom(SIZE)])  # random, for a filesystem that compresses would give no room
    except (ExistsError, FullError):
        return
