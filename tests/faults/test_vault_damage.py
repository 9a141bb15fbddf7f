"""Faults: bits flipped, objects cut short, swapped, forged, rolled back: all detected, or without harm."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from undivided.model.errors import DamageError, UndividedError
from undivided.testing.stores import Truncating
from undivided.testing.vaults import contents, contents_one_by_one, protect
from undivided.vault.crypto.aead import Sealer
from undivided.vault.format.log_entry import Head, encode_entry, name_of
from undivided.vault.format.pack import TRAILER
from undivided.vault.log.heads import index_entries
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

pytestmark = pytest.mark.usefixtures("cheap_passphrases")
PASSPHRASE = "correct horse"
_APART = 29


def _reopened(store: MemoryStore, vault: Vault) -> Vault:
    return Vault.open(store, keys=vault.keys, passphrase=lambda: PASSPHRASE, head=vault.head)


def _read_all(store: MemoryStore, vault: Vault) -> list[dict[bytes, bytes]]:
    """Everything of every point, and the log itself."""
    fresh = _reopened(store, vault)
    return [contents(fresh, e.number) for e in fresh.log() if e.kind == "point"]


def _flips(store: MemoryStore, prefix: str) -> Iterator[tuple[str, int]]:
    """Bytes of every such object, with one of their bits flipped while it is ours to look at: whole readings
    and verifications for each. test_bit_flips.py tries every bit, on what reads that very object."""
    for name in sorted(n for n in store.objects if n.startswith(prefix)):
        whole = store.objects[name]
        for at in range(0, len(whole), _APART):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            store.objects[name] = bytes(damaged)
            yield name, at
        store.objects[name] = whole


def _three_points(vault: Vault) -> None:
    rng = random.Random(1)
    protect(vault, "p1", {b"noise": rng.randbytes(90), b"text": b"all work and no play " * 9})
    protect(vault, "p2", {b"noise": rng.randbytes(60)}, [b"text"])
    protect(vault, "p3", {})


@pytest.mark.parametrize("prefix", ["log/", "packs/", "index/", "timeline/"])
def test_any_flipped_bit_is_detected_by_name_or_harmless(
    store: MemoryStore, vault: Vault, prefix: str
) -> None:
    _three_points(vault)
    right = _read_all(store, vault)
    silent: dict[str, list[int]] = {}
    for name, at in _flips(store, prefix):
        try:
            assert _read_all(store, vault) == right, f"{name} byte {at}: wrong data"
            silent.setdefault(name, []).append(at)
        except DamageError as error:
            assert name in str(error), f"{name} byte {at}: {error}"
            assert error.hint
    needed = {n for e in index_entries(_reopened(store, vault).commits) for n in e.links["index"]}
    for name, places in silent.items():
        # Without harm: index segments that later ones took in, and a pack's own footer (the index has it).
        if prefix == "index/":
            assert name.removeprefix("index/") not in needed
            continue
        assert prefix == "packs/"
        (*_, footer) = TRAILER.unpack(store.objects[name][-TRAILER.size :])
        assert min(places) >= len(store.objects[name]) - TRAILER.size - footer


@pytest.mark.parametrize("prefix", ["packs/", "index/", "timeline/", "log/"])
def test_verification_finds_any_flipped_bit(store: MemoryStore, vault: Vault, prefix: str) -> None:
    protect(vault, "p1", {b"noise": random.Random(1).randbytes(200)})
    opened = _reopened(store, vault)
    for name, at in _flips(store, prefix):
        report = verify(opened, Scope(read_data=True))
        assert name in [d.object for d in report.damaged], f"{name} byte {at}"


def test_any_flipped_bit_in_the_keys_is_refused_or_harmless(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": b"1"})
    for prefix in ("keys/", "vault.json"):
        for name, at in _flips(store, prefix):
            try:
                fresh = Vault.open(store, passphrase=lambda: PASSPHRASE)
                assert contents(fresh, entry.number) == {b"a": b"1"}, f"{name} byte {at}"
            except UndividedError as error:
                assert error.exit_code in (2, 5, 12), f"{name} byte {at}: {error}"


@pytest.mark.parametrize("prefix", ["packs/", "index/", "timeline/", "log/"])
@pytest.mark.parametrize("keep", [0, 0.02, 0.5, 0.99])
def test_an_upload_cut_short_is_detected(store: MemoryStore, vault: Vault, prefix: str, keep: float) -> None:
    lying = Vault.open(Truncating(store, prefix, keep), keys=vault.keys)
    files = {b"a": random.Random(2).randbytes(2000)}
    protect(lying, "p1", files)
    short = {n for n in store.objects if n.startswith(prefix)}
    if prefix == "log/":
        with pytest.raises(DamageError, match="log/"):
            Vault.open(store, keys=vault.keys)
        return
    fresh = _reopened(store, vault)
    assert short & {d.object for d in verify(fresh).damaged}
    for read in (contents, contents_one_by_one):
        try:
            assert read(fresh, fresh.head.number) == files  # only the end of a pack, its footer, was lost
        except DamageError as error:
            assert any(name in str(error) for name in short)


def test_a_pack_cut_short_is_stored_again_by_the_next_protection(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(2000)}
    lying = Vault.open(Truncating(store, "packs/", 0.5), keys=vault.keys)
    first = protect(lying, "p1", files)
    protect(vault, "p2", files)
    assert contents(vault, first.number) == files


@pytest.mark.parametrize("prefix", ["packs/", "index/", "timeline/", "log/"])
def test_objects_that_changed_places_are_detected(store: MemoryStore, vault: Vault, prefix: str) -> None:
    for i in range(2):
        protect(vault, f"p{i}", {b"f%d" % i: random.Random(i).randbytes(500)})
    one, two = sorted(n for n in store.objects if n.startswith(prefix))[:2]
    store.objects[one], store.objects[two] = store.objects[two], store.objects[one]
    with pytest.raises(DamageError) as caught:
        _read_all(store, vault)
    assert one in str(caught.value) or two in str(caught.value)


def test_an_object_of_another_kind_is_not_taken(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1" * 500})
    kinds = {
        k: next(n for n in store.objects if n.startswith(k))
        for k in ("index/", "timeline/", "log/", "packs/")
    }
    whole = dict(store.objects)
    for mine in kinds.values():
        for other in kinds.values():
            if mine == other:
                continue
            store.objects = {**whole, mine: whole[other]}
            with pytest.raises(DamageError):
                _read_all(store, vault)


def test_a_point_forged_without_keys_is_refused(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    session = vault.keys.new_session()
    stranger = Sealer(os.urandom(32), vault.keys.vault_bytes, session, "log")
    links = {"data": 0, "heads": {}}
    forged = encode_entry(stranger, session, vault.head, "point", 1, {"point": {"id": "forged"}}, links)
    store.create(name_of(vault.head.number + 1), [forged])
    with pytest.raises(DamageError, match=name_of(vault.head.number + 1)):
        _reopened(store, vault)


def test_an_entry_of_another_vault_with_the_same_keys_is_refused(store: MemoryStore, vault: Vault) -> None:
    from dataclasses import replace

    twin = replace(vault.keys, vault="00" * 16)
    session = vault.keys.new_session()
    sealer = Sealer(twin.structure, twin.vault_bytes, session, "log")
    store.create(name_of(1), [encode_entry(sealer, session, Head(), "note", 1, {}, {"data": 0})])
    with pytest.raises(DamageError, match=name_of(1)):
        Vault.open(store, keys=vault.keys)


def test_a_vault_rolled_back_to_an_older_copy_is_refused(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    older = dict(store.objects)
    protect(vault, "p2", {b"a": b"2"})
    store.objects = older
    with pytest.raises(DamageError, match="rolled back"):
        _reopened(store, vault)
    rewritten = Vault.open(store, keys=vault.keys)
    protect(rewritten, "p2 again", {b"a": b"3"})
    protect(rewritten, "p3", {b"a": b"4"})
    with pytest.raises(DamageError, match="forked"):
        _reopened(store, vault)
