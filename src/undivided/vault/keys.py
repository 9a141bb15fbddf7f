"""The keys of a vault, in three classes, so that a stolen source can neither read what is stored nor delete
it.

    structure   symmetric   log, index, pack footers: what writers and maintenance must read
    id          symmetric   chunk ids are BLAKE3 keyed with it: who lacks it cannot test for known content
    content     per session  a random key, sealed to the vault's public key; names and data

A source holds `WriterKeys`: the first two and the public half of the third. It can add, and read the
structure; what was stored before, even by itself, it cannot read back. The private key opens everything, and
lies in the vault wrapped by a passphrase (recipients.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ..model.errors import WrongKeyError
from .authority import Authority
from .seal import PREFIX, damaged

KEY_BYTES = 32
CONTENT_KEY = "content key"
WRITER_KEYS = "writer keys"
SEALED_KEY_BYTES = 80
"""HPKE's encapsulated X25519 key, the key itself, the tag."""
_TITLE = "undivided writer keys, version 1"
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class WriterKeys:
    """What a source holds. vault: 32 hex digits; the keys 32 bytes each; public is the vault's X25519 key,
    authority the Ed25519 key by which it knows entries that destroy (authority.py)."""

    vault: str
    structure: bytes = field(repr=False)
    id: bytes = field(repr=False)
    public: bytes = field(repr=False)
    authority: bytes = field(repr=False)

    @property
    def vault_bytes(self) -> bytes:
        return bytes.fromhex(self.vault)

    def encode(self) -> bytes:
        """A small text file. It is secret: keep it 0600."""
        rows = [
            ("vault", self.vault_bytes),
            ("structure", self.structure),
            ("id", self.id),
            ("public", self.public),
            ("authority", self.authority),
        ]
        return "\n".join([_TITLE, *(f"{name} {value.hex()}" for name, value in rows), ""]).encode()

    @staticmethod
    def decode(data: bytes) -> WriterKeys:
        """Raises WrongKeyError when it is not such a file."""
        try:
            title, *lines = data.decode("ascii").splitlines()
            rows = {name: bytes.fromhex(value) for name, value in (line.split() for line in lines)}
            vault, names = rows["vault"].hex(), ("structure", "id", "public", "authority")
            keys = WriterKeys(vault, *(rows[name] for name in names))
        except (ValueError, KeyError) as error:
            raise _not_keys() from error
        lengths = {len(keys.structure), len(keys.id), len(keys.public), len(keys.authority)}
        if title != _TITLE or lengths != {KEY_BYTES} or len(rows["vault"]) != KEY_BYTES // 2:
            raise _not_keys()
        return keys


def _not_keys() -> WrongKeyError:
    return WrongKeyError(
        "the file does not hold writer keys of a vault",
        hint="Open the vault with its passphrase to get them again.",
    )


def new_keys() -> tuple[WriterKeys, X25519PrivateKey]:
    """Keys of a new vault, and the private one that only recipients will hold."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    vault, structure, id = os.urandom(16).hex(), os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
    return WriterKeys(vault, structure, id, public, Authority(private).public), private


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
