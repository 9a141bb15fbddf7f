"""Sealing: only matching parameters open the bytes, and counters never repeat."""

from __future__ import annotations

import os
import threading

import pytest

from undivided.model.errors import DamageError
from undivided.vault.crypto.aead import Opener, Sealer

KEY, VAULT, SESSION = bytes(range(32)), b"v" * 16, b"s" * 16


def test_sealed_bytes_open_with_the_same_key_session_purpose_and_header() -> None:
    sealer, opener = Sealer(KEY, VAULT, SESSION, "log"), Opener(KEY, VAULT, SESSION, "log")
    counter = sealer.count()
    sealed = sealer.seal(counter, b"secret", b"header")
    assert opener.open(counter, sealed, b"header", "x") == b"secret"


@pytest.mark.parametrize(
    "other",
    [
        {"key": b"k" * 32},
        {"vault": b"w" * 16},
        {"session": b"t" * 16},
        {"purpose": "index"},
        {"header": b"other"},
        {"counter": 2},
    ],
)
def test_no_other_parameters_open_them(other: dict[str, object]) -> None:
    sealed = Sealer(KEY, VAULT, SESSION, "log").seal(1, b"secret", b"header")
    like = {
        "key": KEY,
        "vault": VAULT,
        "session": SESSION,
        "purpose": "log",
        "header": b"header",
        "counter": 1,
    }
    with_other = {**like, **other}
    opener = Opener(*(with_other[k] for k in ("key", "vault", "session", "purpose")))  # type: ignore[arg-type]
    with pytest.raises(DamageError, match="the-object is damaged"):
        opener.open(with_other["counter"], sealed, with_other["header"], "the-object")  # type: ignore[arg-type]


def test_sealed_bytes_that_are_too_short_are_damage() -> None:
    for length in (0, 5, 15):
        with pytest.raises(DamageError):
            Opener(KEY, VAULT, SESSION, "log").open(1, bytes(length), b"", "x")


def test_threads_never_get_the_same_counter() -> None:
    sealer = Sealer(KEY, VAULT, SESSION, "frame")
    taken: list[list[int]] = [[] for _ in range(8)]

    def take(mine: list[int]) -> None:
        mine.extend(sealer.count() for _ in range(2000))

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({c for mine in taken for c in mine}) == 16_000


def test_a_forked_child_gets_no_counter() -> None:
    sealer = Sealer(KEY, VAULT, SESSION, "frame")
    sealer.count()
    child = os.fork()
    if not child:
        try:
            sealer.count()
        except AssertionError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
