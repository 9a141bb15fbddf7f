"""A test of the store before a vault is made in it: does it keep the contract? A real race shows it.

The commit log relies on one promise: of several creators of one name exactly one wins, and an existing object
is never overwritten. A server may accept `If-None-Match: *` and ignore it; a network filesystem may have no
hard links. Documentation does not help, so the probe tries it. A vault on a store without that promise would
lose points when two machines commit at the same time, and only a recovery would show the loss.

The probe also checks the rest of the contract: a stored object is read back and listed at once, and a deleted
one is gone. It removes its own objects, and those of an earlier probe that was killed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from ...model.errors import UsageError
from .base import ExistsError, MissingError, Store, StoreError

PREFIX = "probe-"
"""The prefix of its objects. They have no folder, so that no empty directory is left."""
_RACERS = 8
_ROUNDS = 4


def probe(store: Store) -> None:
    """Raises UsageError with the reason when the store is not fit for a vault; StoreError when the test
    cannot run."""
    for leftover, _ in list(store.list(PREFIX)):
        store.delete(leftover)
    ours = f"{PREFIX}{os.urandom(8).hex()}-"
    names = [f"{ours}{round_}" for round_ in range(_ROUNDS)]
    try:
        for name in names:
            _race(store, name)
        _listed(store, ours, names)
    except BaseException:
        for name in names:
            with contextlib.suppress(StoreError):
                store.delete(name)
        raise
    for name in names:
        store.delete(name)
        with contextlib.suppress(MissingError):
            store.size(name)
            raise _refused(store, "a deleted object still exists")


def _race(store: Store, name: str) -> None:
    """Eight concurrent creators of one name, each with its own bytes; then one that comes too late."""
    start = threading.Barrier(_RACERS)

    def attempt(mine: bytes) -> bytes | None:
        start.wait()
        try:
            store.create(name, [mine])
        except ExistsError:
            return None
        return mine

    with ThreadPoolExecutor(_RACERS) as racers:
        results = list(racers.map(attempt, (os.urandom(1024) for _ in range(_RACERS))))
    won = [mine for mine in results if mine is not None]
    if len(won) != 1:
        raise _refused(
            store, f"the store let {len(won)} of {_RACERS} concurrent writers create the same object"
        )
    if _overwritten(store, name):
        raise _refused(store, "the store overwrote an existing object")
    if store.read(name) != won[0]:
        raise _refused(store, "an object was read back with other bytes than the winner had stored")


def _overwritten(store: Store, name: str) -> bool:
    """Whether the store accepts a later creator."""
    try:
        store.create(name, [b"too late"])
    except ExistsError:
        return False
    return True


def _listed(store: Store, ours: str, names: list[str]) -> None:
    if [name for name, _ in store.list(ours)] != names:
        raise _refused(store, "a listing lacks objects that were just stored")


def _refused(store: Store, cause: str) -> UsageError:
    return UsageError(
        f"the store is not fit for a vault: {cause}",
        doing=f"probe {store.url}",
        hint="Use a local directory, or an S3 server that honours If-None-Match: * (AWS, Ceph, SeaweedFS).",
    )
