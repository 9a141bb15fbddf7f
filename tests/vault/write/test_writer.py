"""Writers: what is sent, what is known already, what happens when something fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pytest

from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Layout
from undivided.testing.stores import Full, LostAnswer, Rival, Wrapper
from undivided.testing.vaults import contents, pieces, protect, segment
from undivided.vault.format.log_entry import name_of
from undivided.vault.stores.base import Buffer, Store, StoreError
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import CommitPlace, TimelineSegment, Vault
from undivided.vault.verify import Scope, verify

NOTHING = TimelineSegment(Entries.none(), Ragged.of([]))


def _packs(store: MemoryStore) -> int:
    return sum(len(d) for n, d in store.objects.items() if n.startswith("packs/"))


def test_known_content_is_not_stored_again(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(2_000_000), b"b": os.urandom(5000)}
    protect(vault, "p1", files)
    before = _packs(store)
    fresh = Vault.open(store, keys=vault.keys)
    protect(fresh, "p2", {**files, b"copy of a": files[b"a"]})
    assert _packs(store) == before


def test_the_same_content_twice_in_one_session_is_stored_once(store: MemoryStore, vault: Vault) -> None:
    data = os.urandom(2_000_000)
    protect(vault, "p1", {b"%d" % i: data for i in range(10)})
    assert _packs(store) < 2.1e6


def test_compressible_content_is_stored_smaller(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"text": b"all work and no play makes jack a dull boy\n" * 50_000})
    assert _packs(store) < 50_000


def test_bytes_are_counted(store: MemoryStore, vault: Vault) -> None:
    with vault.writer() as writer:
        added = segment(writer, {b"a": os.urandom(1000), b"b": os.urandom(500)})
        writer.commit("point", {"t": added}, {})
        assert writer.bytes_read == 1500
        data = [n for n in store.objects if n.startswith(("packs/", "index/", "timeline/"))]
        assert writer.bytes_stored == sum(len(store.objects[n]) for n in data)


class Meeting(Wrapper):
    """Timeline segments and the index arrive only when all of them are under way."""

    def __init__(self, beneath: Store, count: int) -> None:
        super().__init__(beneath)
        self.parallel = count
        self._all = threading.Barrier(count, timeout=60)

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        if name.startswith(("timeline/", "index/")):
            self._all.wait()
        super().create(name, parts)


class Refusing(Wrapper):
    """Takes no object with this prefix."""

    def __init__(self, beneath: Store, prefix: str) -> None:
        super().__init__(beneath)
        self.prefix, self.parallel = prefix, 4

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        if name.startswith(self.prefix):
            raise StoreError("it is refused", doing=f"create {name}")
        super().create(name, parts)


def test_the_segments_and_the_index_of_a_commit_go_out_together(store: MemoryStore, vault: Vault) -> None:
    with Vault.open(Meeting(store, 4), keys=vault.keys).writer() as writer:
        added = {f"t{i}": segment(writer, {b"a": b"%d" % i * 1000}) for i in range(3)}
        entry = writer.commit("point", added, {})
    assert [contents(vault, entry.number, t) for t in added] == [{b"a": b"%d" % i * 1000} for i in range(3)]


@pytest.mark.parametrize("prefix", ["timeline/", "index/"])
def test_a_segment_that_is_not_stored_is_committed_by_nothing(
    store: MemoryStore, vault: Vault, prefix: str
) -> None:
    with Vault.open(Refusing(store, prefix), keys=vault.keys).writer() as writer:
        added = {f"t{i}": segment(writer, {b"a": b"%d" % i * 1000}) for i in range(3)}
        with pytest.raises(StoreError, match="refused"):
            writer.commit("point", added, {})
    assert "point" not in [entry.kind for entry in vault.log()]


def test_many_components_store_side_by_side(vault: Vault) -> None:
    files = [{b"f%d" % i: os.urandom(300_000 * (k + 1)) + bytes(400_000) for i in range(6)} for k in range(5)]
    with vault.writer() as writer:
        segments: dict[str, TimelineSegment] = {}

        def one(k: int) -> None:
            segments[f"t{k}"] = segment(writer, files[k], layout=list(Layout)[k % 2])

        threads = [threading.Thread(target=one, args=(k,)) for k in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entry = writer.commit("point", segments, {})
    for k in range(5):
        assert contents(vault, entry.number, f"t{k}") == files[k]


def test_one_writer_may_commit_more_than_once(store: MemoryStore, vault: Vault) -> None:
    with vault.writer() as writer:
        one = writer.commit("point", {"t": segment(writer, {b"a": b"1" * 1000})}, {})
        two = writer.commit("point", {"t": segment(writer, {b"b": b"2" * 1000, b"c": b"1" * 1000})}, {})
    assert contents(vault, one.number, "t") == {b"a": b"1" * 1000}
    assert contents(vault, two.number, "t") == {b"a": b"1" * 1000, b"b": b"2" * 1000, b"c": b"1" * 1000}
    assert [e.kind for e in vault.log()] == ["session", "point", "session", "point"]


def test_leaving_without_a_commit_leaves_no_point(store: MemoryStore, vault: Vault) -> None:
    with vault.writer() as writer:
        segment(writer, {b"a": os.urandom(50_000_000)})
    assert "point" not in [e.kind for e in vault.log()]
    assert verify(vault, Scope(read_data=True)).damaged == []


def test_a_body_may_be_made_of_the_digests(vault: Vault) -> None:
    with vault.writer() as writer:
        new = segment(writer, {b"a": b"1"})
        entry = writer.commit(
            "point", {"t": new, "u": NOTHING}, lambda place: {"digests": dict(place.digests)}
        )
        assert writer.digest("t") == entry.body["digests"]["t"] != ""
        assert entry.body["digests"]["u"] == writer.digest("never") == ""


def test_after_a_conflict_the_body_is_made_again(store: MemoryStore, vault: Vault) -> None:
    other = Vault.open(store, keys=vault.keys)
    slow = Vault.open(
        Rival(store, name_of(2), lambda: protect(other, "quick", {b"b": b"2"})),
        keys=vault.keys,
        passphrase=lambda: "correct horse",
    )
    tried: list[int] = []

    def body(place: CommitPlace) -> dict[str, object]:
        tried.append(place.number)
        return {"digests": dict(place.digests)}

    with slow.writer() as writer:
        entry = writer.commit(
            "point", {"0123456789abcdef": TimelineSegment(Entries.none(), Ragged.of([b"b"]))}, body
        )
    assert tried == [2, entry.number] == [2, 4]
    assert contents(slow, 3) == {b"b": b"2"}
    assert contents(slow, 4) == {}


def test_a_lost_answer_loses_nothing(store: MemoryStore, vault: Vault) -> None:
    for prefix in ("packs/", "index/", "timeline/", "log/"):
        unsure = Vault.open(LostAnswer(store, prefix), keys=vault.keys)
        files = {b"a": os.urandom(1000)}
        assert contents(vault, protect(unsure, prefix, files, timeline=prefix).number, prefix) == files


@pytest.mark.parametrize("room", [0, 100, 30_000, 200_000, 70_000_000])
def test_a_store_that_fails_fails_the_session_and_leaves_no_point(
    store: MemoryStore, vault: Vault, room: int
) -> None:
    kept = protect(vault, "p0", {b"old": b"old"})
    failing = Vault.open(Full(store, room), keys=vault.keys)
    with pytest.raises(StoreError, match="no space"):
        protect(failing, "p1", {b"a": os.urandom(100_000_000)})
    assert [e.body["point"]["id"] for e in vault.log() if e.kind == "point"] == ["p0"]
    assert contents(vault, kept.number) == {b"old": b"old"}


def test_a_pack_that_vanished_is_stored_again(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(5000)}
    first = protect(vault, "p1", files)
    store.delete(next(n for n in store.objects if n.startswith("packs/")))
    with vault.writer() as writer:
        state = (
            Vault.open(store, passphrase=lambda: "correct horse")
            .reader()
            .state("0123456789abcdef", first.number)
        )
        assert writer.missing(state.content).tolist() == [True]
    protect(vault, "p2", files)
    assert contents(vault, first.number) == files


def test_an_unchanged_session_starts_no_thread(vault: Vault) -> None:
    before = threading.active_count()
    with vault.writer() as writer:
        writer.commit("point", {"t": NOTHING}, {})
        assert threading.active_count() == before


def test_a_closed_session_leaves_no_thread(vault: Vault) -> None:
    before = threading.active_count()
    with vault.writer() as writer:
        writer.store(pieces({b"a": os.urandom(5_000_000)}), 1, Layout.CONTENT)
    assert threading.active_count() == before
