"""Between us and a real S3 server stands one that delays, drops, cuts and lies.

What passes is waited for; what was cut short is never called stored; what is not what was stored is never
taken for it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from undivided.model.errors import DamageError, UndividedError
from undivided.testing.proxy import Choice, Fault, Proxy
from undivided.testing.s3 import SeaweedFS
from undivided.testing.vaults import contents, protect
from undivided.vault.stores.base import Store, StoreError, TransientError
from undivided.vault.stores.registry import open_store
from undivided.vault.stores.s3 import S3Store
from undivided.vault.vault import Vault
from undivided.vault.verify import verify

PASSPHRASE = "correct horse battery staple"
LARGE = os.urandom(3 << 20)
_count = itertools.count()
Stand = Callable[[Choice], tuple[Proxy, str]]


@pytest.fixture
def between(seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """A proxy with a fault, and the prefix that this test has to itself."""
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    opened: list[Proxy] = []

    def stand(fault: Choice) -> tuple[Proxy, str]:
        proxy = Proxy(seaweed, fault)
        opened.append(proxy)
        return proxy, f"lying/{next(_count)}"

    yield stand
    for proxy in opened:
        proxy.__exit__(None, None, None)


def once(fault: Fault, method: str, part: str) -> Choice:
    """The fault strikes the first such request that touches such an object."""
    left = [fault]
    return lambda m, path, _: left.pop() if left and m == method and part in path else Fault.NONE


def always(fault: Fault, method: str, part: str) -> Choice:
    return lambda m, path, _: fault if m == method and part in path else Fault.NONE


def bare(url: str) -> Store:
    """Without waiting between attempts."""
    store = open_store(url)
    inner = getattr(store, "_beneath", store)
    assert isinstance(inner, S3Store)
    return inner


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST])
@pytest.mark.parametrize("part", ["log/", "packs/", "index/", "timeline/"])
def test_a_point_is_made_although_an_answer_was_lost(between: Stand, fault: Fault, part: str) -> None:
    proxy, prefix = between(once(fault, "PUT", part))
    vault = Vault.create(open_store(proxy.url(prefix)), PASSPHRASE)
    protect(vault, "p1", {b"a": LARGE, b"b": b"small"})
    assert contents(vault, vault.head.number) == {b"a": LARGE, b"b": b"small"}
    assert any(method == "PUT" and part in path for method, path in proxy.requests)


@pytest.mark.parametrize("fault", [Fault.CUT_ON_THE_WAY, Fault.CHANGED_ON_THE_WAY])
@pytest.mark.parametrize("data", [LARGE, b"small"])
def test_an_upload_that_was_damaged_on_the_way_is_refused_and_nothing_is_stored(
    between: Stand, fault: Fault, data: bytes
) -> None:
    proxy, prefix = between(once(fault, "PUT", "packs/"))
    store = bare(proxy.url(prefix))
    with pytest.raises(StoreError):
        store.create("packs/aa/a", [data])
    assert list(store.list()) == []
    store.create("packs/aa/a", [data])
    assert store.read("packs/aa/a") == data


@pytest.mark.parametrize("data", [LARGE, b"small"])
def test_an_interrupted_upload_leaves_nothing_under_the_name_and_is_taken_up_again(
    between: Stand, data: bytes
) -> None:
    proxy, prefix = between(once(Fault.INTERRUPTED, "PUT", "packs/"))
    store = bare(proxy.url(prefix))
    with pytest.raises(TransientError):
        store.create("packs/aa/a", [data])
    assert list(store.list()) == []
    proxy.fault = once(Fault.INTERRUPTED, "PUT", "packs/")
    open_store(proxy.url(prefix)).create("packs/aa/a", [data])
    assert store.read("packs/aa/a") == data


def test_a_large_object_of_which_half_was_kept_is_not_called_stored(between: Stand) -> None:
    proxy, prefix = between(once(Fault.KEPT_HALF, "PUT", "packs/"))
    with pytest.raises(StoreError, match=r"kept .* of .* bytes"):
        bare(proxy.url(prefix)).create("packs/aa/a", [LARGE])


def test_no_point_is_acknowledged_whose_pack_was_cut_short_and_the_next_one_is_whole(between: Stand) -> None:
    proxy, prefix = between(once(Fault.KEPT_HALF, "PUT", "packs/"))
    vault = Vault.create(open_store(proxy.url(prefix)), PASSPHRASE)
    with pytest.raises(UndividedError, match=r"kept .* of .* bytes"):
        protect(vault, "p1", {b"a": LARGE})
    assert all(entry.kind != "point" for entry in vault.log())
    protect(vault, "p2", {b"a": LARGE})
    assert contents(vault, vault.head.number) == {b"a": LARGE}


def test_a_small_pack_cut_short_is_found_by_verify_and_stored_again_by_the_next_point(between: Stand) -> None:
    proxy, prefix = between(once(Fault.KEPT_HALF, "PUT", "packs/"))
    vault = Vault.create(open_store(proxy.url(prefix)), PASSPHRASE)
    protect(vault, "p1", {b"a": b"small" * 1000})
    report = verify(vault)
    assert [damage.object.startswith("packs/") for damage in report.damaged] == [True]
    protect(vault, "p2", {b"a": b"small" * 1000, b"b": b"new"})
    assert contents(vault, vault.head.number)[b"a"] == b"small" * 1000


@pytest.mark.parametrize("fault", [Fault.ANSWER_CUT, Fault.LOST, Fault.REFUSED])
def test_a_download_that_breaks_off_is_asked_for_again(between: Stand, fault: Fault) -> None:
    proxy, prefix = between(once(fault, "GET", "/o"))
    store = open_store(proxy.url(prefix))
    store.create("o", [LARGE])
    assert store.read("o") == LARGE
    assert store.read("o", 1000, 2 << 20) == LARGE[1000 : 1000 + (2 << 20)]


def test_half_an_answer_is_never_taken_for_the_range_that_was_asked_for(between: Stand) -> None:
    proxy, prefix = between(always(Fault.ANSWER_SHORT, "GET", "/o"))
    store = bare(proxy.url(prefix))
    store.create("o", [LARGE])
    with pytest.raises(StoreError):
        store.read("o", 1000, 2 << 20)


@pytest.mark.parametrize("part", ["packs/", "index/", "timeline/", "log/"])
def test_a_changed_answer_is_damage_never_data(between: Stand, part: str) -> None:
    proxy, prefix = between(lambda *_: Fault.NONE)
    vault = Vault.create(open_store(proxy.url(prefix)), PASSPHRASE)
    protect(vault, "p1", {b"a": LARGE})
    proxy.fault = always(Fault.ANSWER_CHANGED, "GET", part)
    with pytest.raises(DamageError):
        again = Vault.open(open_store(proxy.url(prefix)), passphrase=lambda: PASSPHRASE)
        contents(again, again.head.number)
    proxy.fault = lambda *_: Fault.NONE
    again = Vault.open(open_store(proxy.url(prefix)), passphrase=lambda: PASSPHRASE)
    assert contents(again, again.head.number) == {b"a": LARGE}


def test_a_listing_that_breaks_off_raises_and_never_just_ends(between: Stand) -> None:
    proxy, prefix = between(lambda *_: Fault.NONE)
    store = bare(proxy.url(prefix))
    for name in ("a/1", "a/2"):
        store.create(name, [b"x"])
    proxy.fault = always(Fault.ANSWER_CUT, "GET", "list-type")
    with pytest.raises(StoreError):
        list(store.list())
