"""Writer keys as a file, and sealing to the vault's public key."""

from __future__ import annotations

import pytest

from undivided.model.errors import DamageError, WrongKeyError
from undivided.vault.crypto.keys import WriterKeys, new_keys, seal_to, unseal


def test_writer_keys_survive_their_file() -> None:
    keys, _ = new_keys()
    assert WriterKeys.decode(keys.encode()) == keys


def test_writer_keys_are_not_shown_in_messages() -> None:
    keys, _ = new_keys()
    assert keys.structure.hex() not in repr(keys)
    assert str(keys.structure) not in repr(keys)


@pytest.mark.parametrize(
    "damage", [lambda d: b"", lambda d: d[:40], lambda d: d[:-9], lambda d: b"x" + d, lambda d: b"\xff"]
)
def test_a_file_that_is_no_key_file_is_refused(damage) -> None:
    keys, _ = new_keys()
    with pytest.raises(WrongKeyError):
        WriterKeys.decode(damage(keys.encode()))


def test_a_secret_sealed_to_the_vault_opens_with_the_private_key_and_its_context_only() -> None:
    keys, private = new_keys()
    sealed = seal_to(keys.public, b"k" * 32, "content key", b"context")
    assert unseal(private, sealed, "content key", b"context", "x") == b"k" * 32
    for purpose, context in (("content key", b"other"), ("writer keys", b"context")):
        with pytest.raises(DamageError):
            unseal(private, sealed, purpose, context, "x")
    with pytest.raises(DamageError):
        unseal(new_keys()[1], sealed, "content key", b"context", "x")
    with pytest.raises(DamageError):
        unseal(private, sealed[:20], "content key", b"context", "x")
