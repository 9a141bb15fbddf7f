"""Recipients: the passphrases and keys that can open the vault. Each is one object keys/<id>.

Recipients are objects of their own, not part of vault.json, because objects in a vault are never overwritten.
To change a passphrase, one recipient is added and another removed, and the removed one must really be gone.

A recipient is an X25519 key pair, and the vault's private key is sealed to it: keys/<id>.<epoch>, one for
each epoch (key_epochs.py). So any one recipient can rotate the vault's keys for all recipients, without their
secrets.

    passphrase  the recipient's own private key is wrapped by Argon2id(passphrase, salt)
    command     the same, with the output of a program as the passphrase: a TPM, a KMS, a password manager
    x25519      the recipient's own private key is kept outside, in a key file

`wrapped` also authenticates the vault: its associated data binds the vault's keys as they were when the
recipient was added (EpochRecord.binding). A recipient that opens proves that the store shows the vault for
which it was made, and not one that an attacker put in its place and can read. Each wrapping key is used once,
so a nonce of zeros is safe.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ...model.errors import DamageError, UsageError
from ..stores.base import Store
from .aead import NONCE_BYTES, PREFIX, TAG_BYTES, damaged, derive
from .keys import KEY_BYTES

FOLDER = "keys/"
PASSPHRASE, COMMAND, KEY_FILE = "passphrase", "command", "x25519"
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 65536
_MOST_ITERATIONS, _MOST_LANES, _MOST_MEMORY_KIB = 64, 64, 4 << 20

Secret = str | X25519PrivateKey
"""It opens a recipient: a passphrase, the output of a command, or the key of a key file."""


@dataclass(frozen=True)
class Recipient:
    """As stored. epoch: name of the epoch in which it was added; public, salt, wrapped: hex. The costs are
    those of Argon2id, 0 for a key file."""

    id: str
    kind: str
    label: str
    created_ns: int
    epoch: str
    public: str
    iterations: int
    lanes: int
    memory_kib: int
    salt: str
    wrapped: str


def new_id() -> str:
    return os.urandom(8).hex()


def own_key(secret: Secret) -> X25519PrivateKey:
    """The private key of a new recipient. Raises UsageError for an empty passphrase."""
    if isinstance(secret, X25519PrivateKey):
        return secret
    if not secret:
        raise UsageError(
            "the passphrase is empty", hint="Choose a passphrase; without it nothing can be recovered."
        )
    return X25519PrivateKey.generate()


def public_of(private: X25519PrivateKey) -> str:
    return private.public_key().public_bytes_raw().hex()


def wrap(
    id: str, own: X25519PrivateKey, secret: Secret, kind: str, label: str, epoch: str, binding: bytes
) -> Recipient:
    """A new recipient whose private key is `own`, for the vault whose epoch has this name and binding."""
    costs = (0, 0, 0) if isinstance(secret, X25519PrivateKey) else (_ITERATIONS, _LANES, _MEMORY_KIB)
    salt, public = os.urandom(16), public_of(own)
    secret_key = b"" if isinstance(secret, X25519PrivateKey) else own.private_bytes_raw()
    aad = _associated_data(id, kind, public, binding)
    wrapped = AESGCM(_wrapping_key(secret, salt, *costs)).encrypt(bytes(NONCE_BYTES), secret_key, aad)
    return Recipient(id, kind, label, time.time_ns(), epoch, public, *costs, salt.hex(), wrapped.hex())


def unwrap(recipient: Recipient, secret: Secret, binding: bytes) -> X25519PrivateKey | None:
    """The recipient's private key, or None when the secret is another one's."""
    r = recipient
    if isinstance(secret, X25519PrivateKey) != (r.kind == KEY_FILE):
        return None
    key = _wrapping_key(secret, bytes.fromhex(r.salt), r.iterations, r.lanes, r.memory_kib)
    aad = _associated_data(r.id, r.kind, r.public, binding)
    try:
        unwrapped = AESGCM(key).decrypt(bytes(NONCE_BYTES), bytes.fromhex(r.wrapped), aad)
    except InvalidTag:
        return None
    return secret if isinstance(secret, X25519PrivateKey) else X25519PrivateKey.from_private_bytes(unwrapped)


def store_recipient(store: Store, recipient: Recipient) -> None:
    fields = asdict(recipient)
    record = json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode() + b"\n"
    store.create(FOLDER + recipient.id, [record])


def stored_recipients(store: Store) -> Iterator[Recipient | DamageError]:
    """All recipients of the vault, in order of name. A damaged one yields its error, so that the others still
    open the vault."""
    for name, _size in store.list(FOLDER):
        if "." in name:
            continue
        try:
            yield decode_recipient(name, store.read(name))
        except DamageError as error:
            yield error


def decode_recipient(name: str, data: bytes) -> Recipient:
    """Raises DamageError. The costs are checked before any time is spent: a recipient is not authenticated
    until it opens."""
    try:
        fields = json.loads(data)
        checksum = fields.pop("checksum")
        r = Recipient(**fields)
        sizes = len(bytes.fromhex(r.public)), len(bytes.fromhex(r.salt)), len(bytes.fromhex(r.wrapped))
        bounded = (
            0 < r.iterations <= _MOST_ITERATIONS
            and 0 < r.lanes <= _MOST_LANES
            and 8 * r.lanes <= r.memory_kib <= _MOST_MEMORY_KIB
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(name, "it is not a recipient") from error
    if checksum != _checksum(fields):
        raise damaged(name, "its checksum is wrong")
    outside = r.kind == KEY_FILE  # its private key is
    known = r.kind in (PASSPHRASE, COMMAND, KEY_FILE) and FOLDER + r.id == name and isinstance(r.epoch, str)
    if (
        not known
        or not (outside or bounded)
        or sizes != (KEY_BYTES, 16, TAG_BYTES + (not outside) * KEY_BYTES)
    ):
        raise damaged(name, "it is a recipient of an unknown kind")
    return r


def _checksum(fields: Mapping[str, Any]) -> str:
    """Detects bit rot before the day when a recovery kit is needed."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _wrapping_key(secret: Secret, salt: bytes, iterations: int, lanes: int, memory_kib: int) -> bytes:
    """The wrapping key."""
    if isinstance(secret, X25519PrivateKey):
        return derive(secret.private_bytes_raw(), salt, "recipient")
    kdf = Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return kdf.derive(secret.encode())


def _associated_data(id: str, kind: str, public: str, binding: bytes) -> bytes:
    return PREFIX + b"recipient" + f"{id} {kind} {public} ".encode() + binding
