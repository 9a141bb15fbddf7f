"""Entries that destroy data count only with a signature, which needs the private key."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from undivided.model.errors import DamageError, UsageError
from undivided.vault.crypto.aead import Sealer
from undivided.vault.crypto.signing import Signed, SigningKey, has_valid_signature, must_be_signed
from undivided.vault.format.log_entry import PURPOSE, decode_entry, encode_entry, name_of
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

KINDS = [("prune", {}), ("epoch", {}), ("repair", {}), ("key", {}), ("pin", {"pinned": False}), ("pin", {})]
PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
ENTRY = Signed(
    "prune", "00" * 16, 7, "ab" * 32, 1_700_000_000, {"freed_bytes": 3, "größe": [1, {"a": None}]}, {}
)


def test_a_private_key_always_gives_the_same_signing_key() -> None:
    assert SigningKey(PRIVATE).public == SigningKey(PRIVATE).public
    assert SigningKey(PRIVATE).public != SigningKey(X25519PrivateKey.generate()).public


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "repair"},
        {"vault": "01" * 16},
        {"number": 8},
        {"previous": "ac" * 32},
        {"time_ns": 1_700_000_001},
        {"body": {"freed_bytes": 4}},
        {"links": {"pending_deletion": ["x"]}},
    ],
)
def test_a_signature_is_valid_for_exactly_one_entry(other: dict[str, Any]) -> None:
    signing_key = SigningKey(PRIVATE)
    signed = ENTRY._replace(body={**ENTRY.body, "signature": signing_key.sign(ENTRY)})
    assert has_valid_signature(signing_key.public, signed)
    assert not has_valid_signature(SigningKey(X25519PrivateKey.generate()).public, signed)
    changed = {**other, "body": {**other.get("body", ENTRY.body), "signature": signed.body["signature"]}}
    assert not has_valid_signature(signing_key.public, signed._replace(**changed))


def test_a_signature_stays_valid_through_json() -> None:
    signing_key = SigningKey(PRIVATE)
    made = ENTRY._replace(body={"counts": {10: "ten", 9: "nine"}, "pair": (1, 2)})
    stored = json.loads(json.dumps({**made.body, "signature": signing_key.sign(made)}))
    assert has_valid_signature(signing_key.public, made._replace(body=stored))


@pytest.mark.parametrize("signature", [None, 7, "", "zz", "00" * 64])
def test_an_invalid_signature_is_refused_without_an_exception(signature: object) -> None:
    assert not has_valid_signature(SigningKey(PRIVATE).public, ENTRY._replace(body={"signature": signature}))


@pytest.mark.parametrize(("kind", "body"), KINDS)
def test_a_source_cannot_append_what_the_signing_key_must_sign(
    store: MemoryStore, vault: Vault, kind: str, body: dict[str, Any]
) -> None:
    source = Vault.open(store, keys=vault.keys)
    with pytest.raises(UsageError, match="passphrase"):
        source.append(kind, body)
    assert source.head.number == 0


@pytest.mark.parametrize(("kind", "body"), KINDS)
@pytest.mark.parametrize("signature", [{}, {"signature": "00" * 64}])
def test_an_entry_without_the_signature_is_damage(
    vault: Vault, kind: str, body: dict[str, Any], signature: dict[str, Any]
) -> None:
    keys, session = vault.keys, vault.keys.new_session()
    sealer = Sealer(keys.structure, keys.vault_bytes, session, PURPOSE)
    data = encode_entry(sealer, session, vault.head, kind, 1, {**body, **signature}, {})
    with pytest.raises(DamageError, match="did not sign"):
        decode_entry(keys, 1, data)


def test_with_the_passphrase_it_is_signed_and_every_reader_accepts_it(
    store: MemoryStore, vault: Vault
) -> None:
    entry = vault.append("prune", {"freed_bytes": 1})
    (seen,) = Vault.open(store, keys=vault.keys).log()
    assert seen == entry
    (epoch,) = vault.keys.epochs
    other = replace(vault.keys, epochs=(replace(epoch, signing_key=SigningKey(PRIVATE).public),))
    with pytest.raises(DamageError, match="did not sign"):
        decode_entry(other, 1, store.read(name_of(1)))


def test_a_pin_needs_no_signature_and_its_removal_does() -> None:
    assert not must_be_signed("pin", {"pinned": True})
    assert must_be_signed("pin", {"pinned": False})
    assert must_be_signed("pin", {"pinned": "yes"})
    assert not must_be_signed("point", {})
