"""Exchanging the data at a place for newly built data, so that repeating it after any crash finishes it.

Within one filesystem this is two renames: the old data moves aside, then the new data moves in. After a crash
the next call sees which of the two have happened and does the rest. Nothing is deleted: the old data stays,
under a name that ends in `aside`.

A mount point cannot be renamed. There the children are exchanged instead, and the name of the directory with
the new children shows how far the exchange has come:

    .undivided-new<aside>      the old children are still moving out, into .undivided-old<aside>
    .undivided-moving<aside>   all old children are out; the new ones are moving in
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from ...host.atomic_files import sync_directory
from ...host.crashpoints import crashpoint
from ...model.errors import UndividedError, error_context

_STAYS = "lost+found"


def exchange(built: Path, place: Path, aside: str) -> Path | None:
    """Moves `built` (a directory or a file) to `place`. Returns the new path of the old data, None if there
    was none.

    aside: unique to this exchange. Idempotent: when `built` is gone and `place` exists, it only returns the
    path. Across filesystems `built` is copied first. Raises UndividedError when the place was filled again
    meanwhile, or when the filesystem refuses.
    """
    hint = "The old data is untouched or has moved aside; repeat the recovery."
    with error_context(f"put {built} in place of {place}", hint):
        if place.is_mount() or any(os.path.lexists(place / name) for name in _inside(aside)):
            return _exchange_children(built, place, aside)
        return _exchange_whole(built, place, aside)


def _inside(aside: str) -> tuple[str, str, str]:
    """Names at a mount point: the old children, the new ones, the new ones while they move in."""
    return f".undivided-old{aside}", f".undivided-new{aside}", f".undivided-moving{aside}"


def _exchange_whole(built: Path, place: Path, aside: str) -> Path | None:
    old, new = place.with_name(place.name + aside), place.with_name(f".undivided-new{aside}-{place.name}")
    _move_to(built, new)
    if os.path.lexists(new):
        if os.path.lexists(place):
            if os.path.lexists(old):
                raise UndividedError(
                    f"{place} was filled again after the old data had moved to {old}",
                    hint=f"Stop the process that writes there, remove the new {place}, and recover again.",
                )
            try:
                os.rename(place, old)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return _exchange_children(new, place, aside)  # a bind mount, which looks like a directory
            sync_directory(place.parent)
        crashpoint("recover.aside")
        os.rename(new, place)
        sync_directory(place.parent)
    elif not os.path.lexists(place):
        raise UndividedError(f"there is nothing at {built}")
    return old if os.path.lexists(old) else None


def _exchange_children(built: Path, place: Path, aside: str) -> Path | None:
    old, new, moving = (place / name for name in _inside(aside))
    if not moving.exists():
        _move_to(built, new)
        if new.exists():
            old.mkdir(mode=0o700, exist_ok=True)
            _move_children(place, old, leave={*_inside(aside), _STAYS, _staging(built, place)})
            os.rename(new, moving)
            sync_directory(place)
            crashpoint("recover.aside")
    if moving.exists():
        _move_children(moving, place, leave={_STAYS})
        found = os.stat(moving)
        os.chown(place, found.st_uid, found.st_gid)
        shutil.copystat(moving, place)
        shutil.rmtree(moving)
        sync_directory(place)
    return old if old.exists() else None


def _staging(built: Path, place: Path) -> str:
    """The child of the place that holds the build, if one does: its record shows how far a recovery came."""
    return built.relative_to(place).parts[0] if built.is_relative_to(place) else ""


def _move_children(source: Path, target: Path, leave: set[str]) -> None:
    for child in os.listdir(source):
        if child not in leave:
            os.rename(source / child, target / child)
    sync_directory(target)
    sync_directory(source)


def _move_to(built: Path, new: Path) -> None:
    """Moves `built` to the name `new` on the filesystem of the place. Does nothing when that was done
    before."""
    if not os.path.lexists(built):
        return
    if not os.path.lexists(new):
        try:
            os.rename(built, new)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(built, new)
        sync_directory(new.parent)
    _remove(built)
    sync_directory(built.parent)


def _copy(built: Path, new: Path) -> None:
    partial = new.with_name(new.name + ".partial")
    _remove(partial)
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", "--sparse=auto", "--", str(built), str(partial)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        output = done.stderr.decode("utf-8", "replace").strip()
        raise UndividedError(f"cp failed: {output}", doing=f"copy {built} to {new.parent}")
    os.sync()
    os.rename(partial, new)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
