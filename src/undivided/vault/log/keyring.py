"""The keyring: opening the vault's keys, and changing who can open them.

Opening with a secret begins at a recipient, which authenticates the epoch in which it was added. Each later
epoch is proven by its log entry, which is signed with the signing key of the epoch before. So neither the
store nor a stolen source can pass off keys of its own as the vault's.

Every change is one signed log entry. A change that is killed half-way has either happened or not:

    add      log entry ▸ the vault's private key, sealed to the recipient ▸ keys/<id>: now it opens the vault
    remove   log entry ▸ its sealed private keys are deleted: now it opens nothing ▸ keys/<id> is deleted
    rotate   the new private key, sealed to each recipient ▸ epochs/<begun>.<name> ▸ log entry: now it counts

The new keys go to the recipients in the log (`allowed`), never to those that the store lists: a recipient
that was removed, and put back into the store by an intruder, gets nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ...host.crashpoints import crashpoint
from ...model.errors import DamageError, UndividedError, UsageError, WrongKeyError
from ...model.log_kinds import LogKind
from ..crypto import key_epochs as epochs
from ..crypto import recipients
from ..crypto.aead import damaged
from ..crypto.key_epochs import EpochRecord, OpenedKeys
from ..crypto.keys import PrivateKeys, WriterKeys, new_epoch
from ..crypto.recipients import Recipient, Secret
from ..crypto.signing import SigningKey
from ..format.log_entry import LogEntry, decode_entry
from ..format.log_entry import name_of as log_name
from ..format.vault_json import VaultConfig
from ..stores.base import MissingError, Store
from .log import Log
from .slot import SealedEntry, Slot

SecretProvider = Callable[[], Secret]
"""It returns a secret: from a file, a program, or the terminal."""


class Keyring:
    """Thread-safe. secret: called until the vault is open; None when there is no way to get a secret. copy: a
    copy of the vault, whose keys/ is read where ours does not open the vault: a recipient and what is sealed
    to it prove themselves by the secret, wherever they lie."""

    def __init__(
        self, store: Store, config: VaultConfig, secret: SecretProvider | None, copy: Store | None = None
    ) -> None:
        self._store, self._config, self._provider = store, config, secret
        self._stores = (store,) if copy is None else (store, copy)
        self._vault = config.vault_bytes
        self._opened: OpenedKeys | None = None
        self._lock = threading.Lock()

    def unlock(self) -> PrivateKeys:
        """Raises WrongKeyError when the secret opens nothing, UsageError when there is none, DamageError."""
        return self._open().private

    def writer_keys(self) -> WriterKeys:
        """As the vault holds them. Raises as `unlock` does."""
        return self._open().keys

    def signing_key(self) -> SigningKey:
        """The signing key in force. Raises as `unlock` does."""
        return SigningKey(self.unlock()[-1])

    # ── opening ─────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> OpenedKeys:
        with self._lock:
            if self._opened is None:
                self._opened = self._opened_by(self._secret())
            return self._opened

    def _secret(self) -> Secret:
        if self._provider is None:
            raise UsageError(
                "the passphrase is needed to read content, and none is configured",
                doing=f"unlock {self._store.url}",
                hint="Set UNDIVIDED_PASSPHRASE_FILE, UNDIVIDED_PASSPHRASE_COMMAND or UNDIVIDED_KEY_FILE.",
            )
        return self._provider()

    def _opened_by(self, secret: Secret) -> OpenedKeys:
        broken: DamageError | None = None
        found = False
        for recipient in chain.from_iterable(map(recipients.stored_recipients, self._stores)):
            try:
                if isinstance(recipient, DamageError):
                    raise recipient
                anchor = self._record_named(recipient.epoch)
            except DamageError as error:
                broken = error
                continue
            found = True
            own = recipients.unwrap(recipient, secret, anchor.binding(self._vault))
            if own:
                return self._newest(recipient.id, own, anchor)
        if not found and not broken:
            raise damaged(recipients.FOLDER, "it holds no passphrase and no key")
        raise broken or WrongKeyError(
            "the passphrase or key does not open this vault",
            doing=f"unlock {self._store.url}",
            hint="`undivided vault key list` lists the passphrases and keys that open this vault.",
        )

    def _record_named(self, name: str) -> EpochRecord:
        if name == self._config.first.name:
            return self._config.first
        for begun, found in epochs.stored_records(self._store):
            if found == name:
                return epochs.read_record(self._store, begun, name)
        raise damaged(f"{epochs.FOLDER}*.{name}", "it is missing")

    def _newest(self, id: str, own: X25519PrivateKey, anchor: EpochRecord) -> OpenedKeys:
        """The keys in force now, beginning at an epoch that is proven."""
        opened = self._unsealed(id, own, anchor)
        for begun, name in epochs.stored_records(self._store):
            if begun > anchor.begun and (binding := self._binding(opened.keys, begun, name)):
                record = epochs.read_record(self._store, begun, name)
                if record.binding(self._vault).hex() != binding:
                    raise damaged(record.object, "it is not the one that the log names")
                opened = self._unsealed(id, own, record)
        return opened

    def _binding(self, keys: WriterKeys, begun: int, name: str) -> str | None:
        """The digest of this epoch's record in the log; None when the epoch never came into force."""
        try:
            entry = decode_entry(keys, begun, self._store.read(log_name(begun)))
        except MissingError:
            return None
        if entry.kind != LogKind.EPOCH or entry.body.get("name") != name:
            return None
        return str(entry.body.get("binding"))

    def _unsealed(self, id: str, own: X25519PrivateKey, record: EpochRecord) -> OpenedKeys:
        broken: DamageError | None = None
        for store in self._stores:
            try:
                private = epochs.read_sealed(store, id, own, record.name, self._vault)
            except DamageError as error:
                broken = broken or error
                continue
            if private is not None:
                return record.open(private, self._vault)
        raise broken or WrongKeyError(
            "the passphrase or key was removed",
            doing=f"unlock {self._store.url}",
            hint="Use another passphrase or key. `undivided vault key list` lists them.",
        )

    # ── recipients ──────────────────────────────────────────────────────────────────────────────────────────

    def listed(self) -> list[Recipient]:
        """The readable recipients in the store. Their own statements are not proven."""
        return [r for r in recipients.stored_recipients(self._store) if not isinstance(r, DamageError)]

    def allowed(self, log: Log, last: LogEntry | None) -> dict[str, str]:
        """id → public key (hex) of every recipient that may open the vault, as the log lists them at
        `last`."""
        record = self._open().record
        if last is None or last.links["keys"] <= record.begun:
            return dict(record.recipients)
        entry = log.entry(last.links["keys"])
        if entry.kind != LogKind.KEY:
            raise damaged(log_name(last.number), "it does not lead to the newest change of keys")
        return dict(entry.body["recipients"])

    def add(self, log: Log, secret: Secret, kind: str, label: str) -> str:
        """Returns the new recipient's id. Raises UsageError for an empty passphrase."""
        opened, id, own = self._open(), recipients.new_id(), recipients.own_key(secret)
        record = opened.record
        added = recipients.wrap(id, own, secret, kind, label, record.name, record.binding(self._vault))
        signing_key = self.signing_key()

        def seal(slot: Slot) -> SealedEntry:
            allowed = {**self.allowed(log, slot.last), id: added.public}
            body = {"added": id, "kind": kind, "label": label, "recipients": allowed}
            return slot.seal(LogKind.KEY, body, {}, signing_key)

        log.commit(seal)
        crashpoint("key.recorded")
        epochs.store_sealed(self._store, id, added.public, opened.private[-1], self._vault)
        crashpoint("key.sealed")
        recipients.store_recipient(self._store, added)
        crashpoint("key.added")
        return id

    def remove(self, log: Log, id: str) -> None:
        """Raises UsageError for an unknown recipient, and for the last one. Completes a removal that was
        killed."""
        log.refresh()
        names = [name.removeprefix(recipients.FOLDER) for name, _ in self._store.list(recipients.FOLDER)]
        there = {name.partition(".")[0] for name in names} | self.allowed(log, log.last).keys()
        if id not in there:
            hint = f"The recipients are: {', '.join(sorted(there))}."
            raise UsageError(f"no recipient {id!r}", doing="remove a key", hint=hint)
        newest = self._open().record.name
        if not [r for r in self.listed() if r.id != id and f"{r.id}.{newest}" in names]:
            raise UsageError(
                "it is the last one: without it the vault could not be opened",
                doing="remove a key",
                hint="Add another one first: `undivided vault key add`.",
            )

        signing_key = self.signing_key()

        def seal(slot: Slot) -> SealedEntry:
            allowed = self.allowed(log, slot.last)
            allowed.pop(id, None)
            return slot.seal(LogKind.KEY, {"removed": id, "recipients": allowed}, {}, signing_key)

        log.commit(seal)
        crashpoint("key.unlisted")
        for name in names:
            if name.startswith(f"{id}."):
                self._store.delete(recipients.FOLDER + name)
        crashpoint("key.epochs-deleted")
        self._store.delete(recipients.FOLDER + id)
        crashpoint("key.removed")

    # ── rotation ────────────────────────────────────────────────────────────────────────────────────────────

    def rotate(self, log: Log) -> WriterKeys:
        """A new epoch. Returns the writer keys that every source needs from now on; the vault has to be
        opened again with them. Raises UndividedError when recipients change meanwhile: then nothing has
        happened."""
        opened = self._open()
        log.refresh()
        last = log.last
        allowed, seen = self.allowed(log, last), int(last.links["keys"]) if last else 0
        epoch, private = new_epoch(0)
        for id, public in allowed.items():
            epochs.store_sealed(self._store, id, public, private, self._vault)
        crashpoint("rotate.sealed")

        signing_key = self.signing_key()

        def begun_at(number: int) -> WriterKeys:
            return opened.keys.followed_by(replace(epoch, begun=number))

        def seal(slot: Slot) -> SealedEntry:
            if slot.newest("keys") != seen:
                raise UndividedError("the list of recipients changed meanwhile", hint="Rotate again.")
            record = EpochRecord.seal(begun_at(slot.number), opened.private, allowed)
            epochs.store_record(self._store, record)
            crashpoint("rotate.recorded")
            body = {"name": record.name, "binding": record.binding(self._vault).hex()}
            return slot.seal(LogKind.EPOCH, body, {}, signing_key)

        entry = log.commit(seal)
        crashpoint("rotate.committed")
        return begun_at(entry.number)


def create(store: Store, secret: Secret, keys: WriterKeys, private: X25519PrivateKey) -> VaultConfig:
    """Stores the first recipient of a new vault. The caller stores the returned configuration, last of
    all."""
    id, own = recipients.new_id(), recipients.own_key(secret)
    config = VaultConfig.new(keys, {id: recipients.public_of(own)})
    vault, first = config.vault_bytes, config.first
    kind = recipients.PASSPHRASE if isinstance(secret, str) else recipients.KEY_FILE
    epochs.store_sealed(store, id, recipients.public_of(own), private, vault)
    made = recipients.wrap(id, own, secret, kind, "first", first.name, first.binding(vault))
    recipients.store_recipient(store, made)
    return config
