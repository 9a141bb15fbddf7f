"""Folding segments, compared with the simple rule, segment by segment."""

from __future__ import annotations

import random

import pytest

from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Entry, merge
from undivided.model.errors import DamageError
from undivided.vault.format.timeline_segment import TimelineSegment, chained_digest, fold


def _segment(puts: dict[bytes, int], drop: list[bytes]) -> TimelineSegment:
    return TimelineSegment(Entries.of([Entry(p, size=s) for p, s in puts.items()]), Ragged.of(drop))


def test_folding_equals_applying_one_segment_after_another() -> None:
    rng = random.Random(5)
    paths = [b"p%d" % i for i in range(30)]
    segments, state = [], Entries.none()
    for step in range(40):
        puts = dict.fromkeys(rng.sample(paths, rng.randint(0, 6)), step)
        segment = _segment(puts, rng.sample(paths, rng.randint(0, 4)))
        segments.append(segment)
        state = merge(state, segment.puts, segment.tombstones)
        folded = fold(segments)
        assert folded.path.tolist() == state.path.tolist()
        assert folded.size.tolist() == state.size.tolist()


def test_a_segment_survives_its_bytes_and_belongs_to_its_timeline() -> None:
    segment = _segment({b"a": 1, b"b": 2}, [b"c"])
    block = segment.encode("t1")
    again = TimelineSegment.decode(block, "t1", "x")
    assert again.puts.path.tolist() == [b"a", b"b"]
    assert again.tombstones.tolist() == [b"c"]
    with pytest.raises(DamageError, match="another timeline"):
        TimelineSegment.decode(block, "t2", "x")


def test_the_digest_depends_on_the_whole_history() -> None:
    one, two = (_segment({b"a": i}, []).encode("t") for i in range(2))
    assert chained_digest("t", chained_digest("t", "", one), two) != chained_digest(
        "t", chained_digest("t", "", two), one
    )
    assert chained_digest("t", "", one) != chained_digest("u", "", one)
