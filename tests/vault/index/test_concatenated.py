"""Several arrays, compared with the single array that they represent."""

from __future__ import annotations

import random

import numpy as np
import pytest

from undivided.vault.index.concatenated import ConcatenatedArray


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_read_as_if_they_were_one_array(seed: int) -> None:
    rng = random.Random(seed)
    parts = [
        np.array([rng.randrange(1000) for _ in range(rng.randint(0, 6))], "<u4") for _ in range(seed % 5 + 1)
    ]
    shifts = [rng.randrange(3) * 100 for _ in parts]
    for own in (None, shifts):
        whole = np.concatenate(
            [p + np.uint32(s) for p, s in zip(parts, own or [0] * len(parts), strict=True)]
        )
        joined = ConcatenatedArray(parts, own)
        places = (
            np.array([rng.randrange(len(whole)) for _ in range(30)], np.int64)
            if len(whole)
            else np.zeros(0, int)
        )
        assert len(joined) == len(whole)
        assert joined[places].tolist() == whole[places].tolist()
        assert [joined[int(place)] for place in places] == whole[places].tolist()


def test_without_parts_it_is_empty() -> None:
    assert len(ConcatenatedArray([])) == 0
    assert ConcatenatedArray([])[np.zeros(0, np.int64)].tolist() == []
