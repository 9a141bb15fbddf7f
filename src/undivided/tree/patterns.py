"""Which paths of a tree are protected: include and exclude patterns, as people know them from .gitignore.

    *.tmp       a name, in any directory            /top        only at the root
    cache/      only a directory                    a/b         from the root (it has a slash inside)
    cache/**    everything in it, not itself        a/**/b      any directories between
    [ab]?*      sets, one character, any number     \\*          the character itself

An excluded directory is never entered. Include patterns select what they match, everything beneath it, and
the directories above it; exclude wins over include. There is no negation: use include instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from ..model.errors import UsageError

_Match = Callable[[bytes], re.Match[bytes] | None]
_NOTHING: _Match = re.compile(rb"(?!)").fullmatch


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
    try:
        return re.compile(b"(?:" + b"|".join(each) + b")", re.DOTALL).fullmatch
    except re.error as error:
        raise UsageError(f"not a pattern: {', '.join(patterns)}: {error}", doing="read patterns") from error


def _translate(pattern: bytes, *, inside: bool, anchored: bool) -> bytes:
    if not pattern.strip(b"/"):
        raise UsageError("a pattern is empty", doing="read patterns", hint="Remove it to match everything.")
    if pattern.startswith(b"!"):
        raise UsageError(
            f"a pattern cannot be negated: {pattern.decode(errors='replace')}",
            doing="read patterns",
            hint="Name what to keep under `include`.",
        )
    only_directories = pattern.endswith(b"/")
    body = pattern.strip(b"/")
    anchored = anchored or _rooted(os.fsdecode(pattern))
    end = b"/" if only_directories else b"/?"
    if inside:
        end = b"/.*" if only_directories else b"(?:/.*)?"
    return (b"" if anchored else b"(?:.*/)?") + _glob(body) + end


def _glob(body: bytes) -> bytes:
    out, i = [], 0
    while i < len(body):
        rest = body[i:]
        if rest.startswith(b"**/") and (i == 0 or body[i - 1 : i] == b"/"):
            out.append(b"(?:.*/)?")
            i += 3
        elif rest == b"**" and (i == 0 or body[i - 1 : i] == b"/"):
            out.append(b".+")
            i += 2
        elif rest[:1] == b"*":
            # All of a name has a character at least: `a/*` is what is in `a/`, not `a/` itself.
            whole = body[i - 1 : i] in (b"", b"/") and rest[1:2] in (b"", b"/")
            out.append(b"[^/]+" if whole else b"[^/]*")
            i += 1
        elif rest[:1] == b"?":
            out.append(b"[^/]")
            i += 1
        elif rest[:1] == b"[" and b"]" in rest[2:]:
            stop = rest.index(b"]", 2)
            inner = rest[1:stop].replace(b"\\", b"\\\\").replace(b"[", b"\\[")
            out.append(b"(?!/)[" + (b"^" + inner[1:] if inner[:1] == b"!" else inner) + b"]")
            i += stop + 1
        elif rest[:1] == b"\\" and len(rest) > 1:
            out.append(re.escape(rest[1:2]))
            i += 2
        else:
            out.append(re.escape(rest[:1]))
            i += 1
    return b"".join(out)
