"""Vaults as a whole: creating, opening, passphrases, points."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from undivided.model.errors import NoVaultError, UsageError, WrongKeyError
from undivided.testing.vaults import contents, contents_one_by_one, protect
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

PASSPHRASE = "correct horse"


def _ask() -> str:
    return PASSPHRASE


def test_what_was_protected_comes_back_from_a_directory(tmp_path: Path) -> None:
    vault = Vault.create(DirectoryStore(tmp_path / "v"), PASSPHRASE)
    files = {b"a": b"hello", b"empty": b"", b"large": os.urandom(3_000_000), b"zeros": bytes(9_000_000)}
    entry = protect(vault, "p1", files)
    again = Vault.open(DirectoryStore(tmp_path / "v"), passphrase=_ask)
    assert contents(again, entry.number) == files
    assert contents_one_by_one(again, entry.number) == files


def test_every_point_keeps_its_own_state(vault: Vault) -> None:
    one = protect(vault, "p1", {b"a": b"1", b"b": b"1"})
    two = protect(vault, "p2", {b"a": b"2", b"c": b"2"})
    three = protect(vault, "p3", {b"d": b"3"}, [b"a", b"unknown"])
    four = protect(vault, "p4", {b"a": b"4"})
    assert contents(vault, one.number) == {b"a": b"1", b"b": b"1"}
    assert contents(vault, two.number) == {b"a": b"2", b"b": b"1", b"c": b"2"}
    assert contents(vault, three.number) == {b"b": b"1", b"c": b"2", b"d": b"3"}
    assert contents(vault, four.number) == {b"a": b"4", b"b": b"1", b"c": b"2", b"d": b"3"}
    assert contents(vault, 0) == {}


def test_an_unchanged_point_is_one_log_entry_and_nothing_else(store: MemoryStore, vault: Vault) -> None:
    first = protect(vault, "p1", {b"a": b"1"})
    before = set(store.objects)
    second = protect(vault, "p2", {})
    assert set(store.objects) - before == {f"log/{second.number:010d}"}
    chains = [e.links["heads"] for e in (first, second)]
    assert chains[0] == chains[1]
    assert second.body["timelines"] == {}


def test_with_writer_keys_alone_one_can_add_and_list_but_not_read(store: MemoryStore, vault: Vault) -> None:
    source = Vault.open(store, keys=vault.keys)
    entry = protect(source, "p1", {b"a": b"1"})
    assert [e.kind for e in source.log()] == ["session", "point"]
    with pytest.raises(UsageError, match="passphrase"):
        source.reader().state("0123456789abcdef", entry.number)
    assert contents(Vault.open(store, passphrase=_ask), entry.number) == {b"a": b"1"}


def test_the_passphrase_is_asked_for_only_when_content_is_opened(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": b"1"})
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return PASSPHRASE

    opened = Vault.open(store, keys=vault.keys, passphrase=ask)
    protect(opened, "p2", {b"a": b"1"})
    assert list(opened.log())
    assert not asked
    contents(opened, entry.number)
    contents(opened, entry.number)
    assert len(asked) == 1


def test_a_wrong_passphrase_is_said_to_be_wrong(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": b"1"})
    with pytest.raises(WrongKeyError):
        Vault.open(store, passphrase=lambda: "wrong")
    with pytest.raises(WrongKeyError):
        contents(Vault.open(store, keys=vault.keys, passphrase=lambda: "wrong"), entry.number)


def test_writer_keys_of_another_vault_are_refused(store: MemoryStore, vault: Vault) -> None:
    other = Vault.create(MemoryStore(), PASSPHRASE)
    with pytest.raises(WrongKeyError, match="do not belong to the vault at"):
        Vault.open(store, keys=other.keys)


def test_where_no_vault_is_there_is_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NoVaultError, match="init"):
        Vault.open(DirectoryStore(tmp_path / "nothing"), passphrase=_ask)


def test_a_vault_is_never_made_over_another(store: MemoryStore, vault: Vault) -> None:
    before = dict(store.objects)
    with pytest.raises(UsageError, match="not empty"):
        Vault.create(store, "other")
    assert store.objects == before


def test_passphrases_are_added_and_removed_but_never_the_last(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": b"1"})
    (first,) = vault.recipients()
    second = vault.add_recipient("battery staple", "the other admin")
    for passphrase in (PASSPHRASE, "battery staple"):
        assert contents(Vault.open(store, passphrase=lambda p=passphrase: p), entry.number) == {b"a": b"1"}  # type: ignore[misc]
    vault.remove_recipient(first["id"])
    with pytest.raises(WrongKeyError):
        Vault.open(store, passphrase=_ask)
    assert Vault.open(store, passphrase=lambda: "battery staple").keys == vault.keys
    with pytest.raises(UsageError, match="last"):
        vault.remove_recipient(second)
    with pytest.raises(UsageError, match="no recipient"):
        vault.remove_recipient("unknown")
    assert [e.kind for e in vault.log()] == ["session", "point", "key", "key"]


def test_an_empty_passphrase_is_refused(vault: Vault) -> None:
    with pytest.raises(UsageError, match="empty"):
        Vault.create(MemoryStore(), "")
    with pytest.raises(UsageError, match="empty"):
        vault.add_recipient("", "unknown")


def test_no_secret_lies_in_the_clear(store: MemoryStore, vault: Vault) -> None:
    secret, name = b"the customer's secret " * 50, b"private/diary.txt"
    protect(vault, "point of the shop", {name: secret})
    everything = b"".join(store.objects.values())
    wanted = [secret[:40], name, b"point of the shop", PASSPHRASE.encode()]
    wanted += [vault.keys.structure, vault.keys.id]
    for plain in wanted:
        assert plain not in everything
        assert plain.hex().encode() not in everything


def test_info_counts_what_is_there(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    info = vault.info()
    assert info["vault"] == vault.id
    assert info["head"]["number"] == 2
    assert info["objects"]["packs"]["objects"] == 1
    assert info["bytes"] == sum(len(data) for data in store.objects.values())
    assert [r["label"] for r in info["recipients"]] == ["first"]
