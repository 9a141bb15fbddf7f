"""A small vault with an object of every kind, and what happens when a single bit of one of them is flipped.

Each flip is judged by the code that reads this kind of object: the verification and the readers. Either the
code notices the flip, or all data that it reads is unchanged. Anything else is a bug. A harmless flip must be
known as harmless by its place.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..model.errors import UndividedError
from ..model.log_kinds import LogKind
from ..vault.ballast import NAME as BALLAST
from ..vault.crypto.envelope import digest_of
from ..vault.format.log_entry import decode_entry
from ..vault.index.index import StoredPack
from ..vault.index.load import index_links, load_index, read_index_segment
from ..vault.log.heads import TimelineHead, history_of
from ..vault.log.log import Log
from ..vault.prune import execute, plan_prune
from ..vault.reading import Reader
from ..vault.stores.memory import MemoryStore
from ..vault.vault import Vault
from ..vault.verify import Scope, verify
from ..vault.verify.pack_check import PackChecker, stored_pack
from .vaults import TIMELINE, contents, protect

PASSPHRASE = "correct horse"  # noqa: S105  of a vault in memory
HARMLESS = {
    "README": "text for people: no program reads it",
    BALLAST: "random bytes that mean nothing: they keep room for a prune",
    "created_ns": "the time of creation: shown in lists, and without effect",
    "case": "hex digits in upper case are the same bytes",
    "required_features": "the name of an operation without required features: it has none under any name",
    "footer": "the index has the content of the footer too; verification notices the flip",
    "superseded": "a segment that was merged into a later one: readers skip it; verification notices it",
}


class SmallVault:
    """Made once; `flip` works on it from any process. Only one bit differs at a time."""

    def __init__(self) -> None:
        rng = random.Random(7)  # noqa: S311  noise to store
        self.store = MemoryStore()
        self.key = X25519PrivateKey.generate()
        vault = Vault.create(self.store, PASSPHRASE)
        vault.add_recipient(self.key, "in the safe")
        for i in range(4):
            protect(vault, f"old{i}", {b"noise": rng.randbytes(900), b"text": b"all work and no play " * 90})
        vault.rotate()
        vault = Vault.open(self.store, passphrase=lambda: PASSPHRASE)
        for i in range(9):
            files = {b"noise%d" % j: rng.randbytes(1400) for j in range(i, i + 6)}
            protect(vault, f"p{i}", {**files, b"notes": b"page %d " % i * 60}, [b"noise%d" % (i - 1)])
        execute(vault, plan_prune(vault, ["old0", "old2", "p3"], grace=0, threshold=1.0))
        for i in range(3):
            protect(vault, f"q{i}", {b"late": rng.randbytes(2500)})
        verify(vault, Scope(read_data=True))
        self.objects = dict(self.store.objects)
        self._prepare()

    def _prepare(self) -> None:
        """Reads everything without any flip. The vault is opened again, so nothing is cached from making
        it."""
        self.vault = Vault.open(self.store, passphrase=lambda: PASSPHRASE)
        self.index = load_index(self.store, self.vault.keys, self.vault.commits)
        self.live = {digest for s in self.index.segments for digest in s.names()}
        self.inspector = PackChecker(self.store, self.vault.keys, self.vault.contents(), self.index)
        self.chunks: dict[bytes, bytes] = {}
        for name in self.live:
            ids = _ids(stored_pack(self.index, name))
            self.chunks.update(zip(ids, self.vault.reader().read(ids), strict=True))
        self.right = {number: contents(self.vault, number) for number in self._kept}
        self.linked = frozenset(index_links(self.vault.commits).segments)

    @property
    def _kept(self) -> set[int]:
        expired = {p for e in self.vault.log() if e.kind == LogKind.PRUNE for p in e.body["expired_points"]}
        points = (e for e in self.vault.log() if e.kind == LogKind.POINT)
        return {e.number for e in points if e.body["point"]["id"] not in expired}

    @property
    def names(self) -> list[str]:
        """Every object but the ballast, which is large and holds no data."""
        return sorted(name for name in self.objects if name != BALLAST)

    def flips(self, name: str, start: int, end: int) -> tuple[Counter[str], list[str]]:
        """Flips every bit of these bytes. Returns the number of flips per verdict, and the unnoticed ones."""
        judge = self._verdict_for(name)
        whole = self.objects[name]
        counts: Counter[str] = Counter()
        unnoticed: list[str] = []
        try:
            for at in range(start, end):
                for bit in range(8):
                    damaged = bytearray(whole)
                    damaged[at] ^= 1 << bit
                    self.store.objects[name] = bytes(damaged)
                    verdict = judge(at)
                    counts[verdict] += 1
                    if verdict not in ("noticed", *HARMLESS):
                        unnoticed.append(f"{name} byte {at} bit {bit}: {verdict}")
        finally:
            self.store.objects[name] = whole
        return counts, unnoticed

    # ── the verdict for each kind of object ─────────────────────────────────────────────────────────────────

    def _verdict_for(self, name: str) -> Callable[[int], str]:
        kind = name.partition("/")[0]
        judges = {"packs": self._pack, "index": self._index, "timeline": self._timeline, "log": self._log}
        if kind in judges:
            return judges[kind](name)
        return (lambda _: "README") if name == "README" else self._keys(name)

    def _pack(self, name: str) -> Callable[[int], str]:
        """Verification must notice it. A reader of a chunk must notice it, or get the stored bytes."""
        digest = name.rpartition("/")[2]
        known = stored_pack(self.index, digest)
        frames = _frames(known)
        reader = Reader(self.store, self.vault.keys, self.vault.commits, self.vault.private_keys)
        (first,) = reader.read(_ids(known)[:1])
        assert first == self.chunks[_ids(known)[0]]

        def judge(at: int) -> str:
            if digest_of(self.store.objects[name]) == digest:
                return "a pack by its name"
            chunk = next((chunk for end, chunk in frames if at < end), None)
            if chunk is None:
                return "footer"
            reader._frames.clear()
            try:
                (data,) = reader.read([chunk])
            except UndividedError as error:
                return "noticed" if name in str(error) else f"read: {error}"
            return "wrong data" if data != self.chunks[chunk] else "right data of a wrong pack"

        return judge

    def _index(self, name: str) -> Callable[[int], str]:
        needed = name.rpartition("/")[2] in self.linked

        def judge(_at: int) -> str:
            try:
                read_index_segment(self.store, self.vault.keys, name.rpartition("/")[2])
            except UndividedError:
                return "noticed" if needed else "superseded"
            return "an index segment by its name"

        return judge

    def _timeline(self, name: str) -> Callable[[int], str]:
        """Verification notices it by the name. A reader notices it by the digest, or by the name in a
        prune."""
        what = name.rpartition("/")[2]
        histories = self.vault.reader()._histories
        steps = [(chain, before) for chain, before in _steps(self.vault.commits) if chain.segment == what]

        def judge(_at: int) -> str:
            if digest_of(self.store.objects[name]) == what:
                return "a timeline segment by its name"
            for chain, before in steps:
                try:
                    histories.segment(TIMELINE, chain, before)
                except UndividedError as error:
                    return "noticed" if name in str(error) else f"read: {error}"
                return "read as a segment"
            return "superseded"

        return judge

    def _log(self, name: str) -> Callable[[int], str]:
        number = int(name.rpartition("/")[2])

        def judge(_at: int) -> str:
            try:
                decode_entry(self.vault.keys, number, self.store.objects[name])
            except UndividedError as error:
                return "noticed" if name in str(error) else f"read: {error}"
            return "an entry of the log"

        return judge

    def _keys(self, name: str) -> Callable[[int], str]:
        """Each secret either fails to open the vault, or opens it to the same keys."""
        keys = self.vault.keys
        private = [key.private_bytes_raw() for key in self.vault.private_keys()]
        fields = _fields(self.objects[name])

        def judge(at: int) -> str:
            for secret in (PASSPHRASE, self.key):
                try:
                    opened = Vault.open(self.store, passphrase=lambda secret=secret: secret)  # type: ignore[misc]
                    same = opened.keys == keys
                    same &= [key.private_bytes_raw() for key in opened.private_keys()] == private
                except UndividedError:
                    return "noticed"
                if not same:
                    return "other keys"
            return self._harmless(name, at, fields)

        return judge

    def _harmless(self, name: str, at: int, fields: list[tuple[int, int, str]]) -> str:
        was, now = self.objects[name][at], self.store.objects[name][at]
        if was ^ now == 0x20 and chr(was) in "abcdef":
            return "case"
        for start, end, field in fields:
            if start <= at < end:
                return field
        return f"unknown: {self.objects[name][max(0, at - 12) : at + 12]!r}"


def _steps(log: Log) -> list[tuple[TimelineHead, str]]:
    """Each step of the timeline, and the digest before it."""
    found, digest = list[tuple[TimelineHead, str]](), ""
    for _, chain in history_of(log, TIMELINE):
        found.append((chain, digest))
        digest = chain.digest
    return found


def _ids(pack: StoredPack) -> list[bytes]:
    raw = pack.header.id.tobytes()
    return [raw[i : i + 32] for i in range(0, len(raw), 32)]


def _frames(pack: StoredPack) -> list[tuple[int, bytes]]:
    """(end in the pack, its first chunk) of each frame."""
    ids, found, at, chunk = _ids(pack), [], 0, 0
    for stored, count in zip(pack.header.stored.tolist(), pack.header.chunks.tolist(), strict=True):
        at += stored
        found.append((at, ids[chunk]))
        chunk += count
    return found


_FIELD = re.compile(rb'"(created_ns|required_features)": (\{[^}]*\}|\d+)')


def _fields(data: bytes) -> list[tuple[int, int, str]]:
    """The places of the fields whose values have no effect."""
    return [(m.start(), m.end(), m[1].decode()) for m in _FIELD.finditer(data)]
