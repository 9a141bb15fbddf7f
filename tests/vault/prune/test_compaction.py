"""Compaction: fewer steps, the same states to the bit, and proof of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from undivided.model.columns import Array, Ragged
from undivided.model.entries import Entries, Entry
from undivided.model.errors import DamageError
from undivided.vault.format.timeline_segment import TimelineSegment, fold
from undivided.vault.log.heads import TimelineHead
from undivided.vault.prune.compaction import TimelineChange, composed, prove, steps_of


def segment(chance: random.Random, number: int) -> TimelineSegment:
    paths = sorted(chance.sample([b"p%03d" % i for i in range(40)], chance.randint(0, 12)))
    rows = [Entry(path, mode=number, size=chance.randrange(9), xattrs={b"a": b"b"}) for path in paths]
    content = [bytes([chance.randrange(256)]) * 32 * chance.randint(0, 3) for _ in rows]
    dropped = chance.sample([b"p%03d" % i for i in range(40)], chance.randint(0, 8))
    puts = Entries.of(rows, content)
    named = {chance.randrange(5): f"user{number}"}
    return TimelineSegment(
        Entries(**puts.columns(), users=named, groups=named),  # type: ignore[arg-type]
        Ragged.of(sorted(dropped)),
    )


def history(seed: int) -> tuple[dict[int, TimelineSegment], list[TimelineChange], set[int]]:
    chance = random.Random(seed)
    numbers = sorted(chance.sample(range(1, 100), chance.randint(1, 15)))
    segments = {number: segment(chance, number) for number in numbers}
    changes = [TimelineChange(number, TimelineHead(number), "") for number in numbers]
    return segments, changes, {number for number in numbers if chance.random() < 0.4}


@pytest.mark.parametrize("seed", range(100))
def test_every_kept_state_is_the_same_to_the_bit(seed: int) -> None:
    segments, changes, kept = history(seed)
    steps = steps_of(changes, kept)
    compact = [composed([segments[c.sequence] for c in step.changes]) for step in steps]
    assert {step.sequence for step in steps} == kept | {changes[-1].sequence}
    for number, step in enumerate(steps, 1):
        old = fold([segments[c.sequence] for c in changes if c.sequence <= step.sequence])
        assert state_digest(fold(compact[:number])) == state_digest(old)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_overwritten_between_two_kept_states_is_in_no_step(seed: int) -> None:
    segments, changes, kept = history(seed)
    states = []
    for step in steps_of(changes, kept):
        state = fold([segments[c.sequence] for c in changes if c.sequence <= step.sequence])
        states.append(set(zip(state.path, state.mode.tolist(), strict=True)))
        if step.merges:
            puts = composed([segments[c.sequence] for c in step.changes]).puts
            assert set(zip(puts.path, puts.mode.tolist(), strict=True)) <= states[-1]


def _flipped(column: Array) -> Array:
    changed = column.copy()
    changed.view(np.uint8)[-1] ^= 1
    return changed


def _without_last(segment: TimelineSegment) -> TimelineSegment:
    return replace(segment, puts=segment.puts.take(np.arange(len(segment.puts) - 1)))


WRONG: dict[str, Callable[[TimelineSegment], TimelineSegment]] = {
    "drops nothing": lambda s: replace(s, tombstones=Ragged.empty(0)),
    "drops one more": lambda s: replace(s, tombstones=Ragged.of([*s.tombstones, b"q"])),
    "puts one less": _without_last,
    "drops what it put": lambda s: TimelineSegment(
        _without_last(s).puts, Ragged.of([*s.tombstones, s.puts.path[len(s.puts) - 1]])
    ),
    "a bit of a mode": lambda s: replace(s, puts=replace(s.puts, mode=_flipped(s.puts.mode))),
    "a bit of the content": lambda s: replace(
        s, puts=replace(s.puts, content=Ragged(_flipped(s.puts.content.blob), s.puts.content.offsets))
    ),
    "a user's name": lambda s: replace(s, puts=replace(s.puts, users=dict.fromkeys(s.puts.users, "x"))),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_step_that_is_not_exact_is_found_out(wrong: str) -> None:
    found = 0
    for seed in range(30):
        segments, changes, kept = history(seed)
        for step in steps_of(changes, kept):
            old = [segments[c.sequence] for c in step.changes]
            exact = composed(old)
            prove("t", step.sequence, old, exact)
            if step.merges and len(exact.tombstones) and len(exact.puts.content.blob):
                found += 1
                with pytest.raises(DamageError, match=f"t differs at log entry {step.sequence}"):
                    prove("t", step.sequence, old, WRONG[wrong](exact))
    assert found > 20


def state_digest(state: Entries) -> str:
    return hashlib.sha256(state.encode(level=None)).hexdigest()
