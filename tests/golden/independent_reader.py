"""A reader of vaults written from docs/vault-format.md alone: it shares no code with the product, so that the
document is known to be complete. No numpy, no dedup, no speed: plain dictionaries."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i4": "i", "i8": "q"}
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def derive(key: bytes, session: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, session, b"undivided/1 " + purpose.encode()).derive(key)


def columns(block: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Section 3."""
    assert block[:4] == b"UDC1"
    (length,) = struct.unpack_from("<I", block, 4)
    header = json.loads(block[8 : 8 + length])
    at, flat = 8 + length, {}
    for column in header["columns"]:
        raw = block[at : at + column["bytes"]]
        at += column["bytes"]
        if header["zstd"]:
            raw = zstandard.ZstdDecompressor().decompress(raw)
        flat[column["name"]] = struct.unpack_from(f"<{column['count']}{CODES[column['type']]}", raw)
    found: dict[str, Any] = {}
    for name, values in flat.items():
        if name.endswith(":offsets"):
            continue
        ends = flat.get(name + ":offsets")
        found[name] = [bytes(values[a:b]) for a, b in itertools.pairwise(ends)] if ends else values
    return found, header


class IndependentReader:
    """A whole vault in a directory, opened by passphrase."""

    def __init__(self, path: Path, passphrase: str) -> None:
        self.path = path
        config = json.loads((path / "vault.json").read_text())
        assert config["format"] == 1
        assert config["needs"] == {"read": [], "write": []}
        self.vault = bytes.fromhex(config["vault"])
        self._unlock(config, passphrase)
        self._open_log()
        self._open_index()

    def _unlock(self, config: dict[str, Any], passphrase: str) -> None:
        """Section 2."""
        public, sealed = bytes.fromhex(config["public"]), bytes.fromhex(config["writer_keys"])
        (recipient,) = [json.loads(p.read_text()) for p in (self.path / "keys").iterdir()]
        stretched = Argon2id(
            salt=bytes.fromhex(recipient["salt"]), length=32, iterations=recipient["iterations"],
            lanes=recipient["lanes"], memory_cost=recipient["memory_kib"],
        ).derive(passphrase.encode())  # fmt: skip
        bound = b"undivided/1 recipient" + self.vault + public + sealed
        raw = AESGCM(stretched).decrypt(bytes(12), bytes.fromhex(recipient["wrapped"]), bound)
        self.private = X25519PrivateKey.from_private_bytes(raw)
        assert self.private.public_key().public_bytes_raw() == public
        text = SUITE.decrypt(sealed, self.private, b"undivided/1 writer keys" + self.vault).decode()
        title, *lines = text.splitlines()
        assert title == "undivided writer keys, version 1"
        keys = {name: bytes.fromhex(value) for name, value in (line.split() for line in lines)}
        self.structure, self.id_key = keys["structure"], keys["id"]

    def _open(
        self, key: bytes, session: bytes, purpose: str, counter: int, header: bytes, sealed: bytes
    ) -> bytes:
        aad = b"undivided/1 " + purpose.encode() + self.vault + header
        return AESGCM(derive(key, session, purpose)).decrypt(counter.to_bytes(12, "big"), sealed, aad)

    def _content_key(self, session: bytes, sealed: bytes) -> bytes:
        return SUITE.decrypt(sealed, self.private, b"undivided/1 content key" + self.vault + session)

    def _open_log(self) -> None:
        """Section 4."""
        self.log: dict[int, dict[str, Any]] = {}
        previous = bytes(32)
        number = 1
        while (path := self.path / f"log/{number:010d}").exists():
            data = path.read_bytes()
            magic, session, own, counter, before = struct.unpack_from(">4s16sQQ32s", data)
            assert (magic, own, before) == (b"UDL1", number, previous)
            plain = self._open(self.structure, session, "log", counter, data[:68], data[68:])
            self.log[number] = json.loads(zstandard.ZstdDecompressor().decompress(plain))
            previous = hashlib.sha256(data).digest()
            number += 1
        self.head = (number - 1, previous.hex())

    def _named(self, kind: str, name: str) -> bytes:
        data = (self.path / kind / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == name
        return data

    def _open_index(self) -> None:
        """Sections 5 and 6: chunk id → where to find it."""
        self.chunks: dict[bytes, tuple[Any, ...]] = {}
        number = self.log[max(self.log)]["links"]["data"]
        while number:
            links = self.log[number]["links"]
            for name in links.get("index", []):
                self._add_segment(self._named("index", name))
            number = links["before"]

    def _add_segment(self, data: bytes) -> None:
        magic, session, counter, length = struct.unpack_from(">4s16sQH", data)
        assert (magic, length) == (b"UDI1", 0)
        block = self._open(self.structure, session, "index", counter, data[:30], data[30:])
        table, header = columns(block)
        packs = bytes(table["pack"])
        ids = bytes(table["id"])
        frame = chunk = 0
        for i, frames in enumerate(table["frames"]):
            offset = 0
            for _ in range(frames):
                place = 0
                for _ in range(table["chunks"][frame]):
                    where = (
                        packs[32 * i : 32 * i + 32].hex(), header["sessions"][table["session"][i]], offset,
                        table["stored"][frame], table["codec"][frame], table["counter"][frame],
                        place, table["length"][chunk],
                    )  # fmt: skip
                    self.chunks.setdefault(ids[32 * chunk : 32 * chunk + 32], where)
                    place += table["length"][chunk]
                    chunk += 1
                assert place == table["plain"][frame]
                offset += table["stored"][frame]
                frame += 1

    def chunk(self, chunk: bytes) -> bytes:
        """Section 5."""
        pack, (session, sealed), offset, stored, codec, counter, place, length = self.chunks[chunk]
        data = self._named(f"packs/{pack[:2]}", pack)
        session = bytes.fromhex(session)
        key = self._content_key(session, bytes.fromhex(sealed))
        plain = self._open(key, session, "frame", counter, session, data[offset : offset + stored])
        if codec == 1:
            plain = zstandard.ZstdDecompressor().decompress(plain)
        found = plain[place : place + length]
        assert blake3(found, key=self.id_key).digest() == chunk
        return found

    def footer(self, pack: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Section 5: what a pack says of itself."""
        data = self._named(f"packs/{pack[:2]}", pack)
        magic, session, counter, length = struct.unpack(">4s16sQI", data[-32:])
        assert magic == b"UDP1"
        sealed = data[-32 - length : -32]
        return columns(self._open(self.structure, session, "footer", counter, data[-32:], sealed))

    def state(self, timeline: str, at: int) -> dict[bytes, dict[str, Any]]:
        """Section 7: path → its row."""
        numbers = []
        number = self.log[at]["links"]["chains"][timeline]["sequence"]
        while number:
            numbers.append(number)
            number = self.log[number]["links"]["chains"][timeline]["previous"]
        state: dict[bytes, dict[str, Any]] = {}
        digest = bytes(32)
        for number in reversed(numbers):
            chain = self.log[number]["links"]["chains"][timeline]
            data = self._named("timeline", chain["segment"])
            magic, session, counter, length = struct.unpack_from(">4s16sQH", data)
            assert magic == b"UDT1"
            end = 30 + length
            key = self._content_key(session, data[30:end])
            block = self._open(key, session, "timeline", counter, data[:end], data[end:])
            text = b"undivided/1 timeline" + timeline.encode() + digest + hashlib.sha256(block).digest()
            digest = hashlib.sha256(text).digest()
            assert digest.hex() == chain["digest"]
            rows, header = columns(block)
            assert header["timeline"] == timeline
            for path in rows.pop("tombstones"):
                state.pop(path, None)
            for i, path in enumerate(rows["path"]):
                state[path] = {name: values[i] for name, values in rows.items()}
        return state

    def files(self, timeline: str, at: int) -> dict[bytes, bytes]:
        content = {path: row["content"] for path, row in self.state(timeline, at).items()}
        return {
            path: b"".join(self.chunk(ids[i : i + 32]) for i in range(0, len(ids), 32))
            for path, ids in content.items()
        }
