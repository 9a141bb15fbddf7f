"""Sealing bytes: AES-256-GCM under keys that live for one session, with nonces that are counted.

A random 96-bit nonce under a long-lived key collides sooner or later, and one collision gives the key stream
away. So no long-lived key ever encrypts: each session draws 128 random bits as its name, every purpose gets
its own key derived from (class key, session), and the nonce is a counter of that key. Reuse is impossible by
construction; a forked child, which would count on from the same number, is refused.

    key   = HKDF-SHA256(class key, salt = session, info = "undivided/1 " + purpose)
    nonce = counter, 12 bytes, big-endian
    AAD   = "undivided/1 " + purpose + vault + the clear header of what is sealed

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

DAMAGE_HINT = "Run `undivided verify --read-data` to learn which points and files it touches."

Buffer = bytes | bytearray | memoryview


def derive(key: bytes, session: bytes, purpose: str) -> bytes:
    """The 32-byte key of one purpose in one session."""
    return HKDF(SHA256(), 32, session, PREFIX + purpose.encode()).derive(key)


def associated(purpose: str, vault: bytes, header: bytes) -> bytes:
    """What is authenticated along with the sealed bytes."""
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
        """A counter value that nobody else gets."""
        if os.getpid() != self._process:
            raise AssertionError("a vault session does not survive fork: its nonces would repeat")
        with self._lock:
            self._next += 1
            return self._next

    def seal(self, counter: int, plain: Buffer, header: bytes) -> bytes:
        """Ciphertext and tag under a counter fresh from `count`."""
        out = bytearray(len(plain) + TAG_BYTES)
        self.seal_into(counter, plain, header, memoryview(out))
        return bytes(out)

    def seal_into(self, counter: int, plain: Buffer, header: bytes, out: memoryview) -> None:
        """The same into `out`, which is exactly TAG_BYTES longer than `plain`: no allocation."""
        nonce = counter.to_bytes(NONCE_BYTES, "big")
        self._cipher.encrypt_into(nonce, plain, associated(self._purpose, self._vault, header), out)


class Opener:
    """Opens what the Sealer of the same key, session and purpose sealed. Thread-safe."""

    def __init__(self, key: bytes, vault: bytes, session: bytes, purpose: str) -> None:
        self._cipher = AESGCM(derive(key, session, purpose))
        self._vault, self._purpose = vault, purpose

    def open(self, counter: int, sealed: Buffer, header: bytes, what: str) -> bytearray:
        """The plain bytes. Raises DamageError naming `what` when a single bit is not as it was sealed."""
        out = bytearray(max(0, len(sealed) - TAG_BYTES))
        self.open_into(counter, sealed, header, memoryview(out), what)
        return out

    def open_into(self, counter: int, sealed: Buffer, header: bytes, out: memoryview, what: str) -> None:
        if len(sealed) < TAG_BYTES:
            raise damaged(what, "it is too short")
        try:
            nonce = counter.to_bytes(NONCE_BYTES, "big")
            self._cipher.decrypt_into(nonce, sealed, associated(self._purpose, self._vault, header), out)
        except InvalidTag:
            raise damaged(what, "its authentication tag does not match") from None


def damaged(what: str, cause: str) -> DamageError:
    """The error for an object that is not what was stored."""
    return DamageError(f"{what} is damaged: {cause}", hint=DAMAGE_HINT)
