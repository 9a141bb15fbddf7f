"""The changes of a tree from its first walk to the mark.

The watch reports which names were touched. Each of them is compared with its captured state. A name that
differs stays suspect until the owner of the tracker reports that it was captured in its present state, or
that it is gone. When the watch has lost events, the whole tree is walked again, and every name is compared.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from ..host.names import ROOT, ancestors_of
from ..host.rooted import RootedDirectory
from .baseline import Baseline, Seen
from .inotify import InotifyWatch
from .patterns import Patterns
from .walk import Walk, walk
from .walk_difference import TICK_NS, coarse_clock_ns, difference

_ALL_TIME_NS = 1 << 62
_TRUNCATION_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Changes:
    """device: of the tree's root. found: path → its present state, for new and changed paths. vanished: known
    paths that are gone, with everything beneath them. unreadable: as in Walk."""

    device: int
    found: dict[bytes, os.stat_result]
    vanished: list[bytes]
    unreadable: list[tuple[bytes, str]]

    def rows(self) -> Walk:
        return Walk.of(list(self.found), list(self.found.values()), self.device)

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(Seen.of(found).size for found in self.found.values())

    def __len__(self) -> int:
        return len(self.found) + len(self.vanished)


class ChangeTracker:
    """Usable once `start` has walked the tree. `known` is the captured state; the owner reports to it by
    `captured` and `gone`."""

    def __init__(
        self, root: RootedDirectory, patterns: Patterns, *, one_filesystem: bool, began_ns: int
    ) -> None:
        """began_ns: the coarse realtime clock before the walk."""
        self.root = root
        self.known: Baseline
        self._patterns = patterns
        self._one_filesystem = one_filesystem
        self._looked_ns = began_ns
        self._watch = InotifyWatch()
        self._suspect: set[bytes] = set()

    @property
    def lost(self) -> bool:
        """Whether the next call of `changes` costs a walk."""
        return self._watch.lost

    def start(self) -> Walk:
        """The first walk. Raises OSError when the root cannot be opened."""
        first = self._walk(ROOT, shared=True)
        self.known = Baseline(first, self.root.device)
        return first

    def suspect(self, paths: Iterable[bytes]) -> None:
        """These paths were not captured in their present state, whatever their times are."""
        self._suspect.update(paths)

    def captured(self, path: bytes, found: os.stat_result) -> None:
        self.known.see(path, found)
        self._suspect.discard(path)

    def gone(self, paths: Collection[bytes]) -> list[bytes]:
        """The paths vanished. Returns those of them and beneath them that were known."""
        self._suspect.difference_update(paths)
        return self.known.drop(paths)

    def changes(self, also: Iterable[bytes] = ()) -> Changes:
        """The paths that differ from their captured state. also: paths to compare without an event."""
        now_ns = coarse_clock_ns()
        if self._watch.lost:
            self._watch.recovered()
            self._suspect |= self._watch.take_touched()
            result = self._everything()
        else:
            touched = self._watch.take_touched()
            result = Changes(self.root.device, {}, [], [])
            for path in sorted(self._suspect | touched | set(also)):
                if path not in result.found:
                    self._look(path, path in touched, result)
            # A name new to a known file: it may have been written through that one already.
            for path in self.known.names_of(result.found.values()):
                if path not in result.found:
                    self._look(path, False, result)
        self._suspect.update(result.found)
        self._looked_ns = now_ns
        return result

    def missed(self, before_ns: int) -> list[bytes]:
        """Changes that the watch did not report: paths that last changed before that moment and differ from
        their captured state.

        A change time alone does not count: a name of the file that came and went elsewhere moves it.
        """
        now = walk(self.root, patterns=self._patterns, one_filesystem=self._one_filesystem, shared=True)
        unlike = difference(self.known.merged(), _ALL_TIME_NS, now).changed & (now.ctime_ns < before_ns)
        deadline = time.monotonic() + _TRUNCATION_SECONDS
        paths = [now.entries.path[row] for row in np.flatnonzero(unlike).tolist()]
        return [path for path in paths if self._is_missed(path, before_ns, deadline)]

    def end(self) -> None:
        """No further call of `changes` will come."""
        self._watch.end()

    def close(self) -> None:
        self._watch.close()

    def _is_missed(self, path: bytes, before_ns: int, deadline: float) -> bool:
        """Compares repeatedly: a file that is being truncated shows its new size before its new times."""
        while True:
            found, seen = self._stat(path), self.known.find(path)
            if found is None or found.st_ctime_ns >= before_ns:
                return False
            if seen and seen._replace(ctime_ns=found.st_ctime_ns) == Seen.of(found):
                return False
            if time.monotonic() > deadline:
                return True
            time.sleep(0.005)

    def _look(self, path: bytes, touched: bool, result: Changes) -> None:
        seen = self.known.find(path)
        found = self._stat(path)
        if found is None or not self._patterns.takes(path, directory=stat.S_ISDIR(found.st_mode)):
            if seen:
                result.vanished.append(path)
                self._suspect.add(path)
            else:
                self._suspect.discard(path)
            return
        now = Seen.of(found)
        replaced = seen is None or seen.directory != now.directory or seen.ino != now.ino
        if replaced and seen and seen.directory:
            result.vanished.append(path)
        if replaced and now.directory:
            self._enter(path, result)
        elif seen != now or path in self._suspect or (touched and self._racy(now)):
            self._take(path, found, result)

    def _racy(self, now: Seen) -> bool:
        """A second write within one tick of the clock leaves no trace in the times. The event reports it."""
        return not now.directory and now.ctime_ns >= self._looked_ns - TICK_NS

    def _enter(self, path: bytes, result: Changes) -> None:
        """Takes a new directory with everything in it, and watches it from now on."""
        try:
            inside = self._walk(path)
        except OSError:
            return  # gone again, and its parent touched by that
        result.unreadable.extend(inside.unreadable)
        for each in inside.entries.path.tolist():
            found = self._stat(each)
            if found is not None:
                self._take(each, found, result)

    def _take(self, path: bytes, found: os.stat_result, result: Changes) -> None:
        """Takes a path, and the directories above it that have no row yet."""
        result.found[path] = found
        for above in ancestors_of(path):
            if above not in result.found and self.known.find(above) is None:
                leading = self._stat(above)
                if leading is not None:
                    result.found[above] = leading

    def _everything(self) -> Changes:
        now = self._walk(ROOT)
        unlike = difference(self.known.merged(), self._looked_ns, now)
        result = Changes(self.root.device, {}, unlike.vanished.tolist(), now.unreadable)
        paths = {now.entries.path[row] for row in np.flatnonzero(unlike.changed).tolist()}
        for path in sorted(paths | self._suspect):
            found = self._stat(path)
            if found is not None:
                result.found[path] = found
        self._suspect.update(result.vanished)
        return result

    def _walk(self, start: bytes, *, shared: bool = False) -> Walk:
        """shared: by several processes. Only the first walk is: a later one meets watches that exist
        already."""
        return walk(
            self.root,
            start,
            patterns=self._patterns,
            one_filesystem=self._one_filesystem,
            watch=self._watch,
            shared=shared,
        )

    def _stat(self, path: bytes) -> os.stat_result | None:
        try:
            fd = self.root.open(path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
