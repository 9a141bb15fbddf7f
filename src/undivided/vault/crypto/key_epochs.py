"""Epochs: the vault's keys from one rotation to the next.

An epoch has a private key of its own, hence a signing key (signing.py), and a structure key. The record of
the first epoch lies in vault.json, those of the others in epochs/<begun>.<name>. A record holds everything
older, sealed to the epoch's public key: the writer keys of all epochs, and the private keys of the epochs
before. So the private key of the newest epoch opens all of them, and the private key of an old one opens
nothing newer.

A new epoch begins with log entry `begun`, of kind "epoch", signed by the signing key of the epoch before.
Without that entry the record means nothing; a rotation that was killed leaves such a record and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..stores.base import MissingError, Store
from .aead import damaged
from .keys import KEY_BYTES, SEALED_KEY_BYTES, PrivateKeys, WriterKeys, seal_to, unseal

FOLDER = "epochs/"
_CHECKSUM_BYTES = 8
_WRITER_KEYS, _PRIVATE_KEYS, _PRIVATE_KEY = "writer keys", "private keys", "private key"


class OpenedKeys(NamedTuple):
    """The keys that the private key of an epoch opens."""

    keys: WriterKeys
    private: PrivateKeys
    record: EpochRecord


@dataclass(frozen=True)
class EpochRecord:
    """An epoch as stored. recipients: id → public key (hex) of all who could open it when it began.
    writer_keys, private_keys: sealed."""

    begun: int
    public: bytes
    signing_key: bytes
    recipients: Mapping[str, str]
    writer_keys: bytes
    private_keys: bytes

    @staticmethod
    def seal(keys: WriterKeys, older: PrivateKeys, recipients: Mapping[str, str]) -> EpochRecord:
        """The record of the newest epoch of `keys`. older: the private keys of the epochs before."""
        epoch, vault = keys.epochs[-1], keys.vault_bytes
        raw = b"".join(key.private_bytes_raw() for key in older)
        return EpochRecord(
            epoch.begun,
            epoch.public,
            epoch.signing_key,
            dict(recipients),
            seal_to(epoch.public, keys.encode(), _WRITER_KEYS, vault),
            seal_to(epoch.public, raw, _PRIVATE_KEYS, vault),
        )

    def open(self, private: X25519PrivateKey, vault: bytes) -> OpenedKeys:
        """Raises DamageError unless all keys in it belong together."""
        name = self.object
        if private.public_key().public_bytes_raw() != self.public:
            raise damaged(name, "its public key is not the one that was sealed to the recipient")
        keys = WriterKeys.decode(unseal(private, self.writer_keys, _WRITER_KEYS, vault, name))
        raw = unseal(private, self.private_keys, _PRIVATE_KEYS, vault, name)
        older = [raw[i : i + KEY_BYTES] for i in range(0, len(raw), KEY_BYTES)]
        own = keys.epochs[-1]
        if (own.begun, own.public, own.signing_key) != (self.begun, self.public, self.signing_key):
            raise damaged(name, "its writer keys are of another epoch")
        if keys.vault_bytes != vault or len(older) != len(keys.epochs) - 1:
            raise damaged(name, "its keys are of another vault")
        return OpenedKeys(keys, (*map(X25519PrivateKey.from_private_bytes, older), private), self)

    @property
    def name(self) -> str:
        return epoch_name(self.public)

    @property
    def object(self) -> str:
        """The name of the object that holds it."""
        return record_name(self.begun, self.name) if self.begun else "vault.json"

    def binding(self, vault: bytes) -> bytes:
        """SHA-256 over the whole record. The recipients' wrapped keys and the epoch's log entry authenticate
        it."""
        text = json.dumps([vault.hex(), self.begun, self.record()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()

    def record(self) -> dict[str, Any]:
        """For JSON, without `begun`, which is in the object's name."""
        return {
            "public": self.public.hex(),
            "signing_key": self.signing_key.hex(),
            "recipients": self.recipients,
            "writer_keys": self.writer_keys.hex(),
            "private_keys": self.private_keys.hex(),
        }

    @staticmethod
    def of(begun: int, record: Mapping[str, Any]) -> EpochRecord:
        """From the result of `record`. Raises ValueError, KeyError or TypeError for anything else."""
        recipients = {
            str(id): bytes.fromhex(public).hex() for id, public in dict(record["recipients"]).items()
        }
        public, signing_key, *sealed = (
            bytes.fromhex(record[name]) for name in ("public", "signing_key", "writer_keys", "private_keys")
        )
        if (len(public), len(signing_key)) != (KEY_BYTES, KEY_BYTES):
            raise ValueError("a key has the wrong length")
        return EpochRecord(begun, public, signing_key, recipients, *sealed)


def epoch_name(public: bytes) -> str:
    """An epoch's name, from its public key: 16 hex digits."""
    return hashlib.sha256(public).hexdigest()[:16]


def record_name(begun: int, name: str) -> str:
    """The name of the object that holds the record of a later epoch."""
    return f"{FOLDER}{begun:010d}.{name}"


def store_record(store: Store, record: EpochRecord) -> None:
    store.create(record.object, [json.dumps(record.record(), indent=1).encode() + b"\n"])


def stored_records(store: Store) -> Iterator[tuple[int, str]]:
    """(begun, name) of the records of all epochs but the first, in order. Some may never have come into
    force."""
    for object, _size in store.list(FOLDER):
        begun, _, name = object.removeprefix(FOLDER).partition(".")
        if begun.isdecimal():
            yield int(begun), name


def read_record(store: Store, begun: int, name: str) -> EpochRecord:
    """Raises DamageError when it is missing, is not a record, or is of another epoch."""
    object = record_name(begun, name)
    try:
        return decode_record(object, store.read(object))
    except MissingError as error:
        raise damaged(object, "it is missing") from error


def decode_record(object: str, data: bytes) -> EpochRecord:
    """The record in the object of this name. Raises DamageError."""
    begun, _, name = object.removeprefix(FOLDER).partition(".")
    try:
        record = EpochRecord.of(int(begun), json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(object, "it is not the record of an epoch") from error
    if record.name != name:
        raise damaged(object, "it is of another epoch")
    return record


# ── an epoch's private key, sealed to a recipient ───────────────────────────────────────────────────────────


def sealed_name(recipient: str, epoch: str) -> str:
    return f"keys/{recipient}.{epoch}"


def store_sealed(store: Store, recipient: str, public: str, private: X25519PrivateKey, vault: bytes) -> None:
    """Seals an epoch's private key to a recipient. public: the recipient's, in hex."""
    name = epoch_name(private.public_key().public_bytes_raw())
    sealed = seal_to(bytes.fromhex(public), private.private_bytes_raw(), _PRIVATE_KEY, vault + name.encode())
    store.create(sealed_name(recipient, name), [sealed, _checksum(sealed)])


def read_sealed(
    store: Store, recipient: str, own: X25519PrivateKey, epoch: str, vault: bytes
) -> X25519PrivateKey | None:
    """An epoch's private key; None when it was not sealed to this recipient. Raises DamageError."""
    object = sealed_name(recipient, epoch)
    try:
        data = store.read(object)
    except MissingError:
        return None
    if not is_whole(data):
        raise damaged(object, "its checksum is wrong")
    raw = unseal(own, data[:SEALED_KEY_BYTES], _PRIVATE_KEY, vault + epoch.encode(), object)
    return X25519PrivateKey.from_private_bytes(raw)


def is_whole(data: bytes) -> bool:
    """Whether the checksum of a sealed private key fits: only its recipient can check more."""
    sealed, checksum = data[:SEALED_KEY_BYTES], data[SEALED_KEY_BYTES:]
    return len(sealed) == SEALED_KEY_BYTES and checksum == _checksum(sealed)


def _checksum(sealed: bytes) -> bytes:
    return hashlib.sha256(sealed).digest()[:_CHECKSUM_BYTES]
