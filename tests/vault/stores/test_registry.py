"""One line is the whole address of a vault, and it holds no secret."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from undivided.model.errors import UsageError
from undivided.vault.stores.address import Address
from undivided.vault.stores.base import parallel, uncached
from undivided.vault.stores.cache import Cached
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.stores.limit import Limited
from undivided.vault.stores.registry import open_store
from undivided.vault.stores.retry import Retrying


def test_a_path_is_a_directory_whatever_it_looks_like(tmp_path: Path) -> None:
    for text in ("/a/b", "a/b:c", "relative", "/with?question=mark"):
        store = open_store(text)
        assert isinstance(store, DirectoryStore)
        assert store.path == str(Path(text).absolute())
    assert open_store("file:///a%20b").url == "/a b"


def test_a_distant_store_gets_retries_and_a_cache(tmp_path: Path) -> None:
    store = open_store("s3://bucket/prefix?region=eu-west-1", tmp_path)
    assert isinstance(store, Cached)
    assert isinstance(uncached(store), Retrying)
    assert parallel(store) > 2
    assert store.url == "s3://bucket/prefix?region=eu-west-1"
    assert isinstance(open_store("s3://bucket?cache=0", tmp_path), Retrying)
    assert list(tmp_path.iterdir()) == []


def test_two_vaults_have_separate_caches(tmp_path: Path) -> None:
    for text in ("s3://bucket/one", "s3://bucket/two", "s3://other/one"):
        open_store(text, tmp_path)._keep("index/a", b"x")  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) == 3


def test_every_kind_of_store_can_be_limited() -> None:
    assert isinstance(open_store("file:///mnt/nfs?upload=20M&requests=100"), Limited)


def test_sizes_may_have_units() -> None:
    address = Address.of("s3://b/p?upload=20M&download=1.5K&requests=7")
    assert [address.size(name) for name in ("upload", "download", "requests", "cache")] == [
        20 << 20,
        1536,
        7,
        None,
    ]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("ftp://host/path", "ftp"),
        ("s3://bucket/p?regoin=x", "regoin"),
        ("s3://bucket/p?upload=fast", "upload=fast"),
        ("s3://bucket/p?region=a&region=b", "twice"),
        ("s3:///prefix", "no bucket"),
        ("sftp://host", "names no path"),
        ("file:///a?endpoint=x", "endpoint"),
        ("s3://bucket/p?region", "not a valid URL"),
    ],
)
def test_an_invalid_address_is_refused_with_the_reason(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_store(text)
    assert cause in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("address", "client", "extra"),
    [("s3://bucket/p", "obstore", "undivided[s3]"), ("sftp://host/p", "asyncssh", "undivided[sftp]")],
)
def test_a_missing_client_is_named_with_the_way_to_install_it(
    address: str, client: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(UsageError) as missing:
        open_store(address).size("a")
    assert "not installed" in missing.value.cause
    assert extra in missing.value.hint


@pytest.mark.parametrize("text", ["s3://KEY:hush@bucket/p", "s3://hush@bucket/p", "sftp://me:hush@host/p"])
def test_an_address_with_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_store(text)
    assert "hush" not in str(refused.value)
    assert "password" in refused.value.cause
