"""Objects of a copy of the vault, each proven before it is used.

Packs, segments and epoch records are named by the hash of their bytes. A log entry is proven by its
neighbours: the entry after it names its hash. So no copy is trusted, and none needs to be.
"""

from __future__ import annotations

from ...model.errors import DamageError, UndividedError
from ..crypto.envelope import digest_of
from ..crypto.keys import WriterKeys
from ..format.log_entry import LogEntry, decode_entry, name_of
from ..format.vault_json import CONFIG, read_config
from ..log import key_check
from ..stores.base import Store, StoreError
from ..stores.memory import MemoryStore
from ..verify.log_scan import LogScan


class ProvenCopy:
    """store: of the vault under repair; scan: its log; other: the copy's store, None when there is no
    copy."""

    def __init__(self, store: Store, keys: WriterKeys, scan: LogScan, other: Store | None) -> None:
        self._store, self._keys, self._scan, self._other = store, keys, scan, other

    @property
    def url(self) -> str:
        """ "" when there is no copy."""
        return self._other.url if self._other else ""

    def read(self, name: str) -> bytes | None:
        """The object, proven to be the one with this name. None when the copy does not have it."""
        if self._other is None:
            return None
        try:
            data = self._other.read(name)
        except StoreError:
            return None
        return data if self._proven(name, data) else None

    def _proven(self, name: str, data: bytes) -> bool:
        kind, _, rest = name.partition("/")
        if kind in ("packs", "index", "timeline"):
            return digest_of(data) == rest.rpartition("/")[2]
        if kind == "log" and rest.isdigit():
            return self._fits(int(rest), data)
        if name == CONFIG:
            return _is_config(data, self._keys)
        return kind in ("keys", "epochs") and key_check.is_whole(name, data)

    def _fits(self, number: int, data: bytes) -> bool:
        """Whether these bytes are entry `number`: the entry after it names its hash; an entry behind the end
        must continue the last one."""
        try:
            entry = decode_entry(self._keys, number, data)
        except DamageError:
            return False
        if number > self._scan.head.number:
            before = self._known(number - 1)
            return entry.previous == (before.digest if before else "")
        after = self._known(number + 1)
        return after is not None and after.previous == entry.digest

    def _known(self, number: int) -> LogEntry | None:
        """The vault's own entry, when it opens; else the copy's, when it is proven."""
        if not number:
            return None
        try:
            return decode_entry(self._keys, number, self._store.read(name_of(number)))
        except (DamageError, StoreError):
            data = self.read(name_of(number))
            return decode_entry(self._keys, number, data) if data else None


def _is_config(data: bytes, keys: WriterKeys) -> bool:
    alone = MemoryStore()
    alone.create(CONFIG, [data])
    try:
        return read_config(alone).is_of(keys)
    except UndividedError:
        return False
