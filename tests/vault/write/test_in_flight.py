"""What a session has claimed, against a plain set."""

from __future__ import annotations

import random

import numpy as np
import pytest

from undivided.vault.write import in_flight as module
from undivided.vault.write.in_flight import InFlightChunks


@pytest.mark.parametrize("seed", range(20))
def test_every_chunk_is_fresh_exactly_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LATEST", 5)
    monkeypatch.setattr(module, "_LARGEST", 20)
    rng = random.Random(seed)
    pool = [bytes([rng.randrange(3)]) * 8 + rng.randbytes(24) for _ in range(150)]
    claims, plain = InFlightChunks(), set[bytes]()
    for _ in range(60):
        batch = [rng.choice(pool) for _ in range(rng.randint(0, 8))]
        among = [i for i in range(len(batch)) if rng.random() < 0.8]
        expected = []
        for i in among:
            if batch[i] not in plain:
                plain.add(batch[i])
                expected.append(i)
        assert claims.take(b"".join(batch), among) == expected
        assert len(claims) == len(plain)
        ids = np.frombuffer(b"".join(pool), np.uint8).reshape(-1, 32)
        assert claims.has(ids).tolist() == [chunk in plain for chunk in pool]
    assert claims.has(np.zeros((0, 32), np.uint8)).tolist() == []
