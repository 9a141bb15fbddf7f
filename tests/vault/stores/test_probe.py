"""A store that breaks the contract is refused before a vault is made in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from undivided.model.errors import UsageError
from undivided.testing.s3 import Nanio
from undivided.testing.stores import Wrapper
from undivided.vault.stores.base import Buffer, Store, StoreError
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.stores.probe import probe
from undivided.vault.stores.registry import open_store


@pytest.fixture
def nanio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nanio]:
    with Nanio() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_server_that_ignores_conditional_writes_is_refused_with_the_reason(nanio: Nanio) -> None:
    store = open_store(nanio.url("portal"))
    with pytest.raises(UsageError) as refused:
        probe(store)
    assert "the store is not fit for a vault" in refused.value.cause
    assert "If-None-Match" in refused.value.hint
    assert list(store.list()) == []


class Overwriting(Wrapper):
    """One creator wins the first race, and every later creator overwrites."""

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        if b"".join(parts) == b"too late":
            self.delete(name)
        super().create(name, parts)


class LookingFirst(Wrapper):
    """Checks whether the name is free, and then takes it: another creator may come in between."""

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        try:
            self.size(name)
        except StoreError:
            time.sleep(0.02)
            self.delete(name)
        super().create(name, parts)


class Mixing(Wrapper):
    """Returns other bytes than the winner's."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return super().read(name, start, length)[::-1]


class Forgetful(Wrapper):
    """Its listings are out of date."""

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return iter(list(super().list(prefix))[1:])


class Clinging(Wrapper):
    """Keeps deleted objects."""

    def delete(self, name: str) -> None:
        pass


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Overwriting, "overwrote an existing object"),
        (LookingFirst, "concurrent writers create the same object"),
        (Mixing, "other bytes than the winner"),
        (Forgetful, "listing"),
        (Clinging, "deleted"),
    ],
)
def test_each_broken_promise_is_named(broken: type[Wrapper], reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        probe(broken(MemoryStore()))
    assert reason in refused.value.cause


def test_a_probe_that_cannot_run_raises_the_store_s_error() -> None:
    class Forbidden(Wrapper):
        def create(self, name: str, parts: Sequence[Buffer]) -> None:
            raise StoreError("access denied", doing=f"create {name}", hint="Check the keys.")

    store: Store = Forbidden(MemoryStore())
    with pytest.raises(StoreError, match="access denied"):
        probe(store)
