"""Who can open a vault: recipients of every kind, added, removed, and keys rotated."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from undivided.model.errors import DamageError, UndividedError, UsageError, WrongKeyError
from undivided.testing.stores import Rival
from undivided.testing.vaults import contents, protect
from undivided.vault.crypto import key_epochs as epochs
from undivided.vault.crypto import recipients
from undivided.vault.crypto.keys import new_epoch, new_keys
from undivided.vault.format.vault_json import VaultConfig, read_config
from undivided.vault.keys import Secret
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

PASSPHRASE = "correct horse"


def opened(store: MemoryStore, secret: Secret = PASSPHRASE) -> Vault:
    return Vault.open(store, passphrase=lambda: secret)


def checked(record: dict[str, object]) -> bytes:
    """A recipient as an intruder stores it: with the right checksum."""
    fields = {key: value for key, value in record.items() if key != "checksum"}
    return json.dumps({**fields, "checksum": recipients._checksum(fields)}).encode()


def test_recipients_of_every_kind_open_the_same_vault(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": b"1"})
    private = X25519PrivateKey.generate()
    vault.add_recipient("another", "a colleague")
    vault.add_recipient("from the TPM", "this machine", "command")
    vault.add_recipient(private, "a file in the safe")
    assert sorted(r["kind"] for r in vault.recipients()) == ["command", "passphrase", "passphrase", "x25519"]
    for secret in (PASSPHRASE, "another", "from the TPM", private):
        again = opened(store, secret)
        assert again.keys == vault.keys
        assert contents(again, entry.number) == {b"a": b"1"}
    for wrong in ("wrong", X25519PrivateKey.generate()):
        with pytest.raises(WrongKeyError):
            opened(store, wrong)


def test_a_vault_can_be_made_with_a_key_file_alone(store: MemoryStore) -> None:
    private = X25519PrivateKey.generate()
    made = Vault.create(store, private)
    assert opened(store, private).keys == made.keys
    assert [r["kind"] for r in made.recipients()] == ["x25519"]


def test_no_secret_lies_in_the_store(store: MemoryStore, vault: Vault) -> None:
    private = X25519PrivateKey.generate()
    vault.add_recipient("what a command prints", "label", "command")
    vault.add_recipient(private, "file")
    keys = vault.rotate()
    everything = b"".join(store.objects.values())
    secrets = [b"what a command prints", private.private_bytes_raw(), PASSPHRASE.encode()]
    secrets += [key for e in keys.epochs for key in (e.structure,)] + [keys.id]
    for secret in secrets:
        assert secret not in everything
        assert secret.hex().encode() not in everything


def test_a_removed_recipient_opens_nothing_and_leaves_nothing(store: MemoryStore, vault: Vault) -> None:
    added = vault.add_recipient("another", "a colleague")
    vault.remove_recipient(added)
    assert not [name for name in store.objects if added in name]
    with pytest.raises(WrongKeyError):
        opened(store, "another")
    assert [(e.kind, e.body.get("added"), e.body.get("removed")) for e in vault.log()] == [
        ("key", added, None),
        ("key", None, added),
    ]


def test_one_that_opens_nothing_does_not_count_as_a_way_in(store: MemoryStore, vault: Vault) -> None:
    added = vault.add_recipient("another", "half removed")
    for name in [name for name in store.objects if name.startswith(f"keys/{added}.")]:
        del store.objects[name]
    (first,) = (r["id"] for r in vault.recipients() if r["id"] != added)
    with pytest.raises(UsageError, match="last one"):
        vault.remove_recipient(first)
    vault.remove_recipient(added)
    assert [r["id"] for r in vault.recipients()] == [first]


def test_recipients_change_only_with_a_secret_that_opens(store: MemoryStore, vault: Vault) -> None:
    added = vault.add_recipient("another", "a colleague")
    source = Vault.open(store, keys=vault.keys)
    for change in (
        lambda: source.add_recipient("mine", ""),
        lambda: source.remove_recipient(added),
        source.rotate,
    ):
        with pytest.raises(UsageError, match="passphrase"):
            change()
    assert source.head.number == 1


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b'{"id": 1}',
        lambda r: {**r, "iterations": 10**9},
        lambda r: {**r, "epoch": "0" * 16},
    ],
)
def test_a_damaged_recipient_does_not_keep_the_others_out(
    store: MemoryStore, vault: Vault, damage: Any
) -> None:
    added = vault.add_recipient("another", "a colleague")
    (first,) = (r["id"] for r in vault.recipients() if r["id"] != added)
    name = f"keys/{first}"
    changed = checked(damage(json.loads(store.objects[name]))) if callable(damage) else damage
    store.objects[name] = changed
    assert opened(store, "another").keys == vault.keys
    with pytest.raises(DamageError, match=r"keys/|epochs/"):
        opened(store, PASSPHRASE)


# ── rotation ────────────────────────────────────────────────────────────────────────────────────────────────


def test_after_a_rotation_everyone_opens_everything_and_deduplication_continues(
    store: MemoryStore, vault: Vault
) -> None:
    private, large = X25519PrivateKey.generate(), os.urandom(300_000)
    vault.add_recipient(private, "file")
    numbers = [protect(vault, "p0", {b"f": large}).number]
    for i in range(1, 4):
        vault = Vault.open(store, keys=vault.rotate(), passphrase=lambda: PASSPHRASE)
        stored = sum(len(o) for name, o in store.objects.items() if name.startswith("packs/"))
        numbers.append(protect(vault, f"p{i}", {b"again": large, b"new": bytes([i])}).number)
        assert sum(len(o) for name, o in store.objects.items() if name.startswith("packs/")) < stored + 2000
    assert len(vault.keys.epochs) == 4
    for secret in (PASSPHRASE, private):
        again = opened(store, secret)
        assert again.keys == vault.keys
        assert contents(again, numbers[0]) == {b"f": large}
        assert contents(again, numbers[3]) == {b"f": large, b"again": large, b"new": b"\x03"}
    assert [e.kind for e in again.log() if e.kind == "epoch"] == ["epoch"] * 3
    assert verify(again, Scope(read_data=True)).damaged == []


def test_pruning_and_repacking_reach_over_a_rotation(store: MemoryStore, vault: Vault) -> None:
    kept, gone = os.urandom(100_000), os.urandom(5_000_000)
    protect(vault, "p1", {b"kept": kept, b"gone": gone})
    vault = Vault.open(store, keys=vault.rotate(), passphrase=lambda: PASSPHRASE)
    second = protect(vault, "p2", {b"new": b"new"}, [b"gone"])
    execute(vault, plan_prune(vault, ["p1"], grace=0))
    execute(vault, plan_prune(vault, grace=0))
    assert sum(len(data) for name, data in store.objects.items() if name.startswith("packs/")) < 2_000_000
    vault = Vault.open(store, keys=vault.rotate(), passphrase=lambda: PASSPHRASE)
    third = protect(vault, "p3", {b"again": kept})
    for entry, files in ((second, {b"kept": kept, b"new": b"new"}), (third, {b"again": kept})):
        assert contents(opened(store), entry.number).items() >= files.items()
    assert verify(opened(store), Scope(read_data=True)).damaged == []


def test_recipients_added_between_rotations_open_all_that_was_before_and_after(
    store: MemoryStore, vault: Vault
) -> None:
    first = protect(vault, "p1", {b"a": b"1"})
    vault = Vault.open(store, keys=vault.rotate(), passphrase=lambda: PASSPHRASE)
    vault.add_recipient("late", "late")
    vault = Vault.open(store, keys=vault.rotate(), passphrase=lambda: "late")
    second = protect(vault, "p2", {b"b": b"2"})
    again = opened(store, "late")
    assert contents(again, first.number) == {b"a": b"1"}
    assert contents(again, second.number) == {b"a": b"1", b"b": b"2"}


def test_who_was_removed_before_a_rotation_opens_nothing_that_came_after(
    store: MemoryStore, vault: Vault
) -> None:
    """Even with a copy of everything that the store ever had, and of the old private key."""
    added = vault.add_recipient("former", "a former colleague")
    kept = dict(store.objects)
    former = opened(store, "former")
    (old_private,) = former.private_keys()
    vault.remove_recipient(added)
    vault = Vault.open(store, keys=vault.rotate(), passphrase=lambda: PASSPHRASE)
    protect(vault, "p1", {b"a": b"secret"})
    for name, data in kept.items():
        store.objects.setdefault(name, data)  # what was deleted comes back
    with pytest.raises(WrongKeyError, match="removed"):
        opened(store, "former")
    with pytest.raises(WrongKeyError, match="rotated"):
        former.append("note", {})
    session = bytes.fromhex(list(vault.log())[-1].session)
    with pytest.raises(DamageError, match="newer keys"):
        former.keys.structure_of(session, "it")
    record = epochs.read_record(store, *next(epochs.stored_records(store)))
    with pytest.raises(DamageError):
        record.open(old_private, vault.keys.vault_bytes)


def test_a_recipient_that_the_store_puts_back_gets_no_new_key(store: MemoryStore, vault: Vault) -> None:
    added = vault.add_recipient("former", "a former colleague")
    kept = {name: data for name, data in store.objects.items() if added in name}
    vault.remove_recipient(added)
    store.objects.update(kept)
    vault.rotate()
    assert len([name for name in store.objects if added in name]) == len(kept)
    with pytest.raises(WrongKeyError, match="removed"):
        opened(store, "former")


def test_a_recipient_whose_public_key_the_store_exchanged_is_not_sealed_to_it(
    store: MemoryStore, vault: Vault
) -> None:
    vault.add_recipient("another", "a colleague")
    thief = X25519PrivateKey.generate()
    for recipient in vault.recipients():
        name = f"keys/{recipient['id']}"
        record = json.loads(store.objects[name])
        store.objects[name] = checked({**record, "public": thief.public_key().public_bytes_raw().hex()})
    vault.rotate()
    for name, _ in store.list("keys/"):
        if "." in name:
            member, _, epoch = name.removeprefix("keys/").partition(".")
            with pytest.raises(DamageError):
                epochs.read_sealed(store, member, thief, epoch, vault.keys.vault_bytes)


def test_a_source_with_old_keys_is_refused_with_a_hint_and_breaks_nothing(
    store: MemoryStore, vault: Vault
) -> None:
    source = Vault.open(store, keys=vault.keys)
    protect(source, "p1", {b"a": b"1"})
    keys = vault.rotate()
    with pytest.raises(WrongKeyError, match="rotated at log entry 3") as refused:
        protect(source, "p2", {b"a": b"2"})
    assert "key renew" in refused.value.hint
    with pytest.raises(WrongKeyError, match="rotated"):
        Vault.open(store, keys=vault.keys, head=source.head)
    now = Vault.open(store, keys=keys)
    protect(now, "p3", {b"a": b"3"})
    for stale in (
        lambda: Vault.open(store, keys=vault.keys, head=source.head),
        lambda: source.append("note", {}),
    ):
        with pytest.raises(WrongKeyError, match="rotated"):
            stale()
    with pytest.raises(DamageError, match="newer keys") as error:
        Vault.open(store, keys=vault.keys)
    assert "key renew" in error.value.hint
    assert [e.number for e in now.log()] == list(range(1, now.head.number + 1))


def test_a_source_that_is_faster_than_a_rotation_keeps_its_point(store: MemoryStore, vault: Vault) -> None:
    source = Vault.open(store, keys=vault.keys)
    slow = Vault.open(
        Rival(store, "log/", lambda: protect(source, "p1", {b"a": b"1"})),
        keys=vault.keys,
        passphrase=lambda: PASSPHRASE,
    )
    keys = slow.rotate()
    assert [e.kind for e in Vault.open(store, keys=keys).log()] == ["session", "point", "epoch"]
    assert opened(store).keys == keys
    assert contents(opened(store), 2) == {b"a": b"1"}


def test_a_rotation_during_which_recipients_change_does_not_happen(store: MemoryStore, vault: Vault) -> None:
    other = opened(store)
    rival = Rival(store, "log/", lambda: other.add_recipient("new", "new"))
    with pytest.raises(UndividedError, match="the list of recipients changed meanwhile"):
        Vault.open(rival, keys=vault.keys, passphrase=lambda: PASSPHRASE).rotate()
    assert opened(store, "new").keys == vault.keys


def test_of_two_rotations_at_once_one_happens(store: MemoryStore, vault: Vault) -> None:
    other = opened(store)
    rival = Rival(store, "log/", other.rotate)
    with pytest.raises(WrongKeyError, match="rotated"):
        Vault.open(rival, keys=vault.keys, passphrase=lambda: PASSPHRASE).rotate()
    again = opened(store)
    assert len(again.keys.epochs) == 2
    protect(again, "p1", {b"a": b"1"})


# ── a store that lies ───────────────────────────────────────────────────────────────────────────────────────


def test_a_vault_that_was_put_in_its_place_does_not_open(store: MemoryStore, vault: Vault) -> None:
    """The store knows every recipient's public key, and could seal keys of its own to them."""
    config = read_config(store)
    keys, private = new_keys()
    forged = VaultConfig.new(keys, config.first.recipients)
    store.objects["vault.json"] = forged.encode()
    for recipient, public in forged.first.recipients.items():
        epochs.store_sealed(store, recipient, public, private, forged.vault_bytes)
    with pytest.raises((WrongKeyError, DamageError)):
        opened(store)


def test_an_epoch_that_no_log_entry_began_is_none(store: MemoryStore, vault: Vault) -> None:
    config = read_config(store)
    epoch, private = new_epoch(1)
    record = epochs.EpochRecord.seal(vault.keys.followed_by(epoch), (private,), config.first.recipients)
    epochs.store_record(store, record)
    for recipient, public in config.first.recipients.items():
        epochs.store_sealed(store, recipient, public, private, config.vault_bytes)
    assert opened(store).keys == vault.keys


@pytest.mark.parametrize(
    "damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: d.replace(b"0", b"1", 1)]
)
@pytest.mark.parametrize("folder", ["epochs/", "keys/"])
def test_a_damaged_epoch_is_named_and_never_passed_over(
    store: MemoryStore, vault: Vault, folder: str, damage: Callable[[bytes], bytes]
) -> None:
    vault.rotate()
    (name,) = epochs.stored_records(store)
    for object in list(store.objects):
        if object.startswith(folder) and object.endswith(name[1]):
            store.objects[object] = damage(store.objects[object]) if folder == "epochs/" else b"x" * 80
    with pytest.raises(DamageError, match=folder):
        opened(store)


# ── key check ───────────────────────────────────────────────────────────────────────────────────────────────


def test_rot_in_anything_that_opens_the_vault_is_found_without_a_secret(
    store: MemoryStore, vault: Vault
) -> None:
    vault.add_recipient(X25519PrivateKey.generate(), "in the safe")
    keys = vault.rotate()
    objects = [name for name in store.objects if name.startswith(("keys/", "epochs/"))]
    assert len(objects) == 2 + 2 * 2 + 1
    for name in objects:
        whole = store.objects[name]
        for place in range(0, len(whole), 7):
            store.objects[name] = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
            found = verify(Vault.open(store, keys=keys)).damaged
            assert not found or [d.object for d in found] == [name]
            assert found or json.loads(whole) == json.loads(store.objects[name])
        store.objects[name] = whole
    assert verify(Vault.open(store, keys=keys)).damaged == []


def test_a_recipient_that_the_newest_keys_were_not_sealed_to_is_named(
    store: MemoryStore, vault: Vault
) -> None:
    keys = vault.rotate()
    (recipient,) = (r["id"] for r in vault.recipients())
    sealed = epochs.sealed_name(recipient, epochs.epoch_name(keys.public))
    del store.objects[sealed]
    assert [d.object for d in verify(Vault.open(store, keys=keys)).damaged] == [sealed]
