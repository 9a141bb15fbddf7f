"""Log records: one line each on standard error, from the requested level on, and never with a secret."""

from __future__ import annotations

import logging

import pytest

from undivided.cli import logs
from undivided.model.errors import UsageError
from undivided.testing.program import PASSPHRASE, Program


@pytest.fixture
def logger(monkeypatch):
    """The program's logger, put back afterwards."""
    monkeypatch.delenv("UNDIVIDED_LOG", raising=False)
    found = logging.getLogger("undivided")
    before = found.level, list(found.handlers), found.propagate
    found.handlers = []
    yield found
    level, found.handlers, found.propagate = before
    found.setLevel(level)


def test_a_record_is_one_line_with_level_logger_and_message(logger, capsys):
    logs.configure([])
    logging.getLogger("undivided.somewhere").warning("first\nsecond %s", "line")
    logging.getLogger("undivided.somewhere").info("not shown")
    assert capsys.readouterr().err == "WARNING undivided.somewhere: first\\nsecond line\n"


@pytest.mark.parametrize(
    ("words", "variable", "level"),
    [
        ([], None, logging.WARNING),
        (["protect", "portal", "--log-level", "debug"], None, logging.DEBUG),
        (["--log-level=info", "points"], "error", logging.INFO),
        (["points"], "ERROR", logging.ERROR),
        (["pin", "portal", "--", "--log-level", "debug"], None, logging.WARNING),
    ],
)
def test_the_level_comes_from_the_option_or_the_environment(logger, monkeypatch, words, variable, level):
    if variable:
        monkeypatch.setenv("UNDIVIDED_LOG", variable)
    logs.configure(words)
    assert logger.level == level


def test_an_unknown_level_is_refused_with_the_levels_there_are(logger):
    with pytest.raises(UsageError, match="--log-level: unknown level 'loud'") as caught:
        logs.configure(["points", "--log-level", "loud"])
    assert "debug, info, warning, error" in caught.value.hint


def test_the_option_stands_anywhere_and_a_wrong_one_is_a_usage_error(program: Program):
    program("init")
    assert program("points", "--log-level", "info")["points"] == []
    assert program.run("--log-level", "debug", "points").stdout.startswith("No points yet.")
    assert "HINT: Choose one of" in program.fails("points", "--log-level", "loud", code=2)
    assert "UNDIVIDED_LOG" in program.fails("points", code=2, UNDIVIDED_LOG="loud")


def test_a_damaged_catalog_is_a_warning_and_no_record_holds_the_passphrase(program: Program):
    program("init")
    (program.config / "state" / "catalog.db").write_bytes(b"not a database at all" * 300)
    said = program.run("points", "--log-level", "debug").stderr
    line = next(line for line in said.splitlines() if line.startswith("WARNING "))
    assert line.startswith("WARNING undivided.operations.workspace: ")
    assert line.endswith("the catalog is rebuilt from the vault")
    assert PASSPHRASE not in said
