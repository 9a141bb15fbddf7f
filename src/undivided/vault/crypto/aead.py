"""Sealing bytes: AES-256-GCM under keys that live for one session, with counted nonces.

A random 96-bit nonce under a long-lived key collides sooner or later, and one collision gives the key stream
away. So no long-lived key ever encrypts: each session draws 112 random bits for its name, every purpose gets
its own key derived from (class key, session), and the nonce is a counter of that key. Reuse is impossible by
construction. A forked child would continue with the same counter, so it is refused.

    key   = HKDF-SHA256(class key, salt = session, info = "undivided/1 " + purpose)
    nonce = counter, 12 bytes, big-endian
    AAD   = "undivided/1 " + purpose + vault + the clear header of the sealed bytes

Class keys: the structure key (purposes log, footer, index) or a session's content key (frame, timeline).
"""

from __future__ import annotations

import os
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ...model.errors import DamageError

PREFIX = b"undivided/1 "
TAG_BYTES = 16
NONCE_BYTES = 12
SESSION_BYTES = 16
VAULT_BYTES = 16

DAMAGE_HINT = "Run `undivided verify --read-data` to see which points and files are affected."

Buffer = bytes | bytearray | memoryview


def derive(key: bytes, session: bytes, purpose: str) -> bytes:
    """The 32-byte key of one purpose in one session."""
    return HKDF(SHA256(), 32, session, PREFIX + purpose.encode()).derive(key)


def associated_data(purpose: str, vault: bytes, header: bytes) -> bytes:
    """The bytes that are authenticated together with the sealed ones."""
    return PREFIX + purpose.encode() + vault + header


class Sealer:
    """Seals for one purpose in one session. Thread-safe; the only place where nonces are made."""

    def __init__(self, key: bytes, vault: bytes, session: bytes, purpose: str) -> None:
        self._cipher = AESGCM(derive(key, session, purpose))
        self._vault, self._purpose = vault, purpose
        self._next = 0
        self._process = os.getpid()
        self._lock = threading.Lock()

    def count(self) -> int:
        """A counter value that no other caller gets."""
        if os.getpid() != self._process:
            raise AssertionError("a vault session must not be used after a fork: its nonces would repeat")
        with self._lock:
            self._next += 1
            return self._next

    def seal(self, counter: int, plain: Buffer, header: bytes) -> bytes:
        """Ciphertext and tag, under a counter that `count` has just returned."""
        out = bytearray(len(plain) + TAG_BYTES)
        self.seal_into(counter, plain, header, memoryview(out))
        return bytes(out)

    def seal_into(self, counter: int, plain: Buffer, header: bytes, out: memoryview) -> None:
        """As `seal`, into `out`, which is exactly TAG_BYTES longer than `plain`: no allocation."""
        nonce = counter.to_bytes(NONCE_BYTES, "big")
        self._cipher.encrypt_into(nonce, plain, associated_data(self._purpose, self._vault, header), out)


class Opener:
    """Opens the bytes that the Sealer of the same key, session and purpose sealed. Thread-safe."""

    def __init__(self, key: bytes, vault: bytes, session: bytes, purpose: str) -> None:
        self._cipher = AESGCM(derive(key, session, purpose))
        self._vault, self._purpose = vault, purpose

    def open(self, counter: int, sealed: Buffer, header: bytes, name: str) -> bytearray:
        """The plain bytes. name: of the object, for errors. Raises DamageError when a single bit differs from
        the sealed ones."""
        out = bytearray(max(0, len(sealed) - TAG_BYTES))
        self.open_into(counter, sealed, header, memoryview(out), name)
        return out

    def open_into(self, counter: int, sealed: Buffer, header: bytes, out: memoryview, name: str) -> None:
        """As `open`, into `out`, which is exactly TAG_BYTES shorter than `sealed`."""
        if len(sealed) < TAG_BYTES:
            raise damaged(name, "it is too short")
        try:
            nonce = counter.to_bytes(NONCE_BYTES, "big")
            self._cipher.decrypt_into(nonce, sealed, associated_data(self._purpose, self._vault, header), out)
        except InvalidTag:
            raise damaged(name, "its authentication tag does not match") from None


def damaged(name: str, cause: str) -> DamageError:
    """The error for an object whose bytes are not the stored ones."""
    return DamageError(f"{name} is damaged: {cause}", hint=DAMAGE_HINT)
