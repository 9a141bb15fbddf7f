"""Debug: everything that the stored bytes give, also of damaged objects, and nothing secret."""

from __future__ import annotations

import json
import os

import pytest

from undivided.model.errors import UsageError
from undivided.testing.vaults import TIMELINE, protect
from undivided.vault.debug import debug_entry, debug_pack, debug_timeline
from undivided.vault.repair import open_damaged
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import LogEntry, Vault

FILES = {b"secret-name": b"secret content " * 1000, b"b": os.urandom(300_000)}


@pytest.fixture
def point(vault: Vault) -> LogEntry:
    return protect(vault, "p1", FILES)


def _locked(store: MemoryStore, vault: Vault) -> Vault:
    """As a machine without the passphrase opens it."""
    return open_damaged(store, vault.keys, None)


def _pack(store: MemoryStore) -> str:
    return next(name for name in store.objects if name.startswith("packs/")).rpartition("/")[2]


def test_an_entry_is_shown_with_its_header_links_and_body(
    store: MemoryStore, vault: Vault, point: LogEntry
) -> None:
    found = debug_entry(_locked(store, vault), point.number)
    assert (found.digest, found.entry, found.damage) == (point.digest, point, "")
    assert found.header and (found.header.number, found.header.previous) == (point.number, point.previous)
    record = found.as_record()
    assert (record["kind"], record["time_ns"]) == ("point", point.time_ns)
    assert record["links"]["heads"][TIMELINE]["sequence"] == point.number
    assert record["body"]["point"]["id"] == "p1"


def test_a_damaged_entry_is_shown_as_far_as_it_can_be_read(
    store: MemoryStore, vault: Vault, point: LogEntry
) -> None:
    name = f"log/{point.number:010d}"
    store.objects[name] = store.objects[name][:-1] + b"\x00"
    found = debug_entry(_locked(store, vault), point.number)
    assert found.header and found.header.session == point.session
    assert "authentication tag" in found.damage
    assert found.entry is None and "body" not in found.as_record()
    store.objects[name] = b"short"
    assert debug_entry(_locked(store, vault), point.number).header is None


def test_an_entry_that_does_not_exist_is_named_with_the_end_of_the_log(vault: Vault, point: LogEntry) -> None:
    with pytest.raises(UsageError, match="the log has no entry 99") as failed:
        debug_entry(vault, 99)
    assert failed.value.hint == f"The log ends at entry {point.number}."


def test_a_pack_is_shown_with_its_frames_and_every_chunk_in_its_place(
    store: MemoryStore, vault: Vault, point: LogEntry
) -> None:
    digest = _pack(store)
    found = debug_pack(_locked(store, vault), digest[:8])
    assert found.object == f"packs/{digest[:2]}/{digest}"
    assert (found.sha256, found.damage, found.described_by) == (digest, "", "footer")
    assert found.index.bytes == found.bytes == len(store.objects[found.object])
    assert sum(frame.plain for frame in found.frames) == sum(map(len, FILES.values()))
    frames = found.frames
    assert [f.offset for f in frames] == [sum(g.stored for g in frames[:i]) for i in range(len(frames))]
    assert all(sum(c.length for c in frame.chunks) == frame.plain for frame in frames)
    assert found.trailer and {frame.session for frame in frames} == {found.trailer.session}


def test_a_pack_without_a_footer_is_described_by_the_index(
    store: MemoryStore, vault: Vault, point: LogEntry
) -> None:
    digest = _pack(store)
    name = f"packs/{digest[:2]}/{digest}"
    whole = debug_pack(vault, digest)
    store.objects[name] = store.objects[name][:-100]
    cut = debug_pack(vault, digest)
    assert cut.damage == "its SHA-256 is not its name"
    assert cut.described_by == "index"
    ids = [[chunk.id for chunk in frame.chunks] for frame in whole.frames]
    assert [[chunk.id for chunk in frame.chunks] for frame in cut.frames] == ids
    del store.objects[name]
    gone = debug_pack(vault, digest)
    assert (gone.damage, len(gone.frames)) == ("it is missing", len(ids))


@pytest.mark.parametrize(
    ("digest", "cause"), [("xyz", "is no digest"), ("abc", "is no digest"), ("000000", "no pack has a name")]
)
def test_a_pack_that_cannot_be_meant_is_refused(
    vault: Vault, point: LogEntry, digest: str, cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        debug_pack(vault, digest)


def test_a_timeline_is_shown_with_its_steps_and_points(
    store: MemoryStore, vault: Vault, point: LogEntry
) -> None:
    second = protect(vault, "p2", {b"c": b"c"})
    found = debug_timeline(_locked(store, vault), TIMELINE[:5])
    assert found.timeline == TIMELINE
    assert [(s.entry, s.previous) for s in found.steps] == [
        (point.number, 0),
        (second.number, point.number),
    ]
    assert [(p.point, p.sequence) for p in found.points] == [
        ("p1", point.number),
        ("p2", second.number),
    ]
    assert all(step.bytes for step in found.steps)
    lost = found.steps[0].object
    del store.objects[lost]
    assert debug_timeline(vault, TIMELINE).steps[0].bytes is None


def test_an_unreadable_entry_is_named_with_the_timeline(
    store: MemoryStore, vault: Vault, point: LogEntry
) -> None:
    protect(vault, "p2", {b"c": b"c"})
    name = f"log/{point.number:010d}"
    store.objects[name] = b"junk" * 30
    found = debug_timeline(_locked(store, vault), TIMELINE)
    assert found.damage[0].object == name
    assert [p.point for p in found.points] == ["p2"]


@pytest.mark.parametrize("id", ["", "nothing"])
def test_an_unknown_timeline_is_refused(vault: Vault, point: LogEntry, id: str) -> None:
    with pytest.raises(UsageError, match="no timeline has an id that begins"):
        debug_timeline(vault, id)


def test_nothing_secret_is_shown(store: MemoryStore, vault: Vault, point: LogEntry) -> None:
    digest = _pack(store)
    shown = json.dumps([debug_entry(vault, n).as_record() for n in range(1, point.number + 1)])
    shown += json.dumps([debug_pack(vault, digest).as_record(), debug_timeline(vault, TIMELINE).as_record()])
    epoch = vault.keys.epochs[-1]
    secrets = [epoch.structure, vault.keys.id, *(key.private_bytes_raw() for key in vault.private_keys())]
    assert not [secret for secret in secrets if secret.hex() in shown]
    assert "secret" not in shown
