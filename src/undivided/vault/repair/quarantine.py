"""Quarantine: a damaged object is set aside before anything takes its place.

Its bytes are stored as `quarantine/<kind>-<name>-<n>`, and only when they can be read back from there is the
original deleted. So nothing is ever overwritten or lost: whoever knows better later still has every byte. A
run that dies in between finds its copy again and goes on.
"""

from __future__ import annotations

from contextlib import suppress

from ...host.crashpoints import crashpoint
from ..stores.base import ExistsError, MissingError, Store, StoreError

FOLDER = "quarantine/"
_MOST = 1000


def set_aside(store: Store, name: str) -> str | None:
    """Moves an object into quarantine; returns what it is called there, None when there was none. Raises
    StoreError: then the original is where it was."""
    try:
        data = store.read(name)
    except MissingError:
        return None
    kept = _keep(store, name, data)
    crashpoint("repair.copied-aside")
    store.delete(name)
    crashpoint("repair.set-aside")
    return kept


def _keep(store: Store, name: str, data: bytes) -> str:
    """Stores the bytes under the first number that is free or has them already."""
    kind, _, rest = name.partition("/")
    called = f"{kind}-{rest.rpartition('/')[2]}" if rest else kind
    for number in range(1, _MOST):
        place = f"{FOLDER}{called}-{number}"
        with suppress(ExistsError):
            store.create(place, [data])
        if store.read(place) == data:
            return place
    raise StoreError("what is stored there does not stay as it is", doing=f"set {name} aside")
