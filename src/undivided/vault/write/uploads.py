"""The packs of one session: each gets its footer and its name, and goes to the store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from ...host.crashpoints import crashpoint
from ..format import pack as packs
from ..format.index_segment import StoredPack
from ..format.pack import OpenPack, seal_footer
from ..log.session import WriteSession


class PackUploads:
    """Thread-safe."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._stored: list[StoredPack] = []

    def upload(self, pack: OpenPack) -> None:
        """Stores a full pack. Raises StoreError, FencedError."""
        own = self._session.content
        header = pack.header()
        sessions = [(self._session.id, own.sealed)]
        footer = seal_footer(own.footers, self._session.id, header, sessions)
        frames = memoryview(pack.buffer)[: pack.used]
        digest = hashlib.sha256(frames)
        digest.update(footer)
        name = digest.hexdigest()
        self._session.create(packs.name_of(name), frames, footer)
        with self._lock:
            self._stored.append(StoredPack(name, len(frames) + len(footer), header, sessions))
        crashpoint("vault.pack-stored")

    def uncommitted(self) -> list[StoredPack]:
        """The stored packs that no commit has named yet."""
        with self._lock:
            return list(self._stored)

    def committed(self, packs: Iterable[StoredPack]) -> None:
        names = {pack.name for pack in packs}
        with self._lock:
            self._stored = [pack for pack in self._stored if pack.name not in names]
