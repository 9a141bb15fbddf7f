"""Patterns mean what people know from .gitignore."""

from __future__ import annotations

import subprocess
import sys

import pytest

from undivided.model.errors import UsageError
from undivided.tree.patterns import Patterns

CASES = [
    # pattern, path, is a directory, excluded
    ("*.tmp", b"a.tmp", False, True),
    ("*.tmp", b"deep/er/a.tmp", False, True),
    ("*.tmp", b"a.tmpx", False, False),
    ("*", b"anything", False, True),
    ("/top", b"top", False, True),
    ("/top", b"deep/top", False, False),
    ("cache/", b"cache", True, True),
    ("cache/", b"cache", False, False),
    ("cache/", b"deep/cache", True, True),
    ("cache/**", b"cache", True, False),
    ("cache/**", b"cache/x", False, True),
    ("cache/**", b"cache/x", True, True),
    ("cache/**", b"deep/cache/x", False, False),
    ("a/b", b"a/b", False, True),
    ("a/b", b"x/a/b", False, False),
    ("a/*", b"a/b/c", False, False),
    ("a/*", b"a/b", False, True),
    ("a/*", b"a/b", True, True),
    ("a/*", b"a", True, False),
    ("a/*/", b"a", True, False),
    ("a/*/", b"a/b", True, True),
    ("a/*/c", b"a/c", False, False),
    ("a/*/c", b"a/b/c", False, True),
    ("a/b*", b"a/b", True, True),
    ("a/*b", b"a/b", True, True),
    ("a/**/*", b"a", True, False),
    ("**/b", b"b", False, True),
    ("**/b", b"x/y/b", False, True),
    ("a/**/b", b"a/b", False, True),
    ("a/**/b", b"a/x/y/b", False, True),
    ("a/**/b", b"ab", False, False),
    ("[ab]?c", b"axc", False, True),
    ("[!ab]", b"c", False, True),
    ("[!ab]", b"a", False, False),
    ("[a-c]x", b"bx", False, True),
    ("[!]a]x", b"bx", False, True),
    ("[!]a]x", b"]x", False, False),
    ("[]a]x", b"]x", False, True),
    ("[a-]x", b"-x", False, True),
    ("[a&&b]x", b"&x", False, True),
    ("[", b"[", False, True),
    ("a***b", b"ab", False, True),
    ("a/***", b"a", True, False),
    ("a*b*c", b"abxbcc", False, True),
    ("a*b*c", b"acxb", False, False),
    ("a*b*bc", b"abbc", False, True),
    ("a*b*bc", b"abc", False, False),
    ("*a*", b"xay", False, True),
    ("*/*b*b/c", b"x/abab/c", False, True),
    ("a/**/b/**/c", b"a/b/c", False, True),
    ("a/**/b/**/c", b"a/x/b/b/y/c", False, True),
    ("a/**/b/**/c", b"a/x/c/b", False, False),
    ("a/**/b/c/**/d", b"a/b/b/c/d", False, True),
    ("**/**/a", b"a", False, True),
    ("a/**/**/b", b"a/b", False, True),
    ("\\*", b"*", False, True),
    ("\\*", b"x", False, False),
    ("a.b", b"axb", False, False),
    ("caf\udce9", b"caf\xe9", False, True),
    ("new*line", b"new\nline", False, True),
]


@pytest.mark.parametrize(("pattern", "path", "directory", "excluded"), CASES)
def test_a_pattern_excludes_what_it_describes(
    pattern: str, path: bytes, directory: bool, excluded: bool
) -> None:
    assert Patterns(exclude=[pattern]).excludes(path, directory=directory) is excluded


def test_contents_of_an_emptied_directory_need_not_be_listed() -> None:
    patterns = Patterns(exclude=["cache/**", "*.tmp"])
    assert patterns.excludes_content(b"cache")
    assert not patterns.excludes_content(b"deep/cache")
    assert not patterns.excludes_content(b"other")


def test_include_takes_what_lies_beneath_and_exclude_wins() -> None:
    patterns = Patterns(include=["docs/", "*.txt"], exclude=["*.bak"])
    assert patterns.takes(b"docs/deep/file", directory=False)
    assert patterns.takes(b"x/y.txt", directory=False)
    assert not patterns.takes(b"x/y.png", directory=False)
    assert not patterns.takes(b"docs/old.bak", directory=False)


def test_nothing_beneath_an_excluded_directory_is_taken() -> None:
    patterns = Patterns(exclude=["cache/", "tmp/**"])
    assert not patterns.takes(b"a/cache/b/c", directory=False)
    assert not patterns.takes(b"tmp/b/c", directory=False)
    assert patterns.takes(b"a/b/c", directory=False)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*" * 40 + "a", b"b" * 250),
        ("*a" * 20 + "*b", b"a" * 250),
        ("*?a" * 20, b"a" * 249 + b"b"),
        ("x/" + "**/a/" * 15 + "b", b"x" + b"/a" * 1000),
        ("**/" * 30 + "b", b"a/" * 1000 + b"a"),
    ],
)
def test_no_pattern_makes_matching_slow(pattern: str, path: bytes) -> None:
    """An expression that backtracks takes years for these; a generous limit is enough to see it."""
    code = (
        "import sys; from undivided.tree.patterns import Patterns; "
        "assert not Patterns(include=[sys.argv[1]]).takes(sys.argv[2].encode(), directory=False); "
        "assert not Patterns(exclude=[sys.argv[1]]).excludes(sys.argv[2].encode(), directory=False)"
    )
    subprocess.run([sys.executable, "-c", code, pattern, path.decode()], check=True, timeout=30)


def test_a_range_that_runs_backwards_is_refused_with_the_right_one() -> None:
    with pytest.raises(UsageError, match=r"the range z-a in \[z-a\] of a pattern runs backwards") as caught:
        Patterns(exclude=["a[z-a]"])
    assert "Write a-z." in caught.value.hint


@pytest.mark.parametrize("pattern", ["", "/", "!keep"])
def test_what_cannot_be_a_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        Patterns(exclude=[pattern])
