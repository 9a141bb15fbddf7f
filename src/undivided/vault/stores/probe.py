"""Does the store keep its promise? Asked of every store before a vault is made in it, by a real race.

The commit log stands on one thing: of several creators of one name exactly one wins, and what is there is
never overwritten. A server may take `If-None-Match: *` and ignore it, a network filesystem may have lost
its hard links; no documentation is asked, they are tried. A vault made on such a store would lose points
when two machines commit at once, and nobody would notice before a recovery.

What else everything relies on is looked at on the way: what was stored is read back and listed at once, and
what was deleted is gone. Nothing of the probe is left; what one that was killed left behind is taken away
first.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from ...model.errors import UsageError
from .base import ExistsError, MissingError, Store, StoreError

PREFIX = "probe-"
"""What its objects are called: no folder, so that a directory has none left either."""
_RACERS = 8
_ROUNDS = 4


def probe(store: Store) -> None:
    """Raises UsageError with the reason when no vault may be kept here; StoreError when that cannot be
    tried."""
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
            raise _refused(store, "a deleted object is still there")


def _race(store: Store, name: str) -> None:
    """Eight creators of one name, each with bytes of its own, let go at once; then one who comes too late."""
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
        raise _refused(store, f"of {_RACERS} creators of one name {len(won)} were told that they won")
    if _overwritten(store, name):
        raise _refused(store, "an object that was there was overwritten")
    if store.read(name) != won[0]:
        raise _refused(store, "what was read is not what the winner had stored")


def _overwritten(store: Store, name: str) -> bool:
    """Whether a later creator was let through."""
    try:
        store.create(name, [b"too late"])
    except ExistsError:
        return False
    return True


def _listed(store: Store, ours: str, names: list[str]) -> None:
    if [name for name, _ in store.list(ours)] != names:
        raise _refused(store, "a listing lacks what was just stored")


def _refused(store: Store, cause: str) -> UsageError:
    return UsageError(
        f"no vault can be kept here: {cause}",
        doing=f"probe {store.url}",
        hint="Use a local directory, or an S3 server that honours If-None-Match: * (AWS, Ceph, SeaweedFS).",
    )
