"""Fault 18: no key ever seals twice under one nonce, whatever goes wrong on the way.

The audit takes every object that was ever offered to a store, those that lost a race included, and collects
from the bytes themselves which key (session and purpose) used which counter.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import Counter

import pytest

from undivided.testing.stores import LostAnswer, Recording, Rival
from undivided.testing.vaults import protect, segment
from undivided.vault.format.log_entry import HEADER, name_of
from undivided.vault.format.pack import TRAILER, open_footer
from undivided.vault.keys import WriterKeys
from undivided.vault.stores.base import Store
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import TimelineSegment, Vault, Writer

pytestmark = pytest.mark.usefixtures("cheap_passphrases")
Use = tuple[bytes, str, int]


def _uses(keys: WriterKeys, name: str, data: bytes) -> list[Use]:
    """The (session, purpose, counter) of everything sealed in an object."""
    kind = name.partition("/")[0]
    if kind == "log":
        _, session, _, counter, _ = HEADER.unpack_from(data)
        return [(session, "log", counter)]
    if kind in ("index", "timeline"):
        _, session, counter = struct.unpack_from(">4s16sQ", data)
        return [(session, kind, counter)]
    if kind == "packs":
        _, session, counter, _ = TRAILER.unpack(data[-TRAILER.size :])
        frames = open_footer(keys, data, name).header.counter.tolist()
        return [(session, "footer", counter), *((session, "frame", c) for c in frames)]
    return []


def _audit(keys: WriterKeys, *stores: Recording) -> int:
    """Asserts that nothing repeats among all different objects tried. Returns the number of sealings."""
    objects = {pair for store in stores for pair in store.tried}
    used = Counter(use for name, data in objects for use in _uses(keys, name, data))
    assert [use for use, times in used.items() if times > 1] == []
    return len(used)


def _store(writer: Writer, parts: dict[str, TimelineSegment], name: str) -> None:
    parts[name] = segment(writer, {b"f": os.urandom(300_000)})


def test_no_nonce_repeats_over_many_sessions_threads_and_packs() -> None:
    store = Recording(MemoryStore())
    vault = Vault.create(store, "p")
    for i in range(20):
        with Vault.open(store, keys=vault.keys).writer() as writer:
            parts: dict[str, TimelineSegment] = {}
            threads = [threading.Thread(target=_store, args=(writer, parts, name)) for name in "abc"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            writer.commit("point", parts, {"i": i})
            writer.commit("point", {"a": segment(writer, {b"g": os.urandom(3000)})}, {})
    protect(vault, "large", {b"large": os.urandom(80_000_000)})
    assert _audit(vault.keys, store) > 250


def test_no_nonce_repeats_when_others_are_quicker() -> None:
    beneath = MemoryStore()
    record = Recording(beneath)
    vault = Vault.create(record, "p")
    for i in range(10):
        slow = Recording(Rival(beneath, "log/", lambda: vault.append("note", {})))
        entry = protect(Vault.open(slow, keys=vault.keys), f"p{i}", {b"f": os.urandom(100)})
        tried = [name for name, _ in slow.tried if name.startswith("log/")]
        assert len(tried) == 3  # the one that lost, the session's entry, the point
        assert tried[-1] == name_of(entry.number)
        assert _audit(vault.keys, record, slow)


def test_no_nonce_repeats_when_answers_are_lost() -> None:
    beneath = MemoryStore()
    keys = Vault.create(beneath, "p").keys
    for prefix in ("packs/", "index/", "timeline/", "log/"):
        store = Recording(_lost(beneath, prefix))
        for i in range(5):
            protect(Vault.open(store, keys=keys), f"p{i}", {b"f": os.urandom(1000)}, timeline=prefix)
        assert _audit(keys, store) >= 15


def _lost(beneath: Store, prefix: str) -> Store:
    return LostAnswer(beneath, prefix)
