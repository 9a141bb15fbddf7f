"""The keys of a vault, in three classes, so that a thief of a source's keys can neither read nor delete the
stored data.

    structure   symmetric    log, index, pack footers: the parts that writers and maintenance read
    id          symmetric    chunk ids are BLAKE3 keyed with it: without it known content cannot be recognised
    content     per session  a random key, sealed to the vault's public key; names and data

A source holds `WriterKeys`: the first two and the public half of the third. It can add data and read the
structure. It cannot read back stored data, not even its own. The private key opens everything; it lies in the
vault, sealed to each recipient (recipients.py).

Keys can be rotated (key_epochs.py). Older data is not encrypted again, so the keys of all epochs are kept,
and the name of a session begins with the number of its epoch: a reader knows the right key before it opens
anything. The id key is the same in all epochs, so deduplication continues across a rotation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ...model.errors import DamageError, WrongKeyError
from .aead import PREFIX, SESSION_BYTES, VAULT_BYTES, damaged
from .signing import SigningKey

KEY_BYTES = 32
CONTENT_KEY = "content key"
SEALED_KEY_BYTES = 80
"""HPKE's encapsulated X25519 key, the key itself, the tag."""
_TITLE = "undivided writer keys, version 1"
_NUMBER_BYTES = 2
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

PrivateKeys = tuple[X25519PrivateKey, ...]
"""One per epoch, the oldest first."""


@dataclass(frozen=True)
class Epoch:
    """A writer's keys of one epoch. begun: the number of the log entry that began it, 0 for the first; the
    epoch's own entries are those after it. public: X25519; signing_key: Ed25519 (signing.py); 32 bytes
    each."""

    begun: int
    structure: bytes = field(repr=False)
    public: bytes = field(repr=False)
    signing_key: bytes = field(repr=False)


@dataclass(frozen=True)
class WriterKeys:
    """The keys of a source. vault: 32 hex digits; id: 32 bytes; epochs: the oldest first, the last is in
    force."""

    vault: str
    id: bytes = field(repr=False)
    epochs: tuple[Epoch, ...]

    @property
    def vault_bytes(self) -> bytes:
        return bytes.fromhex(self.vault)

    @property
    def structure(self) -> bytes:
        """The structure key in force, for new objects."""
        return self.epochs[-1].structure

    @property
    def public(self) -> bytes:
        return self.epochs[-1].public

    def new_session(self) -> bytes:
        """The name of a new session: the number of the epoch in force, then random bytes."""
        number = len(self.epochs) - 1
        return number.to_bytes(_NUMBER_BYTES, "big") + os.urandom(SESSION_BYTES - _NUMBER_BYTES)

    def epoch_of(self, session: bytes, name: str) -> Epoch:
        """name: of the object, for errors. Raises DamageError for an epoch that these keys do not have."""
        number = number_of(session)
        if number >= len(self.epochs):
            raise DamageError(
                f"{name} is damaged, or was made with newer keys than these",
                hint="If the vault's keys were rotated, `undivided vault key renew` fetches the new keys.",
            )
        return self.epochs[number]

    def structure_of(self, session: bytes, name: str) -> bytes:
        """The structure key of a session. Raises DamageError as `epoch_of` does."""
        return self.epoch_of(session, name).structure

    def epoch_at(self, number: int) -> Epoch:
        """The epoch that log entry `number` belongs to."""
        return next(epoch for epoch in reversed(self.epochs) if epoch.begun < number)

    def followed_by(self, epoch: Epoch) -> WriterKeys:
        """The keys after one more rotation."""
        return replace(self, epochs=(*self.epochs, epoch))

    def encode(self) -> bytes:
        """A small text file. It is secret: keep its mode 0600."""
        rows = [
            f"epoch {e.begun} {e.structure.hex()} {e.public.hex()} {e.signing_key.hex()}" for e in self.epochs
        ]
        return "\n".join([_TITLE, f"vault {self.vault}", f"id {self.id.hex()}", *rows, ""]).encode()

    @staticmethod
    def decode(data: bytes) -> WriterKeys:
        """Raises WrongKeyError for any other file."""
        try:
            title, vault, id, *rows = (line.split(" ") for line in data.decode("ascii").splitlines())
            names = " ".join(title), vault[0], id[0], *(row[0] for row in rows)
            epochs = tuple(Epoch(int(begun), *_keys(*keys)) for _, begun, *keys in rows)
            (identity,) = _keys(*id[1:])
            keys = WriterKeys(bytes.fromhex(*vault[1:]).hex(), identity, epochs)
        except (ValueError, TypeError, IndexError) as error:
            raise _not_keys() from error
        begun = [epoch.begun for epoch in epochs]
        if names != (_TITLE, "vault", "id", *["epoch"] * len(epochs)) or len(keys.vault_bytes) != VAULT_BYTES:
            raise _not_keys()
        if not begun or begun[0] != 0 or begun != sorted(set(begun)):
            raise _not_keys()
        return keys


def number_of(session: bytes) -> int:
    """The number of a session's epoch; the first is 0."""
    return int.from_bytes(session[:_NUMBER_BYTES], "big")


def _keys(*texts: str) -> list[bytes]:
    keys = [bytes.fromhex(text) for text in texts]
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError("a key has the wrong length")
    return keys


def _not_keys() -> WrongKeyError:
    return WrongKeyError(
        "the file does not hold writer keys of a vault",
        hint="`undivided vault key renew` fetches the writer keys again.",
    )


def new_epoch(begun: int) -> tuple[Epoch, X25519PrivateKey]:
    """Fresh keys, and the private key that only recipients will hold."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return Epoch(begun, os.urandom(KEY_BYTES), public, SigningKey(private).public), private


def new_keys() -> tuple[WriterKeys, X25519PrivateKey]:
    """Keys of a new vault."""
    epoch, private = new_epoch(0)
    return WriterKeys(os.urandom(VAULT_BYTES).hex(), os.urandom(KEY_BYTES), (epoch,)), private


def seal_to(public: bytes, secret: bytes, purpose: str, context: bytes) -> bytes:
    """`secret`, readable only with the private key of `public`. HPKE base mode, RFC 9180."""
    key = X25519PublicKey.from_public_bytes(public)
    return _SUITE.encrypt(secret, key, PREFIX + purpose.encode() + context)


def unseal(private: X25519PrivateKey, sealed: bytes, purpose: str, context: bytes, name: str) -> bytes:
    """name: of the object, for errors. Raises DamageError when it was not sealed to this key for this purpose
    and context."""
    try:
        return _SUITE.decrypt(sealed, private, PREFIX + purpose.encode() + context)
    except (InvalidTag, ValueError):
        raise damaged(name, "the key sealed in it does not open") from None
