from pathlib import Path

import pytest

from undivided.cli.fast_path import Protection, read


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["protect", "portal"], Protection("portal", None, False)),
        (["protect", "portal", "--json"], Protection("portal", None, True)),
        (["--json", "protect", "portal"], Protection("portal", None, True)),
        (["protect", "--config", "/c", "portal"], Protection("portal", Path("/c"), False)),
        (["protect", "portal", "--config=/c"], Protection("portal", Path("/c"), False)),
    ],
)
def test_the_plain_form_is_read(words, meant):
    assert read(words) == meant


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["protect"],
        ["protect", "a", "b"],
        ["protect", "--help"],
        ["protect", "portal", "--help"],
        ["protect", "portal", "--jsn"],
        ["protect", "portal", "--config"],
        ["protect", "portal", "--config", "--json"],
        ["points", "portal"],
    ],
)
def test_everything_else_is_left_to_the_library(words):
    assert read(words) is None
