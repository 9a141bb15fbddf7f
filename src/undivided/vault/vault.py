"""A vault: a place where timelines are kept, deduplicated, encrypted, append-only.

    README              what a vault is, and how to read it without this program
    vault.json          format version, vault id, public key, writer keys sealed to it
    keys/<id>           a recipient; keys/<id>.<epoch>: the private key, sealed to it
    epochs/<n>.<epoch>  the keys in force since log entry n, when they were ever rotated
    log/<n>             entry n of the commit log
    packs/xx/<sha256>   chunks
    index/<sha256>      where chunks lie
    timeline/<sha256>   the puts and drops of a commit

Objects are created and never changed. Opening with writer keys reads vault.json and the end of the log,
nothing else; docs/vault-format.md has every byte.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..model.errors import UsageError
from .ballast import restore_ballast
from .crypto import recipients
from .crypto.keys import PrivateKeys, WriterKeys, new_keys
from .crypto.recipients import Secret
from .crypto.signing import SigningKey, must_be_signed
from .format.log_entry import Head, LogEntry
from .format.readme import README
from .format.timeline_segment import TimelineSegment
from .format.vault_json import CONFIG, FORMAT, VaultConfig, read_config
from .log import keyring
from .log.errors import ConflictError, ExpiredError, FencedError
from .log.keyring import Keyring, SecretProvider
from .log.log import Clock, Log
from .read.histories import ContentKeys
from .stores.base import ExistsError, Store, uncached
from .write.writer import CommitPlace, Writer

if TYPE_CHECKING:
    # `protect` does not read content, and must not load the reader.
    from .read.reader import Reader

__all__ = [
    "CommitPlace",
    "ConflictError",
    "ExpiredError",
    "FencedError",
    "Head",
    "LogEntry",
    "TimelineSegment",
    "Vault",
    "Writer",
]


class Vault:
    """An opened vault. id: 32 hex digits. head: the end of its log as this process knows it; keep it, and
    pass it to `open` next time."""

    def __init__(
        self,
        store: Store,
        keys: WriterKeys,
        config: VaultConfig,
        log: Log,
        ring: Keyring,
    ) -> None:
        self.id = keys.vault
        self.store = store
        self.keys = keys
        self._config, self._log, self._ring = config, log, ring

    def with_log(self, log: Log) -> Vault:
        """The same vault, as another view of its log shows it."""
        return Vault(self.store, self.keys, self._config, log, self._ring)

    @staticmethod
    def create(store: Store, secret: Secret) -> Vault:
        """A new vault in an empty store, or in one where an earlier attempt was interrupted. secret: a
        passphrase, or the key of a key file. Raises UsageError when the store has a vault or other
        objects."""
        keys, private = new_keys()
        unfinished: list[str] = []
        for name, _ in store.list():
            if name != "README" and not name.startswith(recipients.FOLDER):
                raise UsageError(
                    f"{store.url} is not empty",
                    doing="create a vault",
                    hint="Choose an empty place, or use the vault that is there.",
                )
            unfinished.append(name)
        try:
            config = keyring.create(store, secret, keys, private)
            if "README" not in unfinished:
                store.create("README", [README.encode()])
            store.create(CONFIG, [config.encode()])
            restore_ballast(store)
        except ExistsError as error:
            raise UsageError(
                f"another process is creating a vault in {store.url}", doing="create a vault"
            ) from error
        for name in unfinished:
            # Keys that were stored before vault.json open nothing, and must not count as recipients.
            if name != "README":
                store.delete(name)
        ring = Keyring(store, config, lambda: secret)
        return Vault(store, keys, config, Log(store, keys, Head()), ring)

    @staticmethod
    def open(
        store: Store,
        *,
        keys: WriterKeys | None = None,
        passphrase: SecretProvider | None = None,
        head: Head | None = None,
        now: Clock = time.time_ns,
    ) -> Vault:
        """With keys, writing and reading the log need no secret; it is asked for when content is read.
        Without keys, it is asked for now. passphrase: gives the passphrase, or the key of a key file. head:
        the one that this client saw last. now: UTC ns, for the times of log entries.

        Raises NoVaultError, WrongKeyError, UsageError when neither is given, DamageError when the log no
        longer holds `head`.
        """
        config = read_config(store)
        ring = Keyring(store, config, passphrase)
        keys = keys or ring.writer_keys()
        config.refuse_other_keys(keys, store)
        return Vault(store, keys, config, Log(store, keys, head, now), ring)

    @property
    def head(self) -> Head:
        return self._log.head

    @property
    def commits(self) -> Log:
        """The commit log itself: for the rooms of the vault. Others read it with `log`."""
        return self._log

    def refresh(self) -> None:
        """Reads the entries that were appended to the log since."""
        self._log.refresh()

    def log(self, after: int = 0, *, refresh: bool = True) -> Iterator[LogEntry]:
        """All entries after number `after`, in order, authenticated, each checked to continue the one before.
        refresh: first reads new entries."""
        return self._log.entries(after, refresh=refresh)

    def writer(self) -> Writer:
        """A new session. Cheap: before there is data, nothing is stored and no thread started."""
        return Writer(self.store, self.keys, self._log)

    def reader(self) -> Reader:
        """Reads content. The passphrase is asked for at the first access, once per vault: WrongKeyError when
        it is wrong, UsageError when none is configured."""
        from .read.reader import Reader

        return Reader(self.store, self.keys, self._log, self.private_keys)

    def unlock(self) -> None:
        """Opens the keys now; with a passphrase that takes a moment. Raises as `reader` does."""
        self.private_keys()

    def private_keys(self) -> PrivateKeys:
        """One per epoch, the oldest first. The passphrase is asked for, as `reader` does."""
        return self._ring.unlock()

    def append(self, kind: str, body: Mapping[str, Any]) -> LogEntry:
        """Commits an entry without data. Kinds that must be signed need the passphrase."""
        signing_key = self.signing_key() if must_be_signed(kind, body) else None
        return self._log.append(kind, body, signing_key=signing_key)

    def contents(self) -> ContentKeys:
        """The content keys of sessions. The passphrase is asked for, as `reader` does."""
        return ContentKeys(self.keys, self.private_keys)

    def signing_key(self) -> SigningKey:
        """Signs entries that destroy. The passphrase is asked for, as `reader` does."""
        return self._ring.signing_key()

    def recipients(self) -> list[dict[str, Any]]:
        """Who can open the vault: id, kind, label, created_ns. Nothing secret."""
        known = self._ring.listed()
        return [{"id": r.id, "kind": r.kind, "label": r.label, "created_ns": r.created_ns} for r in known]

    def add_recipient(self, secret: Secret, label: str, kind: str = "") -> str:
        """Adds a recipient: a passphrase, or the key of a key file. kind: "command" for a secret that a
        program prints. Needs a secret that opens the vault already. Returns the new recipient's id."""
        usual = recipients.PASSPHRASE if isinstance(secret, str) else recipients.KEY_FILE
        return self._ring.add(self._log, secret, kind or usual, label)

    def remove_recipient(self, recipient: str) -> None:
        """See vault/log/keyring.py. Raises UsageError for an unknown recipient, and for the last one."""
        self._ring.remove(self._log, recipient)

    def holders(self) -> list[dict[str, Any]]:
        """The recipients that could open the vault after `rotate`, as the log lists them: id, kind, label;
        kind "missing" where the recipient's object is gone. Needs the passphrase."""
        stored = {r.id: (r.kind, r.label) for r in self._ring.listed()}
        self._log.refresh()
        holders = {
            id: stored.get(id, ("missing", "")) for id in self._ring.allowed(self._log, self._log.last)
        }
        return [{"id": id, "kind": kind, "label": label} for id, (kind, label) in holders.items()]

    def rotate(self) -> WriterKeys:
        """New keys from now on: see vault/log/keyring.py. Open the vault again with the keys that it
        returns."""
        return self._ring.rotate(self._log)

    def keys_only_in(self, copy: Store) -> list[str]:
        """The objects of keys/ that a copy of the vault has and this vault has lost, by the log's list of
        recipients. Raises DamageError when the log does not open so far, StoreError."""
        from .log.key_check import missing_here

        return list(missing_here(uncached(self.store), copy, self.keys, self._log, self._config.first))

    def info(self) -> dict[str, Any]:
        """For `vault info`: identity, sizes by kind of object, the log, recipients."""
        objects: dict[str, dict[str, int]] = {}
        for name, size in self.store.list():
            kind = objects.setdefault(name.partition("/")[0], {"objects": 0, "bytes": 0})
            kind["objects"] += 1
            kind["bytes"] += size
        return {
            "vault": self.id,
            "url": self.store.url,
            "format": FORMAT,
            "created_ns": self._config.created_ns,
            "head": {"number": self.head.number, "digest": self.head.digest},
            "objects": objects,
            "bytes": sum(kind["bytes"] for kind in objects.values()),
            "recipients": self.recipients(),
        }
