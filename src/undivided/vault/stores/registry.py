"""The list of stores: the implementation for each kind of address, and the wrappers around it.

    Cached( Retrying( Limited( store )))

Limits come from the address. Stores behind a network get retries and a cache.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...model.errors import UsageError
from .address import Address
from .base import Store

LIMITS = frozenset({"upload", "download", "requests"})
_log = logging.getLogger(__name__)


class _Kind(NamedTuple):
    open: Callable[[Address], Store]
    options: frozenset[str] = frozenset()
    distant: bool = False


def _directory(address: Address) -> Store:
    from .directory import DirectoryStore

    return DirectoryStore(address.path)


def _memory(_address: Address) -> Store:
    from .memory import MemoryStore

    return MemoryStore()


def _s3(address: Address) -> Store:
    from .s3 import S3Store

    if not address.host:
        raise UsageError(f"{address.text} names no bucket", hint="Write s3://BUCKET/PREFIX.")
    return S3Store(address.text, address.host, address.path, address.options)


def _sftp(address: Address) -> Store:
    from .sftp import SftpStore

    if not address.host or not address.path.strip("/"):
        raise UsageError(f"{address.text} names no path", hint="Write sftp://USER@HOST/PATH.")
    return SftpStore(address)


_S3 = frozenset({"endpoint", "region", "style", "credentials", "profile", "ca", "checksum"})
STORES = {
    "": _Kind(_directory),
    "file": _Kind(_directory),
    "memory": _Kind(_memory),
    "s3": _Kind(_s3, _S3, distant=True),
    "sftp": _Kind(_sftp, frozenset({"key", "known_hosts"}), distant=True),
}


def open_store(where: str | os.PathLike[str], cache: Path | None = None) -> Store:
    """The store at a path or URL. Nothing is read or made yet. cache: a directory for local copies of a
    distant store's objects; None for no copies. Raises UsageError for an invalid address."""
    address = Address.of(os.fspath(where))
    kind = STORES.get(address.scheme)
    if kind is None:
        known = ", ".join(sorted(scheme for scheme in STORES if scheme))
        raise UsageError(
            f"there is no kind of store named {address.scheme!r}", hint=f"Pass a path, or a URL of: {known}."
        )
    address.check(kind.options | LIMITS | ({"cache"} if kind.distant else set()))
    store = _limited(kind.open(address), address)
    if not kind.distant:
        return store
    from .retry import Retrying

    store = Retrying(store)
    return _cached(store, address, cache) if cache else store


def _limited(store: Store, address: Address) -> Store:
    rates = {name: rate for name in LIMITS if (rate := address.size(name))}
    if not rates:
        return store
    from .limit import Limited, TokenBucket

    for name, rate in sorted(rates.items()):
        _log.debug("%s: %s limited to %.0f per second", store.url, name, rate)
    return Limited(store, **{name: TokenBucket(rate) for name, rate in rates.items()})


def _cached(store: Store, address: Address, cache: Path) -> Store:
    from .cache import ROOM, Cached

    room = address.size("cache")
    if room == 0:
        return store
    place = f"{address.scheme}://{address.user}@{address.host}:{address.port}/{address.path.strip('/')}"
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    return Cached(store, cache / name, ROOM if room is None else room)
