"""Quarantine: a damaged object is set aside before anything takes its place.

Its bytes are stored as `quarantine/<kind>-<name>-<n>`. The original is deleted only when they can be read
back from there. So nothing is ever overwritten or lost: every byte is still there if the repair was wrong. A
run that dies in between finds its copy and continues.
"""

from __future__ import annotations

from contextlib import suppress

from ...host.crashpoints import crashpoint
from ..stores.base import ExistsError, MissingError, Store, StoreError

FOLDER = "quarantine/"
_MOST = 1000


def set_aside(store: Store, name: str) -> str | None:
    """Moves an object into quarantine. Returns its name there, None when there was no object. Raises
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
    """Stores the bytes under the first number that is free or already has them."""
    kind, _, rest = name.partition("/")
    called = f"{kind}-{rest.rpartition('/')[2]}" if rest else kind
    for number in range(1, _MOST):
        place = f"{FOLDER}{called}-{number}"
        with suppress(ExistsError):
            store.create(place, [data])
        if store.read(place) == data:
            return place
    raise StoreError("the stored bytes cannot be read back unchanged", doing=f"set {name} aside")
