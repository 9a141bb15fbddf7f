from __future__ import annotations

import pytest

from undivided.host.names import ROOT, ancestors_of, first_few, is_proper, parent_of, shown


@pytest.mark.parametrize("path", [b"a", b"a/b", b".hidden", b"..a", b"a..", b"\xff", b"a b", b"..."])
def test_a_path_of_plain_components_is_proper(path: bytes) -> None:
    assert is_proper(path)


@pytest.mark.parametrize(
    "path", [b"", b".", b"..", b"/a", b"a/", b"a//b", b"a/../b", b"../a", b"a/..", b"a/.", b"a\0b"]
)
def test_a_path_that_could_lead_elsewhere_is_not_proper(path: bytes) -> None:
    assert not is_proper(path)


def test_a_path_that_is_not_utf_8_is_shown_with_escapes() -> None:
    assert shown(b"caf\xc3\xa9/\xff") == "café/\\xff"


def test_parents_and_ancestors_end_at_the_root() -> None:
    assert (parent_of(b"a/b"), parent_of(b"a")) == (b"a", ROOT)
    assert (ancestors_of(b"a/b/c"), ancestors_of(b"a")) == ([b"a/b", b"a"], [])


def test_many_names_are_shortened_to_the_first_few_and_a_number() -> None:
    assert first_few([b"a", b"b"]) == "a, b"
    assert first_few([b"a", b"b", b"c"], 2) == "a, b and 1 more"
