"""Recipients: who can open the vault. Each is one object keys/<id> that wraps the same private key.

They are objects of their own, not part of vault.json, because nothing in a vault is overwritten: changing a
passphrase is adding one recipient and removing another, and removing must really take the old wrapping away.

The wrapping key is Argon2id(passphrase, salt); both are used once, so the nonce is zero by right. The
associated data binds vault id, public key and sealed writer keys: what opens proves that vault.json is the
one it was made with. Nobody who lacks the private key can make a recipient that opens.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ..model.errors import DamageError, UsageError
from .seal import NONCE_BYTES, PREFIX, TAG_BYTES, damaged
from .stores.base import Store

FOLDER = "keys/"
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 65536
_MOST_ITERATIONS, _MOST_LANES, _MOST_MEMORY_KIB = 64, 64, 4 << 20


@dataclass(frozen=True)
class Recipient:
    """A wrapping of the private key, as stored. salt, wrapped: hex. kind: 'passphrase'."""

    id: str
    kind: str
    label: str
    created_ns: int
    iterations: int
    lanes: int
    memory_kib: int
    salt: str
    wrapped: str


def wrap(private: X25519PrivateKey, passphrase: str, label: str, binding: bytes) -> Recipient:
    """A new recipient. Raises UsageError for an empty passphrase."""
    if not passphrase:
        raise UsageError("the passphrase is empty", hint="Choose one; without it nothing can be recovered.")
    salt = os.urandom(16)
    key = _stretch(passphrase, salt, _ITERATIONS, _LANES, _MEMORY_KIB)
    wrapped = AESGCM(key).encrypt(bytes(NONCE_BYTES), private.private_bytes_raw(), _bound(binding))
    return Recipient(
        os.urandom(8).hex(), "passphrase", label, time.time_ns(),
        _ITERATIONS, _LANES, _MEMORY_KIB, salt.hex(), wrapped.hex(),
    )  # fmt: skip


def unwrap(recipient: Recipient, passphrase: str, binding: bytes) -> X25519PrivateKey | None:
    """The private key, or None when the passphrase is not this recipient's."""
    r = recipient
    key = _stretch(passphrase, bytes.fromhex(r.salt), r.iterations, r.lanes, r.memory_kib)
    try:
        raw = AESGCM(key).decrypt(bytes(NONCE_BYTES), bytes.fromhex(r.wrapped), _bound(binding))
    except InvalidTag:
        return None
    return X25519PrivateKey.from_private_bytes(raw)


def store_recipient(store: Store, recipient: Recipient) -> None:
    record = json.dumps(asdict(recipient), indent=1).encode() + b"\n"
    store.create(FOLDER + recipient.id, [record])


def stored_recipients(store: Store) -> Iterator[Recipient | DamageError]:
    """Every recipient of the vault in order of name; in place of one that cannot be read, the error: one that
    is damaged must not keep the others out."""
    for name, _size in store.list(FOLDER):
        try:
            yield _decode(name, store.read(name))
        except DamageError as error:
            yield error


def _decode(name: str, data: bytes) -> Recipient:
    """Costs are bounded before anyone pays them: a recipient is not authenticated until it opens."""
    try:
        r = Recipient(**json.loads(data))
        sizes = len(bytes.fromhex(r.salt)), len(bytes.fromhex(r.wrapped))
        bounded = (
            0 < r.iterations <= _MOST_ITERATIONS
            and 0 < r.lanes <= _MOST_LANES
            and 8 * r.lanes <= r.memory_kib <= _MOST_MEMORY_KIB
        )
    except (ValueError, TypeError) as error:
        raise damaged(name, "it is no recipient") from error
    if not bounded or sizes != (16, 32 + TAG_BYTES) or FOLDER + r.id != name or r.kind != "passphrase":
        raise damaged(name, "it is no recipient that this program knows")
    return r


def _stretch(passphrase: str, salt: bytes, iterations: int, lanes: int, memory_kib: int) -> bytes:
    kdf = Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return kdf.derive(passphrase.encode())


def _bound(binding: bytes) -> bytes:
    return PREFIX + b"recipient" + binding
