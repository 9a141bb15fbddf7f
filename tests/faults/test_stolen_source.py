"""Fault: keys are stolen. The table in docs/security.md lists what each key gives; these tests try it.

The thief has the writer keys of a source, everything in the store, and our own code, and tries to read stored
data, to destroy it, and to become a recipient.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from undivided.model.columns import Ragged, decode
from undivided.model.errors import DamageError, UsageError, WrongKeyError
from undivided.testing.stores import Wrapper
from undivided.testing.vaults import TIMELINE, contents, protect
from undivided.vault.crypto import key_epochs as epochs
from undivided.vault.crypto import recipients
from undivided.vault.crypto.aead import Opener, Sealer
from undivided.vault.crypto.envelope import Envelope
from undivided.vault.crypto.keys import CONTENT_KEY, WriterKeys, unseal
from undivided.vault.crypto.signing import Signed, SigningKey
from undivided.vault.format import frames
from undivided.vault.format import timeline_segment as timeline
from undivided.vault.format.index_segment import IndexSegment
from undivided.vault.format.log_entry import PURPOSE as LOG
from undivided.vault.format.log_entry import decode_entry, encode_entry, name_of
from undivided.vault.format.pack import open_footer
from undivided.vault.keys import decode_key, encode_key
from undivided.vault.read.histories import ContentKeys
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

pytestmark = pytest.mark.usefixtures("cheap_passphrases")
PASSPHRASE = "correct horse"
NAME, SECRET = b"private/diary of the minister.txt", b"the minister's secret " * 40
FORGED = [
    ("prune", {"expired_points": ["p1"], "pending_deletion": {"packs": [], "index": [], "timeline": []}}),
    ("epoch", {"name": "0" * 16, "binding": "0" * 64}),
    ("repair", {"repaired": [], "quarantined": []}),
    ("key", {"added": "0" * 16, "recipients": {}}),
    ("pin", {"point": "p1", "pinned": False}),
]


@pytest.fixture
def vault(store: MemoryStore) -> Vault:
    made = Vault.create(store, PASSPHRASE)
    protect(made, "p1", {NAME: SECRET, b"large": os.urandom(400_000)})
    return made


@pytest.fixture
def thief(store: MemoryStore, vault: Vault) -> Vault:
    """With the key file of a source."""
    return Vault.open(store, keys=WriterKeys.decode(vault.keys.encode()))


def opened(store: MemoryStore, secret: recipients.Secret = PASSPHRASE) -> Vault:
    return Vault.open(store, passphrase=lambda: secret)


def columns_of(block: bytes) -> bytes:
    columns, header = decode(block)
    parts = [c.blob.tobytes() if isinstance(c, Ragged) else c.tobytes() for c in columns.values()]
    return b"\0".join([json.dumps(header).encode(), *parts])


def readable(keys: WriterKeys, store: MemoryStore) -> Iterator[bytes]:
    """Everything that opens with writer keys."""
    for name, data in store.objects.items():
        folder, _, rest = name.partition("/")
        try:
            if folder == "log":
                yield json.dumps(decode_entry(keys, int(rest), data).__dict__, default=str).encode()
            elif folder == "packs":
                footer = open_footer(keys, data, name)
                yield footer.header.id.tobytes()
            elif folder == "index":
                segment = IndexSegment.open(keys, data, name)
                yield b"\0".join(c.tobytes() for c in segment.__dict__.values() if hasattr(c, "tobytes"))
        except DamageError:
            continue


def guesses(keys: WriterKeys) -> Iterator[bytes]:
    """Every key that the thief has or could derive."""
    own = [keys.id, *(k for e in keys.epochs for k in (e.structure, e.public, e.signing_key))]
    for key in own:
        yield key
        yield hashlib.sha256(key).digest()
        yield hashlib.sha256(key + keys.vault_bytes).digest()


# ── writer keys ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_source_cannot_read_what_is_stored_not_even_its_own(thief: Vault) -> None:
    entry = protect(thief, "p2", {b"mine": b"just now"})
    reader = thief.reader()
    with pytest.raises(UsageError, match="passphrase"):
        reader.state(TIMELINE, entry.number)
    with pytest.raises(UsageError, match="passphrase"):
        list(reader.history(TIMELINE))


def test_what_opens_with_writer_keys_has_points_and_no_names_or_data(
    store: MemoryStore, thief: Vault
) -> None:
    seen = b"\n".join(readable(thief.keys, store))
    assert b'"p1"' in seen  # as in the table
    assert len(seen) > 1000
    for secret in (NAME, SECRET[:22], b"diary", b"minister"):
        assert secret not in seen


def test_no_content_key_opens_with_anything_that_a_source_has(store: MemoryStore, thief: Vault) -> None:
    sealed: list[tuple[Any, bytes]] = []
    for name, data in store.objects.items():
        if name.startswith("packs/"):
            sealed += open_footer(thief.keys, data, name).sessions
        elif name.startswith("timeline/"):
            found = Envelope(timeline.MAGIC, data, name)
            sealed.append((found.session, found.sealed_key))
    assert len(sealed) > 1
    for session, key in sealed:
        context = thief.keys.vault_bytes + session
        for guess in guesses(thief.keys):
            with pytest.raises(DamageError):
                unseal(X25519PrivateKey.from_private_bytes(guess), key, CONTENT_KEY, context, "it")
        keys = ContentKeys(thief.keys, lambda: (X25519PrivateKey.generate(),))
        with pytest.raises(DamageError):
            keys.key(session, key, "it")


def test_no_name_and_no_frame_opens_with_a_key_that_a_source_has(store: MemoryStore, thief: Vault) -> None:
    vault = thief.keys.vault_bytes
    tried = 0
    for name, data in store.objects.items():
        for guess in guesses(thief.keys):
            if name.startswith("timeline/"):
                with pytest.raises(DamageError):
                    Envelope(timeline.MAGIC, data, name).open(guess, vault, timeline.PURPOSE)
                tried += 1
            elif name.startswith("packs/"):
                footer, start = open_footer(thief.keys, data, name), 0
                for length, counter in zip(
                    footer.header.stored.tolist(), footer.header.counter.tolist(), strict=True
                ):
                    session = footer.sessions[0][0]
                    opener = Opener(guess, vault, session, frames.PURPOSE)
                    with pytest.raises(DamageError):
                        opener.open(counter, data[start : start + length], session, name)
                    start, tried = start + length, tried + 1
    assert tried > 20


@pytest.mark.parametrize(("kind", "body"), FORGED)
def test_a_source_cannot_append_what_destroys_or_lets_in(
    thief: Vault, kind: str, body: dict[str, object]
) -> None:
    head = thief.head
    with pytest.raises(UsageError, match="passphrase"):
        thief.append(kind, body)
    assert thief.head == head


@pytest.mark.parametrize("signed", ["not", "by the thief", "for another place"])
@pytest.mark.parametrize(("kind", "body"), FORGED)
def test_a_forged_entry_is_damage_to_everyone_and_nothing_is_destroyed(
    store: MemoryStore, vault: Vault, thief: Vault, kind: str, body: dict[str, object], signed: str
) -> None:
    keys, head, now = thief.keys, thief.head, 1
    links = {"data": 1, "keys": 0, "verified": 0}
    entry = Signed(kind, keys.vault, head.number + 1, head.digest, now, body, links)
    if signed == "by the thief":
        body = {**body, "signature": SigningKey(X25519PrivateKey.generate()).sign(entry)}
    elif signed == "for another place":
        real = opened(store).signing_key()
        body = {**body, "signature": real.sign(entry._replace(number=head.number + 7))}
    session = keys.new_session()
    sealer = Sealer(keys.structure, keys.vault_bytes, session, LOG)
    name = name_of(head.number + 1)
    store.create(name, [encode_entry(sealer, session, head, kind, now, body, links)])
    before = dict(store.objects)
    for client in (
        lambda: opened(store),
        lambda: Vault.open(store, keys=keys, head=head),
        lambda: vault.writer().digest(TIMELINE),
    ):
        with pytest.raises(DamageError, match="did not sign"):
            client()
    assert dict(store.objects) == before
    store.delete(name)  # an operator takes it away
    assert contents(opened(store), head.number)[NAME] == SECRET


def test_a_source_protects_where_the_store_lets_it_only_add(store: MemoryStore, vault: Vault) -> None:
    """So deleting need not be allowed to it: that is the store's to enforce."""

    class PutOnly(Wrapper):
        def delete(self, name: str) -> None:
            raise AssertionError(f"a source deletes {name}")

    source = Vault.open(PutOnly(store), keys=vault.keys)
    for i in range(3):
        protect(source, f"more{i}", {b"f": bytes([i]) * 1000})
    assert contents(opened(store), source.head.number)[b"f"] == b"\x02" * 1000


def test_a_forged_point_can_be_added_and_shows_in_which_session(store: MemoryStore, thief: Vault) -> None:
    entry = protect(thief, "forged", {NAME: b"something else"})
    assert entry.session != next(opened(store).log()).session
    assert contents(opened(store), 2)[NAME] == SECRET  # older data is unchanged


# ── the passphrase, a key file, a recovery kit ──────────────────────────────────────────────────────────────


def test_the_passphrase_or_a_key_file_or_a_kit_with_the_store_opens_everything(
    store: MemoryStore, vault: Vault
) -> None:
    operator, private = opened(store), X25519PrivateKey.generate()
    operator.add_recipient(private, "file")
    page = f"RECOVERY KIT\n{encode_key(private)}\n"
    for secret in (PASSPHRASE, private, decode_key(page)):
        assert contents(opened(store, secret), 2)[NAME] == SECRET


def test_a_passphrase_that_was_removed_reads_nothing_that_comes_after_a_rotation(
    store: MemoryStore, vault: Vault
) -> None:
    operator = opened(store)
    added = operator.add_recipient("former", "former")
    former = opened(store, "former")
    assert contents(former, 2)[NAME] == SECRET
    operator.remove_recipient(added)
    keys = operator.rotate()
    entry = protect(Vault.open(store, keys=keys), "p2", {NAME: b"new"})
    with pytest.raises((WrongKeyError, DamageError)):
        former.reader().state(TIMELINE, entry.number)
    assert contents(opened(store), entry.number)[NAME] == b"new"


# ── keys of an old epoch ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rotated(store: MemoryStore, vault: Vault) -> Vault:
    keys = opened(store).rotate()
    now = Vault.open(store, keys=keys, passphrase=lambda: PASSPHRASE)
    protect(now, "after the rotation", {b"after": b"a new secret " * 30})
    return now


def test_old_writer_keys_read_no_point_or_structure_that_came_after(
    store: MemoryStore, thief: Vault, rotated: Vault
) -> None:
    seen = b"\n".join(readable(thief.keys, store))
    assert b'"p1"' in seen
    assert b"after the rotation" not in seen
    assert b"after the rotation" in b"\n".join(readable(rotated.keys, store))


def test_old_writer_keys_append_nothing_that_anyone_accepts(
    store: MemoryStore, thief: Vault, rotated: Vault
) -> None:
    with pytest.raises(WrongKeyError, match="rotated"):
        protect(thief, "p9", {b"x": b"y"})
    old, head = thief.keys, rotated.head
    session = old.new_session()
    sealer = Sealer(old.structure, old.vault_bytes, session, LOG)
    links = dict(list(rotated.log())[-1].links)
    data = encode_entry(sealer, session, head, "point", 1, {"point": {"id": "forged"}}, links)
    with pytest.raises(DamageError, match="not in force"):
        decode_entry(rotated.keys, head.number + 1, data)
    claimed = rotated.keys.new_session()  # a session of the new epoch, under the old key
    sealer = Sealer(old.structure, old.vault_bytes, claimed, LOG)
    data = encode_entry(sealer, claimed, head, "point", 1, {"point": {"id": "forged"}}, links)
    with pytest.raises(DamageError, match="authentication"):
        decode_entry(rotated.keys, head.number + 1, data)


def test_the_private_key_of_an_old_epoch_opens_and_signs_nothing_new(
    store: MemoryStore, vault: Vault, rotated: Vault
) -> None:
    private = rotated.private_keys()[0]
    begun, name = next(epochs.stored_records(store))
    with pytest.raises(DamageError):
        epochs.read_record(store, begun, name).open(private, rotated.keys.vault_bytes)
    keys = ContentKeys(rotated.keys, lambda: (private, private))
    for object, data in store.objects.items():
        if object.startswith("packs/"):
            try:
                sessions = open_footer(vault.keys, data, object).sessions
            except DamageError:
                sessions = open_footer(rotated.keys, data, object).sessions
                for session, sealed in sessions:
                    with pytest.raises(DamageError):
                        keys.key(session, sealed, "it")
    head, body = rotated.head, {"expired_points": ["p1"]}
    links = dict(list(rotated.log())[-1].links)
    entry = Signed("prune", vault.id, head.number + 1, head.digest, 1, body, links)
    signed = {**body, "signature": SigningKey(private).sign(entry)}
    session = rotated.keys.new_session()
    sealer = Sealer(rotated.keys.structure, rotated.keys.vault_bytes, session, LOG)
    data = encode_entry(sealer, session, head, "prune", 1, signed, links)
    with pytest.raises(DamageError, match="did not sign"):
        decode_entry(rotated.keys, head.number + 1, data)


# ── the store alone ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_store_alone_shows_sizes_and_no_name_point_or_byte(store: MemoryStore, rotated: Vault) -> None:
    everything = b"\n".join(name.encode() + b" " + data for name, data in store.objects.items())
    for secret in (NAME, SECRET[:22], b"after the rotation", b"a new secret", TIMELINE.encode()):
        assert secret not in everything
        assert secret.hex().encode() not in everything
