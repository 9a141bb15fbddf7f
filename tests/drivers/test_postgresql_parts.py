"""What the PostgreSQL driver works out without a server."""

from __future__ import annotations

import sys

import pytest

from undivided.drivers.postgresql.configuration import overrides
from undivided.drivers.postgresql.image import read_label
from undivided.drivers.postgresql.server import lsn, lsn_text, psycopg2
from undivided.drivers.postgresql.session import restore_point_name
from undivided.drivers.postgresql.slot import slot_name
from undivided.drivers.postgresql.sync_hold import ended_between, with_standby
from undivided.drivers.postgresql.wal import segment_name
from undivided.model.errors import UndividedError
from undivided.model.service import Component

MIB = 1 << 20


@pytest.mark.parametrize("text", ["0/0", "0/16B3740", "1/0", "FFFFFFFF/FFFFFFFF"])
def test_positions_read_and_write_alike(text: str) -> None:
    assert lsn_text(lsn(text)) == text


def test_positions_are_ordered_across_the_32_bit_border() -> None:
    assert lsn("0/FFFFFFFF") + 1 == lsn("1/0")


@pytest.mark.parametrize(
    ("position", "timeline", "size", "name"),
    [
        ("0/2000028", 1, 16 * MIB, "000000010000000000000002"),
        ("0/FF000000", 1, 16 * MIB, "0000000100000000000000FF"),
        ("1/0", 3, 16 * MIB, "000000030000000100000000"),
        ("1/80000000", 1, 1024 * MIB, "000000010000000100000002"),
        ("0/100000", 1, MIB, "000000010000000000000001"),
    ],
)
def test_segments_are_named_as_the_server_names_them(
    position: str, timeline: int, size: int, name: str
) -> None:
    assert segment_name(lsn(position), timeline, size) == name


def test_the_backup_label_states_where_the_log_must_begin() -> None:
    label = (
        "START WAL LOCATION: 0/9000028 (file 000000020000000000000009)\n"
        "CHECKPOINT LOCATION: 0/9000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n"
        "START TIME: 2026-01-01 00:00:00 UTC\nLABEL: undivided\nSTART TIMELINE: 2\n"
    )
    assert read_label(label) == (lsn("0/9000028"), 2)


@pytest.mark.parametrize(
    ("setting", "with_us"),
    [
        ("", "FIRST 1 (us)"),
        ("a", "FIRST 2 (us, a)"),
        ("a, b", "FIRST 2 (us, a, b)"),
        ("*", "FIRST 2 (us, *)"),
        ('2 (a, "b c")', 'FIRST 3 (us, a, "b c")'),
        ("FIRST 1 (a, b)", "FIRST 2 (us, a, b)"),
        ("first 2 (a,b,c)", "FIRST 3 (us, a,b,c)"),
        ("ANY 1 (a, b)", None),
    ],
)
def test_a_hold_waits_for_all_that_was_waited_for_before(setting: str, with_us: str | None) -> None:
    assert with_standby(setting, "us") == with_us


@pytest.mark.parametrize(
    ("before", "now", "ended"),
    [
        ("10:10:", "10:10:", set()),
        ("10:14:10,12", "12:17:12,15", {14, 16}),
        ("10:12:10,11", "10:12:10,11", set()),
        ("10:10:", "12:12:", {10, 11}),
    ],
)
def test_transactions_begun_and_ended_between_snapshots_are_reported(
    before: str, now: str, ended: set[int]
) -> None:
    assert ended_between(before, now) == ended


def test_restore_points_are_never_named_alike_and_fit() -> None:
    names = {restore_point_name("x" * 200) for _ in range(10)}
    assert len(names) == 10
    assert all(len(name.encode()) <= 63 for name in names)


def test_slots_have_names_the_server_takes() -> None:
    name = slot_name("Orders-DB (main) " + "x" * 100, "/var/lib/postgresql/15/main")
    assert len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert name != slot_name("Orders-DB (main) " + "x" * 100, "/elsewhere")


def test_a_recovered_server_listens_where_its_options_say() -> None:
    state = {"settings": {"listen_addresses": "10.0.0.1", "unix_socket_directories": "/nowhere, /tmp"}}
    chosen = overrides(state, Component("db", "postgresql", {"port": 5433}))
    assert chosen["port"] == "5433"
    assert chosen["listen_addresses"] == "127.0.0.1"
    assert chosen["unix_socket_directories"] == "/tmp"
    assert chosen["archive_mode"] == "off"


def test_a_recovered_server_keeps_listening_everywhere_if_it_did() -> None:
    state = {"settings": {"listen_addresses": "*"}}
    assert overrides(state, Component("db", "postgresql", {}))["listen_addresses"] == "*"


def test_a_missing_client_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(UndividedError) as caught:
        psycopg2()
    assert "undivided[postgresql]" in caught.value.hint
