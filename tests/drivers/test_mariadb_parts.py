"""Parts of the MariaDB driver that need no server: the stream, option files, the missing extra."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from undivided.drivers.mariadb.binlog import number
from undivided.drivers.mariadb.client import Login, pymysql
from undivided.drivers.mariadb.image import _Writer
from undivided.drivers.mariadb.server_facts import MariaDBFacts
from undivided.drivers.mariadb.xbstream import Piece, pieces
from undivided.model.entries import Kind
from undivided.model.errors import SourceError, UndividedError
from undivided.testing.memory import MemorySink


def chunk(kind: bytes, path: bytes, data: bytes = b"", offset: int = 0, *, flags: int = 0) -> bytes:
    head = b"XBSTCK01" + struct.pack("<BcI", flags, kind, len(path)) + path
    return head if kind == b"E" else head + struct.pack("<QQI", len(data), offset, zlib.crc32(data)) + data


def parsed(*chunks: bytes) -> list[Piece]:
    return list(pieces(io.BytesIO(b"".join(chunks))))


def test_files_come_apart_also_when_their_pieces_lie_between_each_other() -> None:
    assert parsed(
        chunk(b"P", b"./db/a", b"one"),
        chunk(b"P", b"b", b"two"),
        chunk(b"P", b"db/a", b"more", 3),
        chunk(b"E", b"b"),
        chunk(b"E", b"db/a"),
        chunk(b"E", b"empty"),
    ) == [
        Piece(b"db/a", b"one"),
        Piece(b"b", b"two"),
        Piece(b"db/a", b"more"),
        Piece(b"b", None),
        Piece(b"db/a", None),
        Piece(b"empty", None),
    ]


@pytest.mark.parametrize(
    ("stream", "cause"),
    [
        (chunk(b"P", b"a", b"one")[:-1], "ends inside a chunk"),
        (chunk(b"P", b"a", b"one")[:5], "ends inside a chunk"),
        (chunk(b"P", b"a", b"one"), "has no end"),
        (chunk(b"P", b"a", b"one") + chunk(b"P", b"a", b"two", 4), "has a gap at 3"),
        (chunk(b"P", b"a", b"one")[:-1] + b"X" + chunk(b"E", b"a"), "does not match its checksum"),
        (chunk(b"E", b"a") + chunk(b"P", b"a", b"one"), "has a gap"),
        (chunk(b"E", b"a") + chunk(b"E", b"a"), "ends twice"),
        (chunk(b"S", b"a", b"one"), "chunk of type b'S'"),
        (chunk(b"P", b"../a", b"one"), "outside the data directory"),
        (chunk(b"P", b"/a", b"one"), "outside the data directory"),
        (chunk(b"P", b"a/../../b", b"one"), "outside the data directory"),
        (b"<html>no stream at all</html>", "not in the mbstream format"),
    ],
)
def test_a_stream_that_is_not_whole_and_sound_is_an_error(stream: bytes, cause: str) -> None:
    with pytest.raises(SourceError, match=cause):
        parsed(stream)


def test_chunks_that_may_be_ignored_are() -> None:
    assert parsed(chunk(b"X", b"a", b"new", flags=1), chunk(b"P", b"a", b"one"), chunk(b"E", b"a")) == [
        Piece(b"a", b"one"),
        Piece(b"a", None),
    ]


def test_an_image_is_put_file_by_file_whatever_the_order_of_its_pieces(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir(mode=0o750)
    facts = MariaDBFacts("10.11.1", str(tmp_path), None, {}, None, started=0, statements=False)
    sink = MemorySink()
    writer = _Writer(sink, facts)
    writer.take(
        iter(
            parsed(
                chunk(b"P", b"ib_logfile0", b"redo1"),
                chunk(b"P", b"db/a.ibd", b"one"),
                chunk(b"P", b"ib_logfile0", b"redo2", 5),
                chunk(b"P", b"db/b.ibd", b"two"),
                chunk(b"P", b"db/a.ibd", b"more", 3),
                chunk(b"E", b"db/b.ibd"),
                chunk(b"E", b"db/a.ibd"),
                chunk(b"E", b"empty"),
                chunk(b"P", b"xtrabackup_binlog_info", b"/var/log/bin.000007\t1234\t0-1-9\n"),
                chunk(b"E", b"xtrabackup_binlog_info"),
                chunk(b"E", b"ib_logfile0"),
            )
        )
    )

    assert {path: data for path, data in sink.data.items() if sink.rows[path].kind == Kind.FILE} == {
        b"data/db/a.ibd": b"onemore",
        b"data/db/b.ibd": b"two",
        b"data/empty": b"",
        b"data/ib_logfile0": b"redo1redo2",
        b"data/xtrabackup_binlog_info": b"/var/log/bin.000007\t1234\t0-1-9\n",
    }
    assert sink.rows[b"data/db"].kind == Kind.DIRECTORY
    assert sink.rows[b"data/db"].mode == 0o750
    image = writer.image("take an image")
    assert (image.file, image.offset) == ("bin.000007", 1234)


@pytest.mark.skipif(shutil.which("my_print_defaults") is None, reason="my_print_defaults is not installed")
@pytest.mark.parametrize(
    "password", ["plain", 'a"b', "a b#c", "\\n\\", "'quoted'", "ümläut", "x;y=z", "\ttab"]
)
def test_an_option_file_holds_exactly_the_password_and_only_for_us(password: str) -> None:
    with Login("me", socket="/run/my sql.sock", password=password).option_file() as path:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        said = subprocess.run(
            ["my_print_defaults", f"--defaults-file={path}", "client"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert said.stdout.splitlines() == ["--user=me", "--socket=/run/my sql.sock", f"--password={password}"]
    assert not os.path.exists(path)


def test_a_password_is_not_shown_with_the_login() -> None:
    assert "hidden" not in repr(Login("me", password="hidden"))


def test_a_missing_client_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(UndividedError) as failure:
        pymysql()
    assert "undivided[mariadb]" in failure.value.hint


def test_logs_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["bin.1000000", "bin.999999", "bin.000002"], key=number) == [
        "bin.000002",
        "bin.999999",
        "bin.1000000",
    ]
