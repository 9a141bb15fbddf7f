"""Which paths of a tree are protected: include and exclude patterns, as people know them from .gitignore.

    *.tmp       a name, in any directory            /top        only at the root
    cache/      only a directory                    a/b         from the root (it has a slash inside)
    cache/**    everything in it, not itself        a/**/b      any directories between
    [a-z]?*     sets, one character, any number     \\*          the character itself

An excluded directory is never entered. Include patterns select what they match, everything beneath it, and
the directories above it; exclude wins over include. There is no negation: use include instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from ..host.names import shown
from ..model.errors import UsageError

_Match = Callable[[bytes], re.Match[bytes] | None]
_NOTHING: _Match = re.compile(rb"(?!)").fullmatch
_ANY_DIRECTORIES = b"(?:.*/)?"
_DOING = "read patterns"


class Patterns:
    """Compiled once: each call matches one regular expression on the path, and one on its name. Most patterns
    are about names, and most names fail at the first character. Paths as in entries."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Raises UsageError for a pattern that cannot be one."""
        self.any = bool(include or exclude)
        self.selective = bool(include)
        self.excludes_files = not all(pattern.endswith("/") for pattern in exclude)
        """False when only directories can be left out: a walk need not ask of each file then."""
        self._excluded_name = _matcher([p for p in exclude if not _rooted(p)], inside=False, anchored=True)
        self._excluded_path = _matcher([p for p in exclude if _rooted(p)], inside=False)
        self._hollow = _matcher([p[:-3] for p in exclude if p.endswith("/**")], inside=False, anchored=True)
        self._included = _matcher(include, inside=True)

    def excludes(self, path: bytes, *, directory: bool) -> bool:
        """Whether the path is left out. Not for paths beneath an excluded directory: see `takes`."""
        path = path + b"/" if directory else path
        name = path[path.rfind(b"/", 0, -1) + 1 :]
        return self._excluded_name(name) is not None or self._excluded_path(path) is not None

    def excludes_content(self, directory: bytes) -> bool:
        """Whether everything in the directory is left out: no need to list it."""
        return self._hollow(directory + b"/") is not None

    def includes(self, path: bytes, *, directory: bool) -> bool:
        """Whether an include pattern takes the path, by itself or by a directory above it."""
        return not self.selective or self._included(path + b"/" if directory else path) is not None

    def takes(self, path: bytes, *, directory: bool) -> bool:
        """Whether one path is protected, with the directories above it considered."""
        parts = path.split(b"/")
        above = [b"/".join(parts[:n]) for n in range(1, len(parts))]
        if any(self.excludes(d, directory=True) or self.excludes_content(d) for d in above):
            return False
        return not self.excludes(path, directory=directory) and (
            directory or self.includes(path, directory=directory)
        )


def _rooted(pattern: str) -> bool:
    """Whether it is about paths from the root, not about names anywhere."""
    return "/" in pattern.rstrip("/")


def _matcher(patterns: Sequence[str], *, inside: bool, anchored: bool = False) -> _Match:
    """A match function over paths; those of directories end in '/'. inside: also what lies beneath a
    match."""
    if not patterns:
        return _NOTHING
    each = [_translate(os.fsencode(p), inside=inside, anchored=anchored) for p in patterns]
    return re.compile(b"(?:" + b"|".join(each) + b")", re.DOTALL).fullmatch


def _translate(pattern: bytes, *, inside: bool, anchored: bool) -> bytes:
    if not pattern.strip(b"/"):
        raise UsageError("a pattern is empty", doing=_DOING, hint="Remove it to match everything.")
    if pattern.startswith(b"!"):
        raise UsageError(
            f"a pattern cannot be negated: {shown(pattern)}",
            doing=_DOING,
            hint="Name what to keep under `include`.",
        )
    only_directories = pattern.endswith(b"/")
    body = pattern.strip(b"/")
    anchored = anchored or _rooted(os.fsdecode(pattern))
    end = b"/" if only_directories else b"/?"
    if inside:
        end = b"/.*" if only_directories else b"(?:/.*)?"
    return (b"" if anchored else _ANY_DIRECTORIES) + _glob(body) + end


def _glob(body: bytes) -> bytes:
    """The parts between `**/`, each at the first place where it fits. No other place is tried when a later
    part does not fit: every match that another place allows, the first place allows too. So no pattern makes
    the expression backtrack without end. The last part has to reach the end of the path, so each place is
    tried for it."""
    parts: list[list[bytes]] = [[]]
    names = _names(body)
    for name in names[:-1]:
        if name == [b"**"]:
            parts.append([])
        else:
            parts[-1].append(_name(name) + b"/")
    parts[-1].append(b".+" if names[-1] == [b"**"] else _name(names[-1]))
    joined = [b"".join(part) for part in parts]
    if len(joined) == 1:
        return joined[0]
    middle = b"".join(b"(?>(?:[^/]+/)*?" + part + b")" for part in joined[1:-1] if part)
    return joined[0] + middle + _ANY_DIRECTORIES + joined[-1]


def _name(tokens: list[bytes]) -> bytes:
    """One name of a path, by the same rule for its parts between stars."""
    if tokens in ([b"*"], [b"**"]):
        # All of a name has a character at least: `a/*` is what is in `a/`, not `a/` itself.
        return b"[^/]+"
    parts: list[bytes] = [b""]
    for token in tokens:
        if token in (b"*", b"**"):
            parts.append(b"")
        else:
            parts[-1] += token
    if len(parts) == 1:
        return parts[0]
    middle = b"".join(b"(?>[^/]*?" + part + b")" for part in parts[1:-1])
    return parts[0] + middle + b"[^/]*" + parts[-1]


def _names(body: bytes) -> list[list[bytes]]:
    """The names of a pattern. Each is a list of `*`, `**` (for two; more mean one), and expressions for
    exactly one character."""
    names: list[list[bytes]] = [[]]
    i = 0
    while i < len(body):
        one = body[i : i + 1]
        if one == b"/":
            names.append([])
        elif one == b"*":
            stars = len(body[i:]) - len(body[i:].lstrip(b"*"))
            names[-1].append(b"**" if stars == 2 else b"*")
            i += stars - 1
        elif one == b"?":
            names[-1].append(b"[^/]")
        elif one == b"[" and (stop := _end_of_set(body, i)):
            names[-1].append(_set(body[i + 1 : stop]))
            i = stop
        elif one == b"\\" and i + 1 < len(body):
            i += 1
            names[-1].append(re.escape(body[i : i + 1]))
        else:
            names[-1].append(re.escape(one))
        i += 1
    return names


def _end_of_set(body: bytes, begin: int) -> int:
    """Where the set that begins here ends; 0 when it does not: then its `[` is the character itself. A `]` at
    the beginning of a set is a member."""
    first = begin + 2 if body[begin + 1 : begin + 2] in (b"!", b"^") else begin + 1
    return max(body.find(b"]", first + 1), 0)


def _set(inner: bytes) -> bytes:
    """Any one of the set's members, but never a slash. inner: what its brackets hold."""
    negated = inner[:1] in (b"!", b"^")
    rest = inner[1:] if negated else inner
    members = b""
    while rest:
        first, last = rest[:1], rest[2:3]
        if rest[1:2] == b"-" and last:
            if first > last:
                raise UsageError(
                    f"the range {shown(rest[:3])} in [{shown(inner)}] of a pattern runs backwards",
                    doing=_DOING,
                    hint=f"Write {shown(last + b'-' + first)}. For the character '-' itself, put it last.",
                )
            members += re.escape(first) + b"-" + re.escape(last)
            rest = rest[3:]
        else:
            members += re.escape(first)
            rest = rest[1:]
    return b"(?!/)[" + (b"^" if negated else b"") + members + b"]"
