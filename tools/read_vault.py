#!/usr/bin/env python3
"""Reads an Undivided vault without Undivided: lists its points, and extracts one to a directory.

    python read_vault.py /path/of/vault points
    python read_vault.py /path/of/vault extract POINT DIRECTORY

One file, for a reader who finds a vault in twenty years. It needs Python and
`pip install cryptography zstandard blake3`. It was written from docs/vault-format.md (the comments name its
sections) and shares no code with the product. Copy a vault in a bucket to a directory first, with any tool
that copies buckets.

The secret is the passphrase (UNDIVIDED_PASSPHRASE, or a prompt), or a key file or recovery kit (--key-file).
All data is authenticated before it is used. An error names the damaged object; nothing is guessed.

Each component of a point becomes a directory. For a component of kind files it is the tree; for a database it
holds the files that its driver stored. docs/drivers/ describes how the application reads them.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import getpass
import hashlib
import itertools
import json
import os
import re
import stat
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i4": "i", "i8": "q"}
SIGNED = {"prune", "epoch", "repair", "key"}
FILE, DIRECTORY, SYMLINK, FIFO, CHARACTER, BLOCK, SOCKET = range(1, 8)


class UnreadableError(Exception):
    """The message names the object and the cause."""


# ── sealed bytes: section 2 ─────────────────────────────────────────────────────────────────────────────────


def derive(key: bytes, session: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, session, b"undivided/1 " + purpose.encode()).derive(key)


def unseal(private: X25519PrivateKey, sealed: bytes, purpose: str, context: bytes) -> bytes:
    """Opens bytes that are sealed to the public key."""
    return SUITE.decrypt(sealed, private, b"undivided/1 " + purpose.encode() + context)


def public_of(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


class Epoch(NamedTuple):
    """One line of the writer keys."""

    begun: int
    structure: bytes
    public: bytes
    signing_key: bytes


def key_of_file(text: str) -> X25519PrivateKey:
    """The key in a key file or recovery kit."""
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    whole = b""
    for number in range(1, 5):
        found = re.search(rf"^\W*key\s+{number}\s*[:.;]?(.*)$", text, re.IGNORECASE | re.MULTILINE)
        line = re.sub(r"[-\s]", "", found[1].lower() if found else "").translate(str.maketrans("oil", "011"))
        data, check = line[:16], line[16:]
        own = hashlib.sha256(b"undivided/1 key line " + f"{number} {data}".encode()).digest()[:5]
        value = int.from_bytes(own, "big")
        if (
            len(data) != 16
            or set(data) - set(digits)
            or check != "".join(digits[value >> 5 * place & 31] for place in (7, 6, 5, 4))
        ):
            raise UnreadableError(f"the key file's line `key {number}:` is missing or mistyped")
        whole += sum(digits.index(d) << 5 * i for i, d in enumerate(reversed(data))).to_bytes(10, "big")
    if hashlib.sha256(b"undivided/1 vault key" + whole[:32]).digest()[:8] != whole[32:]:
        raise UnreadableError("the lines of the key file belong to different keys")
    return X25519PrivateKey.from_private_bytes(whole[:32])


# ── column blocks: section 3 ────────────────────────────────────────────────────────────────────────────────


def columns(block: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns by name, each an array of numbers or a list of byte strings; and the block's header."""
    if block[:4] != b"UDC1":
        raise UnreadableError("a column block does not begin with its magic")
    (length,) = struct.unpack_from("<I", block, 4)
    header = json.loads(block[8 : 8 + length])
    at, flat = 8 + length, {}
    for column in header["columns"]:
        raw = block[at : at + column["bytes"]]
        at += column["bytes"]
        if header["zstd"]:
            raw = zstandard.ZstdDecompressor().decompress(raw)
        values = array(CODES[column["type"]])
        values.frombytes(raw[: column["count"] * values.itemsize])
        if sys.byteorder == "big":
            values.byteswap()
        flat[column["name"]] = values
    found: dict[str, Any] = {}
    for name, values in flat.items():
        if not name.endswith(":offsets"):
            ends = flat.get(name + ":offsets")
            found[name] = [values[a:b].tobytes() for a, b in itertools.pairwise(ends)] if ends else values
    return found, header


# ── the vault ───────────────────────────────────────────────────────────────────────────────────────────────


class Place(NamedTuple):
    """The place of a chunk."""

    pack: str
    session: bytes
    sealed: bytes
    frame_offset: int
    stored: int
    codec: int
    counter: int
    offset: int
    length: int


class Vault:
    """An opened vault in a directory."""

    def __init__(self, path: Path, secret: str | X25519PrivateKey) -> None:
        self.path = path
        config = json.loads((path / "vault.json").read_text())
        if config["format"] != 1 or any(config["required_features"].values()):
            raise UnreadableError("vault.json: the format is newer than this reader")
        self.vault = bytes.fromhex(config["vault"])
        self.log: dict[int, dict[str, Any]] = {}
        self.head = ""
        self._private: list[X25519PrivateKey] = []
        self.epochs: list[Epoch] = []
        self.id_key = b""
        self._content_keys: dict[bytes, bytes] = {}
        self._frame: tuple[tuple[str, int], bytes] = ("", 0), b""
        self._unlock(config, secret)
        self._open_log()
        self._open_index()

    # ── section 2: keys ─────────────────────────────────────────────────────────────────────────────────────

    def _unlock(self, config: dict[str, Any], secret: str | X25519PrivateKey) -> None:
        records = {self._name_of(config): (0, config)}
        for file in sorted((self.path / "epochs").glob("*.*")):
            begun, name = file.name.split(".")
            records[name] = int(begun), json.loads(file.read_text())
        for file in sorted((self.path / "keys").iterdir()):
            if "." in file.name:
                continue
            own = None
            with contextlib.suppress(ValueError, KeyError, TypeError):  # skip a damaged recipient
                recipient = json.loads(file.read_text())
                since, record = records[recipient["epoch"]]
                own = self._recipient_key(recipient, secret, self._binding(since, record))
            if own:
                self._open_epoch(file.name, own, since, record)
                break
        else:
            raise UnreadableError("the secret does not open this vault")
        # A later epoch is in force if its log entry, signed by the signing key before it, names it.
        for name, (later, record) in sorted(records.items(), key=lambda item: item[1][0]):
            if later > since and (self.path / f"log/{later:010d}").exists():
                entry, _ = self._entry(later)
                if entry["kind"] == "epoch" and entry["body"]["name"] == name:
                    if entry["body"]["binding"] != self._binding(later, record).hex():
                        raise UnreadableError(
                            f"epochs/{later:010d}.{name} is not the record that the log names"
                        )
                    self._open_epoch(file.name, own, later, record)

    @staticmethod
    def _name_of(record: dict[str, Any]) -> str:
        return hashlib.sha256(bytes.fromhex(record["public"])).hexdigest()[:16]

    def _binding(self, begun: int, record: dict[str, Any]) -> bytes:
        fields = {
            k: record[k] for k in ("public", "signing_key", "recipients", "writer_keys", "private_keys")
        }
        text = json.dumps([self.vault.hex(), begun, fields], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()

    def _recipient_key(
        self, r: dict[str, Any], secret: str | X25519PrivateKey, binding: bytes
    ) -> X25519PrivateKey | None:
        salt = bytes.fromhex(r["salt"])
        if isinstance(secret, str) == (r["kind"] == "x25519"):
            return None
        if isinstance(secret, str):
            costs = {"iterations": r["iterations"], "lanes": r["lanes"], "memory_cost": r["memory_kib"]}
            key = Argon2id(salt=salt, length=32, **costs).derive(secret.encode())
        else:
            key = derive(secret.private_bytes_raw(), salt, "recipient")
        aad = b"undivided/1 recipient" + f"{r['id']} {r['kind']} {r['public']} ".encode() + binding
        try:
            unwrapped = AESGCM(key).decrypt(bytes(12), bytes.fromhex(r["wrapped"]), aad)
        except InvalidTag:
            return None
        return X25519PrivateKey.from_private_bytes(unwrapped) if isinstance(secret, str) else secret

    def _open_epoch(self, recipient: str, own: X25519PrivateKey, begun: int, record: dict[str, Any]) -> None:
        """Opens an epoch. Its record holds the writer keys of all epochs so far."""
        name = self._name_of(record)
        sealed = (self.path / "keys" / f"{recipient}.{name}").read_bytes()
        sealed, checksum = sealed[:80], sealed[80:]
        if hashlib.sha256(sealed).digest()[:8] != checksum:
            raise UnreadableError(f"keys/{recipient}.{name} is damaged")
        raw = unseal(own, sealed, "private key", self.vault + name.encode())
        private = X25519PrivateKey.from_private_bytes(raw)
        if public_of(private) != bytes.fromhex(record["public"]):
            raise UnreadableError(f"the epoch that began at entry {begun} has another public key")
        text = unseal(private, bytes.fromhex(record["writer_keys"]), "writer keys", self.vault).decode()
        older = unseal(private, bytes.fromhex(record["private_keys"]), "private keys", self.vault)
        title, vault, identity, *rows = text.splitlines()
        if (title, vault) != ("undivided writer keys, version 1", f"vault {self.vault.hex()}"):
            raise UnreadableError("the writer keys belong to another vault")
        self.id_key = bytes.fromhex(identity.split()[1])
        lines = [row.split()[1:] for row in rows]
        self.epochs = [Epoch(int(number), *map(bytes.fromhex, keys)) for number, *keys in lines]
        raws = [older[i : i + 32] for i in range(0, len(older), 32)]
        self._private = [*map(X25519PrivateKey.from_private_bytes, raws), private]

    def _open(
        self, key: bytes, session: bytes, purpose: str, counter: int, header: bytes, sealed: bytes
    ) -> bytes:
        aad = b"undivided/1 " + purpose.encode() + self.vault + header
        return AESGCM(derive(key, session, purpose)).decrypt(counter.to_bytes(12, "big"), sealed, aad)

    def _epoch(self, session: bytes) -> int:
        number = int.from_bytes(session[:2], "big")
        if number >= len(self.epochs):
            raise UnreadableError("a session belongs to an epoch that this vault does not have")
        return number

    def _content_key(self, session: bytes, sealed: bytes) -> bytes:
        if sealed not in self._content_keys:
            private = self._private[self._epoch(session)]
            self._content_keys[sealed] = unseal(private, sealed, "content key", self.vault + session)
        return self._content_keys[sealed]

    # ── section 4: the log ──────────────────────────────────────────────────────────────────────────────────

    def _entry(self, number: int) -> tuple[dict[str, Any], bytes]:
        """An entry, and its SHA-256 for the check of the next one."""
        data = (self.path / f"log/{number:010d}").read_bytes()
        magic, session, own, counter, before = struct.unpack_from(">4s16sQQ32s", data)
        epoch = self.epochs[self._epoch(session)]
        in_force = [e for e in self.epochs if e.begun < number][-1]
        if (magic, own) != (b"UDL1", number) or epoch != in_force:
            raise UnreadableError(f"log/{number:010d} is not the log entry of this number")
        plain = self._open(epoch.structure, session, "log", counter, data[:68], data[68:])
        entry: dict[str, Any] = json.loads(zstandard.ZstdDecompressor().decompress(plain))
        entry["previous"] = before.hex() if any(before) else ""
        kind, body = entry["kind"], entry["body"]
        if kind in SIGNED or (kind == "pin" and body.get("pinned") is not True):
            unsigned = {key: value for key, value in body.items() if key != "signature"}
            place = (kind, self.vault.hex(), number, entry["previous"], entry["time_ns"])
            text = json.dumps([*place, unsigned, entry["links"]], sort_keys=True, separators=(",", ":"))
            try:
                key = Ed25519PublicKey.from_public_bytes(epoch.signing_key)
                key.verify(bytes.fromhex(body["signature"]), b"undivided/1 signed entry" + text.encode())
            except (InvalidSignature, KeyError) as error:
                raise UnreadableError(
                    f"log/{number:010d}: the vault's signing key did not sign it"
                ) from error
        return entry, hashlib.sha256(data).digest()

    def _open_log(self) -> None:
        number = 1
        while (self.path / f"log/{number:010d}").exists():
            entry, digest = self._entry(number)
            if entry["previous"] != self.head:
                raise UnreadableError(f"log/{number:010d} does not follow the entry before it")
            self.log[number], self.head = entry, digest.hex()
            number += 1

    def points(self) -> dict[str, int]:
        """Point id → its log entry, without points that a prune expired."""
        expired = {p for e in self.log.values() if e["kind"] == "prune" for p in e["body"]["expired_points"]}
        named = {e["body"]["point"]["id"]: n for n, e in self.log.items() if e["kind"] == "point"}
        return {point: number for point, number in named.items() if point not in expired}

    # ── sections 5 and 6: packs and the index ───────────────────────────────────────────────────────────────

    def _named(self, folder: str, name: str) -> bytes:
        data = (self.path / folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != name:
            raise UnreadableError(f"{folder}/{name} is damaged: its SHA-256 is not its name")
        return data

    def _open_index(self) -> None:
        """Segments, newest first. A damaged pack is the last choice, one pending deletion is none."""
        self._segments: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._damaged: set[str] = set()
        self._pending_deletion: set[str] = set()
        repaired: set[str] = set()
        number, covered = (self.log[max(self.log)]["links"]["data"] if self.log else 0), 0
        while number > covered:
            links = self.log[number]["links"]
            repaired.update(links.get("repaired", ()))
            self._damaged.update(set(links.get("damaged", ())) - repaired)
            self._pending_deletion.update(links.get("pending_deletion", ()))
            for name in links.get("index", ()):
                self._segments.append(self._segment(self._named("index", name)))
            covered = max(covered, links.get("covers", 0))
            number = links["previous_data"]

    def _segment(self, data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
        magic, session, counter, length = struct.unpack_from(">4s16sQH", data)
        if (magic, length) != (b"UDI1", 0):
            raise UnreadableError("an index segment does not begin with its magic")
        structure = self.epochs[self._epoch(session)].structure
        table, header = columns(self._open(structure, session, "index", counter, data[:30], data[30:]))
        packs, offsets = array("I"), array("Q")
        frame = 0
        for number, count in enumerate(table["frames"]):
            at = 0
            for _ in range(count):
                packs.append(number)
                offsets.append(at)
                at += table["stored"][frame]
                frame += 1
        return {**table, "pack of frame": packs, "offset of frame": offsets}, header

    def _places(self, chunk: bytes) -> Iterator[Place]:
        prefix = int.from_bytes(chunk[:8], "big")
        for table, header in self._segments:
            row = bisect.bisect_left(table["prefix"], prefix)
            while row < len(table["prefix"]) and table["prefix"][row] == prefix:
                if table["suffix"][24 * row : 24 * row + 24].tobytes() == chunk[8:]:
                    frame = table["frame"][row]
                    number = table["pack of frame"][frame]
                    session, sealed = header["sessions"][table["session"][frame]]
                    yield Place(
                        table["pack"][32 * number : 32 * number + 32].tobytes().hex(),
                        bytes.fromhex(session), bytes.fromhex(sealed), table["offset of frame"][frame],
                        table["stored"][frame], table["codec"][frame], table["counter"][frame],
                        table["offset"][row], table["length"][row],
                    )  # fmt: skip
                row += 1

    def chunk(self, chunk: bytes) -> bytes:
        places = sorted(
            (place for place in self._places(chunk) if place.pack not in self._pending_deletion),
            key=lambda place: place.pack in self._damaged,
        )
        for place in places:
            with contextlib.suppress(OSError, InvalidTag, UnreadableError, zstandard.ZstdError):
                found = self._plain(place)[place.offset : place.offset + place.length]
                if blake3(found, key=self.id_key).digest() == chunk:
                    return found
        lost = f", which should be in packs/{places[0].pack[:2]}/{places[0].pack}" if places else ""
        raise UnreadableError(f"chunk {chunk.hex()} is lost{lost}")

    def _plain(self, place: Place) -> bytes:
        """The frame's bytes. The last frame is cached, for neighbouring chunks."""
        frame = place.pack, place.frame_offset
        if self._frame[0] != frame:
            with open(self.path / "packs" / place.pack[:2] / place.pack, "rb") as pack:
                pack.seek(place.frame_offset)
                sealed = pack.read(place.stored)
            key = self._content_key(place.session, place.sealed)
            plain = self._open(key, place.session, "frame", place.counter, place.session, sealed)
            if place.codec == 1:
                plain = zstandard.ZstdDecompressor().decompress(plain)
            self._frame = frame, plain
        return self._frame[1]

    def footer(self, pack: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """A pack's own description: columns and header."""
        data = self._named(f"packs/{pack[:2]}", pack)
        magic, session, counter, length = struct.unpack(">4s16sQI", data[-32:])
        if magic != b"UDP1":
            raise UnreadableError(f"packs/{pack[:2]}/{pack} does not end like a pack")
        structure = self.epochs[self._epoch(session)].structure
        sealed = data[-32 - length : -32]
        return columns(self._open(structure, session, "footer", counter, data[-32:], sealed))

    # ── section 7: timelines ────────────────────────────────────────────────────────────────────────────────

    def _head(self, number: int, timeline: str) -> dict[str, Any]:
        found: dict[str, Any] = self.log[number]["links"]["heads"][timeline]
        return found

    def _history(self, timeline: str, at: int) -> list[tuple[int, str, bool]]:
        """(entry, segment, whether a prune compacted it), oldest first."""
        named = [n for n, e in self.log.items() if timeline in e["links"].get("heads", {})]
        base = self._head(named[-1], timeline)["base"]
        sequence = self._head(at, timeline)["sequence"]
        found: list[tuple[int, str, bool]] = []
        while sequence > base:
            head = self._head(sequence, timeline)
            found.append((sequence, head["segment"], False))
            sequence = head["previous"]
        if base and sequence:
            steps = [(n, s, True) for n, s in self.log[base]["body"]["timelines"][timeline] if n <= sequence]
            if not steps or steps[-1][0] != sequence:
                raise UnreadableError(f"the state of timeline {timeline} at entry {at} has expired")
            found += reversed(steps)
        return found[::-1]

    def state(self, timeline: str, at: int) -> dict[bytes, dict[str, Any]]:
        """Path → its row, as of entry `at`."""
        state: dict[bytes, dict[str, Any]] = {}
        digest = b""
        for number, segment, compacted in self._history(timeline, at):
            data = self._named("timeline", segment)
            magic, session, counter, length = struct.unpack_from(">4s16sQH", data)
            if magic != b"UDT1":
                raise UnreadableError(f"timeline/{segment} does not begin with its magic")
            end = 30 + length
            key = self._content_key(session, data[30:end])
            block = self._open(key, session, "timeline", counter, data[:end], data[end:])
            own = bytes.fromhex(self._head(number, timeline)["digest"])
            text = b"undivided/1 timeline" + timeline.encode() + (digest or bytes(32))
            if not compacted and hashlib.sha256(text + hashlib.sha256(block).digest()).digest() != own:
                raise UnreadableError(f"timeline/{segment} does not continue its timeline")
            digest = own
            rows, header = columns(block)
            if header["timeline"] != timeline:
                raise UnreadableError(f"timeline/{segment} belongs to another timeline")
            for path in rows.pop("tombstones"):
                state.pop(path, None)
            for i, path in enumerate(rows["path"]):
                state[path] = {name: values[i] for name, values in rows.items()}
        return state

    def content(self, row: dict[str, Any]) -> Iterator[bytes]:
        """A file's bytes; for a sparse file those of its extents, joined."""
        ids = row["content"]
        return (self.chunk(ids[i : i + 32]) for i in range(0, len(ids), 32))


# ── extracting ──────────────────────────────────────────────────────────────────────────────────────────────


def extract(state: dict[bytes, dict[str, Any]], vault: Vault, into: bytes) -> list[str]:
    """Writes a tree into a new directory. Returns the problems. Symlinks are made last, so that no path leads
    through one."""
    os.mkdir(into, 0o700)
    problems: list[str] = []
    links: dict[int, bytes] = {}
    rank = {DIRECTORY: 0, SYMLINK: 2}
    for path, row in sorted(state.items(), key=lambda item: (rank.get(item[1]["kind"], 1), item[0])):
        if path.startswith(b"/") or b".." in path.split(b"/"):
            raise UnreadableError(f"{path!r} would lie outside")
        place = into if path == b"." else os.path.join(into, path)
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        try:
            if row["link"] and row["link"] in links:
                os.link(links[row["link"]], place, follow_symlinks=False)
                continue
            links.setdefault(row["link"], place)
            make(row, place, vault)
        except (OSError, UnreadableError) as error:
            problems.append(f"{os.fsdecode(path)}: {error}")
    for path, row in sorted(state.items(), reverse=True):
        place = into if path == b"." else os.path.join(into, path)
        if os.path.lexists(place):
            problems += [f"{os.fsdecode(path)}: {cause}" for cause in set_attributes(row, place)]
    return problems


def make(row: dict[str, Any], place: bytes, vault: Vault) -> None:
    kind = row["kind"]
    if kind == DIRECTORY:
        os.makedirs(place, 0o700, exist_ok=True)
    elif kind == SYMLINK:
        os.symlink(row["target"], place)
    elif kind == FIFO:
        os.mkfifo(place, 0o600)
    elif kind in (CHARACTER, BLOCK):
        os.mknod(place, 0o600 | (stat.S_IFCHR if kind == CHARACTER else stat.S_IFBLK), row["rdev"])
    elif kind == FILE:
        with open(place, "xb") as file:
            pieces = vault.content(row)
            if row["extents"]:
                whole = b"".join(pieces)
                for offset, length in struct.iter_unpack("<qq", row["extents"]):
                    file.seek(offset)
                    file.write(whole[:length])
                    whole = whole[length:]
            else:
                file.writelines(pieces)
            file.truncate(row["size"])


def set_attributes(row: dict[str, Any], place: bytes) -> Iterator[str]:
    """Sets owner, extended attributes, mode and time. Yields the causes of failures."""
    symlink = row["kind"] == SYMLINK
    attributes = {os.fsencode(n): bytes.fromhex(v) for n, v in json.loads(row["xattrs"] or b"{}").items()}
    times = (row["mtime_ns"], row["mtime_ns"])
    wanted: list[Callable[[], None]] = [
        lambda: os.chown(place, row["uid"], row["gid"], follow_symlinks=False) if os.geteuid() == 0 else None,
        *(lambda n=n, v=v: os.setxattr(place, n, v, follow_symlinks=False) for n, v in attributes.items()),
        lambda: None if symlink else os.chmod(place, stat.S_IMODE(row["mode"])),
        lambda: os.utime(place, ns=times, follow_symlinks=False),
    ]
    for do in wanted:
        try:
            do()
        except OSError as error:
            yield str(error.strerror)


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("vault", type=Path, help="the vault's directory")
    parser.add_argument("--key-file", type=Path, help="a key file or recovery kit, instead of the passphrase")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("points", help="list the points")
    extracting = verbs.add_parser("extract", help="write a point to a new directory")
    extracting.add_argument("point")
    extracting.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    secret: str | X25519PrivateKey
    try:
        if options.key_file:
            secret = key_of_file(options.key_file.read_text())
        else:
            secret = os.environ.get("UNDIVIDED_PASSPHRASE") or getpass.getpass("Passphrase of the vault: ")
        vault = Vault(options.vault, secret)
        return show(vault) if options.verb == "points" else write(vault, options.point, options.directory)
    except (UnreadableError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def show(vault: Vault) -> int:
    for point, number in vault.points().items():
        body = vault.log[number]["body"]["point"]
        when = datetime.fromtimestamp(body["time_ns"] / 1e9, UTC).isoformat(" ", "seconds")
        kinds = ", ".join(f"{name} ({part['kind']})" for name, part in body["components"].items())
        print(f"{point}  {when}  {body['service']}: {kinds}")
    return 0


def write(vault: Vault, point: str, directory: Path) -> int:
    number = vault.points().get(point)
    if number is None:
        raise UnreadableError(f"there is no point {point!r}; `points` lists the existing ones")
    directory.mkdir(mode=0o700)
    problems = []
    for name, part in vault.log[number]["body"]["point"]["components"].items():
        state = vault.state(part["timeline"], number)
        failed = extract(state, vault, os.fsencode(directory / name))
        problems += [f"{name}: {problem}" for problem in failed]
        print(f"{name}: {len(state)} entries of kind {part['kind']}, at {part['position']['text']}")
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
