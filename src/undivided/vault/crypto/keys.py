"""The keys of a vault, in three classes, so that a stolen source can neither read what is stored nor delete
it.

    structure   symmetric   log, index, pack footers: what writers and maintenance must read
    id          symmetric   chunk ids are BLAKE3 keyed with it: who lacks it cannot test for known content
    content     per session  a random key, sealed to the vault's public key; names and data

A source holds `WriterKeys`: the first two and the public half of the third. It can add, and read the
structure; what was stored before, even by itself, it cannot read back. The private key opens everything, and
lies in the vault, sealed to each recipient (recipients.py).

Keys can be exchanged (key_epochs.py). What was written before stays as it is, so all epochs' keys are kept, and a
session's name begins with the number of its epoch: the right key is known before anything is opened. The id
key stays through all of them, and with it the deduplication.
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
    """What writers hold of one epoch. begun: the number of the log entry that began it, 0 for the first; its
    own entries are those after it. public: X25519; signing key: Ed25519 (signing.py); 32 bytes each."""

    begun: int
    structure: bytes = field(repr=False)
    public: bytes = field(repr=False)
    signing_key: bytes = field(repr=False)


@dataclass(frozen=True)
class WriterKeys:
    """What a source holds. vault: 32 hex digits; id: 32 bytes; epochs: the oldest first, the last is in
    force."""

    vault: str
    id: bytes = field(repr=False)
    epochs: tuple[Epoch, ...]

    @property
    def vault_bytes(self) -> bytes:
        return bytes.fromhex(self.vault)

    @property
    def structure(self) -> bytes:
        """The structure key in force, for what is written now."""
        return self.epochs[-1].structure

    @property
    def public(self) -> bytes:
        return self.epochs[-1].public

    def new_session(self) -> bytes:
        """The name of a new session: the number of the epoch in force, then random."""
        number = len(self.epochs) - 1
        return number.to_bytes(_NUMBER_BYTES, "big") + os.urandom(SESSION_BYTES - _NUMBER_BYTES)

    def epoch_of(self, session: bytes, what: str) -> Epoch:
        """Raises DamageError naming `what` for an epoch that these keys do not have."""
        number = number_of(session)
        if number >= len(self.epochs):
            raise DamageError(
                f"{what} is damaged, or was made with newer keys than these",
                hint="If the vault's keys were rotated, `undivided vault key renew` fetches the new ones.",
            )
        return self.epochs[number]

    def structure_of(self, session: bytes, what: str) -> bytes:
        """The structure key of a session. Raises DamageError as `epoch_of` does."""
        return self.epoch_of(session, what).structure

    def epoch_at(self, number: int) -> Epoch:
        """The epoch in which log entry `number` was made."""
        return next(epoch for epoch in reversed(self.epochs) if epoch.begun < number)

    def followed_by(self, epoch: Epoch) -> WriterKeys:
        """After one more rotation."""
        return replace(self, epochs=(*self.epochs, epoch))

    def encode(self) -> bytes:
        """A small text file. It is secret: keep it 0600."""
        rows = [
            f"epoch {e.begun} {e.structure.hex()} {e.public.hex()} {e.signing_key.hex()}" for e in self.epochs
        ]
        return "\n".join([_TITLE, f"vault {self.vault}", f"id {self.id.hex()}", *rows, ""]).encode()

    @staticmethod
    def decode(data: bytes) -> WriterKeys:
        """Raises WrongKeyError when it is not such a file."""
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
    """The number of the epoch that a session is of; the first is 0."""
    return int.from_bytes(session[:_NUMBER_BYTES], "big")


def _keys(*texts: str) -> list[bytes]:
    keys = [bytes.fromhex(text) for text in texts]
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError("a key of another length")
    return keys


def _not_keys() -> WrongKeyError:
    return WrongKeyError(
        "the file does not hold writer keys of a vault",
        hint="`undivided vault key renew` fetches them again.",
    )


def new_epoch(begun: int) -> tuple[Epoch, X25519PrivateKey]:
    """Fresh keys, and the private one that only recipients will hold."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return Epoch(begun, os.urandom(KEY_BYTES), public, SigningKey(private).public), private


def new_keys() -> tuple[WriterKeys, X25519PrivateKey]:
    """Keys of a new vault."""
    epoch, private = new_epoch(0)
    return WriterKeys(os.urandom(VAULT_BYTES).hex(), os.urandom(KEY_BYTES), (epoch,)), private


def seal_to(public: bytes, secret: bytes, purpose: str, context: bytes) -> bytes:
    """`secret`, readable only with the private key. HPKE base mode, RFC 9180."""
    key = X25519PublicKey.from_public_bytes(public)
    return _SUITE.encrypt(secret, key, PREFIX + purpose.encode() + context)


def unseal(private: X25519PrivateKey, sealed: bytes, purpose: str, context: bytes, what: str) -> bytes:
    """Raises DamageError naming `what` when it was not sealed to this key for this purpose and context."""
    try:
        return _SUITE.decrypt(sealed, private, PREFIX + purpose.encode() + context)
    except (InvalidTag, ValueError):
        raise damaged(what, "the key sealed in it does not open") from None
