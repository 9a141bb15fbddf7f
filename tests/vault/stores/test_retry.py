"""A request is repeated after an error that may pass; a request that took effect is not done twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from undivided.testing.stores import Recording, Wrapper
from undivided.vault.stores.base import Buffer, ExistsError, MissingError, StoreError, TransientError
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.stores.retry import Retrying


class Failing(Wrapper):
    """The next `times` creates and reads fail. effective: whether a failed create still takes effect."""

    def __init__(
        self, times: int, *, effective: bool = False, error: type[StoreError] = TransientError
    ) -> None:
        super().__init__(Recording(MemoryStore()))
        self.times, self.effective, self.error = times, effective, error

    @property
    def creates(self) -> int:
        assert isinstance(self.beneath, Recording)
        return len(self.beneath.tried)

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        if self.times and not self.effective:
            self._fail()
        super().create(name, parts)
        if self.times:
            self._fail()

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        if self.times and not self.effective:
            self._fail()
        return super().read(name, start, length)

    def _fail(self) -> None:
        self.times -= 1
        raise self.error("the connection was lost", doing="ask")


def test_an_error_that_passes_is_hidden_and_the_waits_grow() -> None:
    waits: list[float] = []
    store = Retrying(Failing(5), sleep=waits.append, chance=lambda: 1.0)
    store.create("a", [b"1"])
    assert store.read("a") == b"1"
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_the_waits_are_random_and_have_a_limit() -> None:
    waits: list[float] = []
    store = Retrying(Failing(11), attempts=12, sleep=waits.append, chance=lambda: 0.0)
    store.create("a", [b"1"])
    assert waits[0] == 0.125
    assert waits[-1] == 15.0


def test_each_retry_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "undivided.vault.stores.retry")
    Retrying(Failing(2), sleep=lambda _: None, chance=lambda: 1.0).create("a", [b"1"])
    assert caplog.messages == [
        "ask: the connection was lost; attempt 2 of 10 in 0.2 s",
        "ask: the connection was lost; attempt 3 of 10 in 0.5 s",
    ]


def test_an_error_that_does_not_pass_is_raised_after_the_last_attempt() -> None:
    store = Retrying(Failing(100), attempts=4, sleep=lambda _: None)
    with pytest.raises(StoreError) as failed:
        store.read("a")
    assert "the connection was lost (4 attempts)" in failed.value.cause
    assert not isinstance(failed.value, TransientError)


@pytest.mark.parametrize("error", [StoreError, ExistsError, MissingError])
def test_an_error_that_cannot_pass_is_raised_at_once(error: type[StoreError]) -> None:
    waits: list[float] = []
    store = Retrying(Failing(1, error=error), sleep=waits.append)
    with pytest.raises(error):
        store.create("a", [b"1"])
    assert waits == []


def test_a_create_whose_answer_was_lost_is_read_back_not_repeated() -> None:
    beneath = Failing(1, effective=True)
    Retrying(beneath, sleep=lambda _: None).create("log/1", [b"our", b"s"])
    assert beneath.creates == 1
    assert beneath.read("log/1") == b"ours"


def test_other_bytes_under_the_name_after_a_lost_answer_are_an_existing_object() -> None:
    beneath = Failing(1)

    def another_is_quicker(_seconds: float) -> None:
        beneath.beneath.create("log/1", [b"theirs"])

    with pytest.raises(ExistsError):
        Retrying(beneath, sleep=another_is_quicker).create("log/1", [b"ours"])
    assert beneath.read("log/1") == b"theirs"


def test_a_truncated_upload_never_passes_for_ours() -> None:
    beneath = Failing(1)

    def half_arrives(_seconds: float) -> None:
        beneath.beneath.create("packs/aa/1", [b"ou"])

    with pytest.raises(ExistsError):
        Retrying(beneath, sleep=half_arrives).create("packs/aa/1", [b"ours"])
