"""The stored format, pinned: a vault that was made once stays readable, by the product and by the reader in
tools/, which was written from the document and shares no code with the product."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from make_vault import CUT, FIRST, FOURTH, PASSPHRASE, SECOND, TIMELINE
from read_vault import Vault as Independent
from read_vault import derive, key_of_file, main

from undivided.testing.vaults import contents, contents_one_by_one, protect
from undivided.vault.keys import WriterKeys, decode_key
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Head, Vault
from undivided.vault.verify import Scope, verify
from undivided.vault.write.chunker import cutter

HERE = Path(__file__).parent
VAULT = HERE / "vault-1"
READER = HERE.parent.parent / "tools" / "read_vault.py"
GOLDEN = json.loads((HERE / "vault-1.json").read_text())
THIRD = {k: v for k, v in {**FIRST, **SECOND}.items() if k != b"empty"}
EXPECTED = {"first": FIRST, "third": THIRD, "fourth": {**THIRD, **FOURTH}}


def files(vault: Independent, at: int, timeline: str = TIMELINE) -> dict[bytes, bytes]:
    return {path: b"".join(vault.content(row)) for path, row in vault.state(timeline, at).items()}


@pytest.fixture(scope="module")
def independent() -> Iterator[Independent]:
    yield Independent(VAULT, GOLDEN["passphrase"])


@pytest.fixture(scope="module")
def product() -> Vault:
    """A copy, because a verification adds its record to the log."""
    store = MemoryStore()
    for name, _ in DirectoryStore(VAULT).list():
        store.create(name, [DirectoryStore(VAULT).read(name)])
    return Vault.open(store, passphrase=lambda: GOLDEN["passphrase"], head=Head(*GOLDEN["head"]))


def test_the_product_opens_the_golden_vault_with_any_one_secret(product: Vault) -> None:
    assert product.keys == WriterKeys.decode(GOLDEN["writer_keys"].encode())
    assert verify(product, Scope(read_data=True)).damaged == []
    by_file = Vault.open(DirectoryStore(VAULT), passphrase=lambda: decode_key(GOLDEN["key_file"]))
    assert by_file.keys == product.keys


@pytest.mark.parametrize("point", list(EXPECTED))
def test_the_product_reads_every_point_of_the_golden_vault(product: Vault, point: str) -> None:
    number = GOLDEN["points"][point]
    assert contents(product, number, TIMELINE) == EXPECTED[point]
    assert contents_one_by_one(product, number, TIMELINE) == EXPECTED[point]


@pytest.mark.parametrize("point", list(EXPECTED))
def test_a_reader_written_from_the_document_reads_the_same(independent: Independent, point: str) -> None:
    assert independent.points()[point] == GOLDEN["points"][point]
    assert files(independent, GOLDEN["points"][point]) == EXPECTED[point]


def test_it_lists_no_expired_point(independent: Independent) -> None:
    assert list(independent.points()) == list(EXPECTED)


def test_attributes_are_where_the_document_puts_them(independent: Independent) -> None:
    row = independent.state(TIMELINE, GOLDEN["points"]["first"])[b"data/text"]
    assert (row["kind"], row["mode"], row["uid"], row["gid"]) == (1, 0o640, 1000, 1000)
    assert (row["mtime_ns"], row["size"], row["link"]) == (1_700_000_000_123_456_789, 3300, 0)


def test_the_footers_of_packs_agree_with_the_index(independent: Independent) -> None:
    sessions = set()
    for pack in (VAULT / "packs").glob("*/*"):
        table, header = independent.footer(pack.name)
        sessions.add(len(header["sessions"]))
        ids = table["id"].tobytes()
        for i in range(0, len(ids), 32):
            assert pack.name in {place.pack for place in independent._places(ids[i : i + 32])}
    assert max(sessions) > 1, "the golden vault must have a pack with frames of several sessions"


def test_the_vectors_hold(independent: Independent) -> None:
    assert [private.private_bytes_raw().hex() for private in independent._private] == GOLDEN["private"]
    assert [len(independent.log), independent.head] == GOLDEN["head"]
    session = bytes.fromhex(GOLDEN["derived_session"])
    for purpose, key in GOLDEN["derived"].items():
        assert derive(independent.epochs[-1].structure, session, purpose).hex() == key
    own, theirs = key_of_file(GOLDEN["key_file"]), decode_key(GOLDEN["key_file"])
    assert own.private_bytes_raw() == theirs.private_bytes_raw()


def test_a_new_vault_is_read_by_the_independent_reader_too(tmp_path: Path) -> None:
    vault = Vault.create(DirectoryStore(tmp_path / "v"), "p")
    made = {b"a/%d" % i: bytes([i]) * i * 1000 for i in range(40)}
    one = protect(vault, "one", made)
    two = protect(vault, "two", {b"new": b"new"}, [b"a/3"])
    reader = Independent(tmp_path / "v", "p")
    assert files(reader, one.number, "0123456789abcdef") == made
    left = {k: v for k, v in made.items() if k != b"a/3"}
    assert files(reader, two.number, "0123456789abcdef") == {**left, b"new": b"new"}


def test_the_reader_needs_nothing_of_the_product() -> None:
    tree = ast.parse(READER.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert packages == {"blake3", "cryptography", "zstandard"}


def test_it_extracts_a_point_by_passphrase_or_key_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(GOLDEN["key_file"])
    given: list[tuple[list[str], dict[str, str]]] = [
        ([], {"UNDIVIDED_PASSPHRASE": PASSPHRASE}), (["--key-file", str(key)], {}),
    ]  # fmt: skip
    for number, (options, environment) in enumerate(given):
        into = tmp_path / str(number)
        subprocess.run(
            [sys.executable, "-I", READER, VAULT, *options, "extract", "fourth", into],
            env={**os.environ, **environment}, check=True, capture_output=True,
        )  # fmt: skip
        for path, data in EXPECTED["fourth"].items():
            place = os.path.join(os.fsencode(into / "site"), path)
            assert Path(os.fsdecode(place)).read_bytes() == data
            assert os.stat(place).st_mtime_ns == 1_700_000_000_123_456_789
            assert os.stat(place).st_mode & 0o7777 == 0o640


def test_it_reports_a_wrong_secret_and_a_missing_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDIVIDED_PASSPHRASE", "another")
    assert main([str(VAULT), "points"]) == 1
    assert "does not open" in capsys.readouterr().err
    monkeypatch.setenv("UNDIVIDED_PASSPHRASE", PASSPHRASE)
    assert main([str(VAULT), "extract", "second", str(tmp_path / "x")]) == 1
    assert "no point 'second'" in capsys.readouterr().err


def test_the_document_and_the_reader_use_the_same_labels() -> None:
    text = (HERE.parent.parent / "docs" / "vault-format.md").read_text()
    documented = {label.strip() for label in re.findall(r'"undivided/1 ([a-z ]+)"', text)}
    code = READER.read_text()
    used = {label.strip() for label in re.findall(r'b"undivided/1 ([a-z ]+)"', code)}
    used |= set(re.findall(r'unseal\(.*"([a-z ]+)", self', code))
    assert documented - {"signing key"} == used


def test_chunk_boundaries_have_not_moved() -> None:
    """Data cut in other places would still be readable, but it would all be stored again."""
    assert [c.length for c in cutter().cut_buf(CUT)][:6] == GOLDEN["cuts"]
