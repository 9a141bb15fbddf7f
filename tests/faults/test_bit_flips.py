"""Fault: a bit flips, anywhere in the vault. Each is noticed, or does no harm: every single one is tried."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from undivided.model.errors import DamageError
from undivided.testing.flips import HARMLESS, PASSPHRASE, SmallVault
from undivided.testing.vaults import contents
from undivided.vault.crypto import recipients
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

pytestmark = pytest.mark.slow

FLIPS = 1_000_000
_STEP = 512
_made: list[SmallVault] = []


@pytest.fixture(scope="module")
def small() -> Iterator[SmallVault]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipients, "_ITERATIONS", 1)
        patch.setattr(recipients, "_LANES", 1)
        patch.setattr(recipients, "_MEMORY_KIB", 8)
        _made.append(SmallVault())
        yield _made[0]
        _made.clear()


def _flip(part: tuple[str, int, int]) -> tuple[Counter[str], list[str]]:
    return _made[0].flips(*part)


def _kind(name: str) -> str:
    return name.partition("/")[0]


def test_every_kind_of_object_is_there_to_be_flipped(small: SmallVault) -> None:
    kinds = {_kind(name) for name in small.names}
    assert kinds == {"README", "vault.json", "keys", "epochs", "log", "packs", "index", "timeline"}
    entries = {entry.kind for entry in small.vault.log()}
    assert entries >= {"session", "point", "key", "epoch", "prune", "verification"}


def test_a_million_flipped_bits_are_each_noticed_or_harmless(small: SmallVault) -> None:
    parts = [
        (name, start, min(start + _STEP, len(small.objects[name])))
        for name in small.names
        for start in range(0, len(small.objects[name]), _STEP)
    ]
    random.Random(1).shuffle(parts)
    counts: Counter[str] = Counter()
    unnoticed: list[str] = []
    with multiprocessing.get_context("fork").Pool() as pool:
        for counted, silent in pool.imap_unordered(_flip, parts):
            counts += counted
            unnoticed += silent
    assert unnoticed == []
    assert counts.total() == 8 * sum(len(small.objects[name]) for name in small.names) >= FLIPS
    assert counts.keys() <= {"noticed", *HARMLESS}
    print(dict(counts))


def test_whole_points_are_right_or_refused_and_verification_names_the_object(small: SmallVault) -> None:
    rng = random.Random(2)
    stored = [name for name in small.names if _kind(name) in ("packs", "index", "timeline", "log")]
    for name in rng.sample(stored, min(40, len(stored))):
        whole = small.objects[name]
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        small.store.objects[name] = bytes(damaged)
        try:
            try:
                fresh = Vault.open(small.store, keys=small.vault.keys, passphrase=lambda: PASSPHRASE)
            except DamageError as error:
                assert name in str(error)
                continue
            for number, right in small.right.items():
                try:
                    assert contents(fresh, number) == right
                except DamageError as error:
                    assert name in str(error)
            report = verify(fresh, Scope(read_data=True))
            assert name in "".join([*(d.object for d in report.damaged), *report.notes])
        finally:
            small.store.objects = dict(small.objects)
