"""The vault's signing key: without its signature nothing in the vault is destroyed.

Writer keys are symmetric, so a thief of a source's keys can append to the log whatever the source can. That
must not include destroying data, nor changing who may open the vault. So entries of these kinds are signed
with an Ed25519 key that is derived from the vault's private key, and every reader checks the signature:
writers have the public half.

    key       = Ed25519(HKDF-SHA256(private key, no salt, info = "undivided/1 signing key"))
    signature = over "undivided/1 signed entry" + canonical JSON of the list
                [kind, vault, number, previous digest, time_ns, body without "signature", links]

Number and predecessor are signed too: a signature is valid at one place in one log only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ...model.log_kinds import LogKind
from .aead import PREFIX, derive

SIGNATURE = "signature"
_ALWAYS = (LogKind.PRUNE, LogKind.EPOCH, LogKind.REPAIR, LogKind.KEY)


class Signed(NamedTuple):
    """The fields that a signature covers. vault, previous: hex."""

    kind: str
    vault: str
    number: int
    previous: str
    time_ns: int
    body: Mapping[str, Any]
    links: Mapping[str, Any]

    def message(self) -> bytes:
        unsigned = {key: value for key, value in self.body.items() if key != SIGNATURE}
        # Through JSON once, because a reader gets the same: there all keys of an object are text.
        stored = json.loads(json.dumps(self._replace(body=unsigned)))
        return PREFIX + b"signed entry" + json.dumps(stored, sort_keys=True, separators=(",", ":")).encode()


class SigningKey:
    """The secret half, derived from the vault's private key. public: 32 bytes."""

    def __init__(self, private: X25519PrivateKey) -> None:
        seed = derive(private.private_bytes_raw(), b"", "signing key")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, entry: Signed) -> str:
        """The signature, in hex: body["signature"] of the entry."""
        return self._key.sign(entry.message()).hex()


def with_signature(signing_key: SigningKey | None, entry: Signed) -> Mapping[str, Any]:
    """The body to store, signed if its kind needs a signature."""
    if not must_be_signed(entry.kind, entry.body):
        return entry.body
    if signing_key is None:
        # An entry that every reader would refuse must never get into the log.
        raise AssertionError(f"an entry of kind {entry.kind} needs the vault's signing key")
    return {**entry.body, SIGNATURE: signing_key.sign(entry)}


def must_be_signed(kind: str, body: Mapping[str, Any]) -> bool:
    """Whether an entry of this kind with this body needs the signing key's signature."""
    return kind in _ALWAYS or (kind == LogKind.PIN and body.get("pinned") is not True)


def has_valid_signature(public: bytes, entry: Signed) -> bool:
    """Whether body["signature"] is the signing key's, over exactly these fields."""
    try:
        signature = bytes.fromhex(entry.body[SIGNATURE])
        Ed25519PublicKey.from_public_bytes(public).verify(signature, entry.message())
    except (InvalidSignature, KeyError, ValueError, TypeError):
        return False
    return True
