"""The outline of a tree that a restore would create, checked before anything is created.

An image may come from a compromised host. So nothing in it is trusted: a path that is absolute, has an empty
component, '.' or '..', occurs twice, or lies beneath a file is refused by name while the target is untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..host.names import ROOT, ancestors_of, is_proper, shown
from ..model.columns import Array
from ..model.entries import Entries, Kind
from ..model.errors import DamageError

_KINDS = frozenset(int(k) for k in Kind)
_HINT = "No capture makes such an image. Recover an earlier point, or from another copy of the vault."


@dataclass(frozen=True, slots=True)
class Outline:
    """names: row → path beneath the target, for the rows to create. directories: paths, each after its
    parent, ROOT among them when it has a row. by_directory: path → row of those that have one. follows: row →
    the row whose hard link it is."""

    names: dict[int, bytes]
    directories: list[bytes] = field(default_factory=list)
    by_directory: dict[bytes, int] = field(default_factory=dict)
    files: list[int] = field(default_factory=list)
    specials: list[int] = field(default_factory=list)
    follows: dict[int, int] = field(default_factory=dict)


def outline(entries: Entries, prefix: bytes, select: Callable[[bytes], bool] | None) -> Outline:
    """The rows under `prefix` that `select` takes by full path, with the directories that lead to them.

    Raises DamageError naming the path that is not proper.
    """
    paths = entries.path.tolist()
    kinds = entries.kind.tolist()
    _check(paths)
    rows = _chosen(paths, prefix.rstrip(b"/"), select)
    plan = Outline(rows)
    made = {name for row, name in rows.items() if kinds[row] == Kind.DIRECTORY}
    taken = set(rows.values())
    for row, name in rows.items():
        _find_room(name, made, taken)
        if kinds[row] == Kind.DIRECTORY:
            plan.by_directory[name] = row
        elif name == ROOT:
            raise DamageError(f"the root is no directory: {shown(paths[row])}", hint=_HINT)
    plan.directories.extend(sorted(made))
    _group(plan, entries, kinds)
    return plan


def lengths(entries: Entries) -> Array:
    """Bytes of content of each row, i8[n]: of files the size, of sparse ones their extents', else 0."""
    length = np.where(entries.kind == Kind.FILE, entries.size, 0)
    for row in np.flatnonzero(entries.extents.lengths()).tolist():
        length[row] = sum(n for _, n in extents_of(entries, row))
    return length


def extents_of(entries: Entries, row: int) -> list[tuple[int, int]]:
    """The extents of a sparse file. Raises DamageError unless they ascend and lie within its size."""
    raw = np.frombuffer(entries.extents[row], "<i8")
    pairs = raw.reshape(-1, 2).tolist() if len(raw) % 2 == 0 else [[-1, -1]]
    place, size = 0, int(entries.size[row])
    for offset, length in pairs:
        if offset < place or length < 0 or offset + length > size:
            raise DamageError(f"extents outside the file: {shown(entries.path[row])}", hint=_HINT)
        place = offset + length
    return [(offset, length) for offset, length in pairs]


def _check(paths: list[bytes]) -> None:
    for path in paths:
        if path != ROOT and not is_proper(path):
            raise DamageError(f"a path that leads out of the target: {shown(path)!r}", hint=_HINT)
    if len(set(paths)) != len(paths):
        seen: set[bytes] = set()
        twice = next(p for p in paths if p in seen or seen.add(p))  # type: ignore[func-returns-value]
        raise DamageError(f"a path that occurs twice: {shown(twice)}", hint=_HINT)


def _chosen(paths: list[bytes], prefix: bytes, select: Callable[[bytes], bool] | None) -> dict[int, bytes]:
    """Row → name: the selected rows, and the directories above them."""
    rows = range(len(paths))
    if select is not None:
        wanted = {p for p in paths if select(p)}
        above = {a for p in wanted for a in (*ancestors_of(p), ROOT)}
        rows = [i for i in rows if paths[i] in wanted or paths[i] in above]  # type: ignore[assignment]
    if prefix in (b"", ROOT):
        return {i: paths[i] for i in rows}
    start, cut = prefix + b"/", len(prefix) + 1
    return {i: (paths[i][cut:] or ROOT) for i in rows if paths[i] == prefix or paths[i].startswith(start)}


def _find_room(name: bytes, made: set[bytes], taken: set[bytes]) -> None:
    """Adds the directories above `name` to `made`; none of them may be something else."""
    if name == ROOT:
        return
    above = name.rpartition(b"/")[0]
    while above and above not in made:
        if above in taken:
            raise DamageError(f"a path beneath a file: {shown(name)}", hint=_HINT)
        made.add(above)
        above = above.rpartition(b"/")[0]


def _group(plan: Outline, entries: Entries, kinds: list[int]) -> None:
    """Files, specials and hard links. The first row of a link group is created, the others are linked to
    it."""
    leaders: dict[int, int] = {}
    links = entries.link.tolist()
    for row, name in plan.names.items():
        kind = kinds[row]
        if kind == Kind.DIRECTORY:
            continue
        if links[row]:
            leader = leaders.setdefault(links[row], row)
            if leader != row:
                if kinds[leader] != kind:
                    raise DamageError(f"a hard link to another kind of file: {shown(name)}", hint=_HINT)
                plan.follows[row] = leader
                continue
        if kind == Kind.FILE:
            plan.files.append(row)
        elif kind in _KINDS:
            plan.specials.append(row)
        else:
            raise DamageError(f"an unknown kind of entry: {shown(name)}", hint=_HINT)
