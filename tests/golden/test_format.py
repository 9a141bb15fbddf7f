"""The stored format, pinned: a vault made once is read for ever, by the product and by a reader written from
the
document alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from independent_reader import IndependentReader, derive
from make_vault import CUT, FIRST, SECOND

from undivided.testing.vaults import contents, contents_one_by_one, protect
from undivided.vault.divide import cutter
from undivided.vault.keys import WriterKeys
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Head, Vault

HERE = Path(__file__).parent
VAULT = HERE / "vault-1"
GOLDEN = json.loads((HERE / "vault-1.json").read_text())
AFTER = {k: v for k, v in {**FIRST, **SECOND}.items() if k != b"empty"}
EXPECTED = {"first": FIRST, "second": AFTER, "third": AFTER}


@pytest.fixture(scope="module")
def independent() -> Iterator[IndependentReader]:
    yield IndependentReader(VAULT, GOLDEN["passphrase"])


def test_the_product_opens_the_golden_vault_by_passphrase_alone() -> None:
    vault = Vault.open(
        DirectoryStore(VAULT), passphrase=lambda: GOLDEN["passphrase"], head=Head(*GOLDEN["head"])
    )
    assert vault.keys == WriterKeys.decode(GOLDEN["writer_keys"].encode())
    assert vault.verify(read_data=True).damaged == []


@pytest.mark.parametrize("point", list(EXPECTED))
def test_the_product_reads_every_point_of_the_golden_vault(point: str) -> None:
    vault = Vault.open(DirectoryStore(VAULT), passphrase=lambda: GOLDEN["passphrase"])
    number = GOLDEN["points"][point]
    assert contents(vault, number, GOLDEN["timeline"]) == EXPECTED[point]
    assert contents_one_by_one(vault, number, GOLDEN["timeline"]) == EXPECTED[point]


@pytest.mark.parametrize("point", list(EXPECTED))
def test_a_reader_written_from_the_document_reads_the_same(
    independent: IndependentReader, point: str
) -> None:
    assert independent.files(GOLDEN["timeline"], GOLDEN["points"][point]) == EXPECTED[point]


def test_attributes_are_where_the_document_says(independent: IndependentReader) -> None:
    row = independent.state(GOLDEN["timeline"], GOLDEN["points"]["first"])[b"data/text"]
    assert (row["kind"], row["mode"], row["uid"], row["gid"]) == (1, 0o640, 1000, 1000)
    assert (row["mtime_ns"], row["size"], row["link"]) == (1_700_000_000_123_456_789, 3300, 0)


def test_a_pack_says_of_itself_what_the_index_says(independent: IndependentReader) -> None:
    for pack in {where[0] for where in independent.chunks.values()}:
        table, header = independent.footer(pack)
        assert len(bytes.fromhex(header["sealed"])) == 80
        ids = bytes(table["id"])
        assert {ids[i : i + 32] for i in range(0, len(ids), 32)} <= independent.chunks.keys()


def test_the_vectors_hold(independent: IndependentReader) -> None:
    assert independent.private.private_bytes_raw().hex() == GOLDEN["private"]
    assert list(independent.head) == GOLDEN["head"]
    session = bytes.fromhex(GOLDEN["derived_session"])
    for purpose, key in GOLDEN["derived"].items():
        assert derive(independent.structure, session, purpose).hex() == key


def test_a_vault_made_now_is_read_by_the_document_too(tmp_path: Path) -> None:
    vault = Vault.create(DirectoryStore(tmp_path / "v"), "p")
    files = {b"a/%d" % i: bytes([i]) * i * 1000 for i in range(40)}
    one = protect(vault, "one", files)
    two = protect(vault, "two", {b"new": b"new"}, [b"a/3"])
    reader = IndependentReader(tmp_path / "v", "p")
    assert reader.files("0123456789abcdef", one.number) == files
    assert reader.files("0123456789abcdef", two.number) == {
        **{k: v for k, v in files.items() if k != b"a/3"}, b"new": b"new",
    }  # fmt: skip


def test_every_label_in_the_document_is_one_that_is_used() -> None:
    text = (HERE.parent.parent / "docs" / "vault-format.md").read_text()
    labels = set(re.findall(r'"undivided/1 ([a-z ]*)"', text)) - {""}
    assert labels == {"content key", "writer keys", "recipient", "timeline"}


def test_chunk_boundaries_have_not_moved() -> None:
    """Moved cuts would still be readable, and store everything once more."""

    assert [c.length for c in cutter().cut_buf(CUT)][:6] == GOLDEN["cuts"]
