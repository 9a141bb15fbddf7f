"""One entry of the commit log, as bytes and as a value.

    "UDL1" | session 16 | number u64 | counter u64 | sha256 of the previous entry 32 | sealed body

Integers are big-endian. The body is JSON, zstd-compressed, sealed for purpose "log" with the header as
associated data, so an entry cannot be moved to another number, another vault or behind another predecessor.
The digest of an entry is the SHA-256 of its stored bytes; the predecessor of the first entry is 32 zero
bytes. Entries that destroy data, or change who may open the vault, need the signing key's signature
(vault/crypto/signing.py). An entry belongs to the epoch in force: old keys cannot append
(vault/crypto/key_epochs.py).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from ..crypto.aead import Opener, Sealer, damaged
from ..crypto.keys import WriterKeys
from ..crypto.signing import Signed, has_valid_signature, must_be_signed

MAGIC = b"UDL1"
PURPOSE = "log"
HEADER = struct.Struct(">4s16sQQ32s")
_LARGEST_BODY = 64 << 20
_LEVEL = 3


@dataclass(frozen=True)
class Head:
    """The end of the log. digest: hex SHA-256 of the stored bytes; number 0 and digest "" when empty."""

    number: int = 0
    digest: str = ""


@dataclass(frozen=True)
class LogEntry:
    """An authenticated entry. links: to other entries and objects, see vault/log/slot.py."""

    number: int
    digest: str
    kind: str
    time_ns: int
    session: str
    body: dict[str, Any]
    previous: str = ""
    links: Mapping[str, Any] = field(default_factory=dict)


def name_of(number: int) -> str:
    """The name of the object that holds entry `number`."""
    return f"log/{number:010d}"


def encode_entry(
    sealer: Sealer, session: bytes, head: Head, kind: str, time_ns: int, body: Any, links: Mapping[str, Any]
) -> bytes:
    """The stored bytes of the entry after `head`. Each call uses a fresh counter."""
    counter = sealer.count()
    previous = bytes.fromhex(head.digest) if head.digest else bytes(32)
    header = HEADER.pack(MAGIC, session, head.number + 1, counter, previous)
    record = {"kind": kind, "time_ns": time_ns, "body": body, "links": links}
    plain = zstandard.ZstdCompressor(level=_LEVEL).compress(
        json.dumps(record, separators=(",", ":")).encode()
    )
    return header + sealer.seal(counter, plain, header)


def decode_entry(keys: WriterKeys, number: int, data: bytes) -> LogEntry:
    """The entry in `data`. Raises DamageError unless a writer of this vault made it as entry `number`, and
    the signing key signed it if its kind needs that."""
    name = name_of(number)
    if len(data) < HEADER.size:
        raise damaged(name, "it is too short")
    header = data[: HEADER.size]
    magic, session, own, counter, previous = HEADER.unpack(header)
    if magic != MAGIC or own != number:
        raise damaged(name, "it is not the log entry of this number")
    epoch = keys.epoch_of(session, name)
    if number < 1 or epoch is not keys.epoch_at(number):
        raise damaged(name, "it was made with keys that were not in force at that time")
    opener = Opener(epoch.structure, keys.vault_bytes, session, PURPOSE)
    plain = opener.open(counter, data[HEADER.size :], header, name)
    try:
        record = json.loads(
            zstandard.ZstdDecompressor().decompress(bytes(plain), max_output_size=_LARGEST_BODY)
        )
        entry = LogEntry(
            number=number,
            digest=hashlib.sha256(data).hexdigest(),
            kind=record["kind"],
            time_ns=record["time_ns"],
            session=session.hex(),
            body=dict(record["body"]),
            previous=previous.hex() if any(previous) else "",
            links=record["links"],
        )
    except (ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
        raise damaged(name, f"its body cannot be decoded ({error})") from error
    kind, body = entry.kind, entry.body
    signed = Signed(kind, keys.vault, number, entry.previous, entry.time_ns, body, entry.links)
    if must_be_signed(kind, body) and not has_valid_signature(epoch.signing_key, signed):
        raise damaged(
            name, f"an entry of kind {kind!r} must be signed, and the vault's signing key did not sign it"
        )
    return entry
