"""Recovery: image and log become a data directory that was shut down cleanly at exactly the mark.

A private server replays the log at once. It listens on no port, has its socket in a directory that only its
owner can enter, admits no connection, stops at the restore point by its name and promotes itself there. So
the replay is part of the measured time of the build, a broken log is found at once, and the result starts
like any other cluster, without a trace of recovery in its configuration.

Restored tablespaces lie inside the data directory, so one rename moves all of it; `link_tablespaces` then
corrects their links. Links must be absolute: a base backup of PostgreSQL resolves them from another directory
than the kernel does, and treats a tablespace that it does not find as dropped. The original's places are
never touched: the original may be running.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...model.errors import DamageError, UndividedError
from ...model.service import Component
from ..base import Source
from .configuration import place_configuration
from .programs import PostgreSQLOwner, last_error, launch, owner_for, programs, require_entry, wait_ready
from .wal import WalArchive, segment_name

_log = logging.getLogger(__name__)

TABLESPACES = "tablespaces"
REQUIRED = (b"data/backup_label", b"data/global/pg_control", b"data/PG_VERSION")


def restore_cluster(component: Component, source: Source, into: Path) -> None:
    """See Driver.restore. Raises DamageError when image and log do not reach the mark."""
    state = source.point.state
    doing = f"recover {component.name}"
    sizes = {p: int(s) for p, s in zip(source.entries.path.tolist(), source.entries.size, strict=True)}
    for path in REQUIRED:
        if path not in sizes:
            raise DamageError(f"the image has no {path.decode()}", doing=doing, hint="Recover another point.")
    major = b"".join(source.read(b"data/PG_VERSION")).decode().strip()
    binaries = programs(component, major)
    segments = _segments(WalArchive.of(state), sizes, doing)
    owner = _owner(source)
    into.mkdir(parents=True, exist_ok=True)
    require_entry(into, owner, doing)

    # A cluster that was itself restored has its tablespaces inside, and its image may hold them twice.
    inside = f"data/{TABLESPACES}/".encode()
    source.extract(into, b"data", select=lambda path: not path.startswith(inside))
    _extract_tablespaces(source, into)
    _extract_log(source, into / "pg_wal", segments, int(state["segment_size"]))
    configured = {p.removeprefix(b"config/").decode(): p for p in sizes if p.startswith(b"config/")}
    files = {name: b"".join(source.read(path)) for name, path in configured.items()}
    place_configuration(into, files, state, component)
    (into / "recovery.signal").touch(mode=0o600)
    _change_owner(into, owner)
    _replay(binaries, into, str(state["restore_point"]), owner, doing)


def _segments(log: WalArchive, sizes: Mapping[bytes, int], doing: str) -> list[str]:
    """The names of the log's files. Raises DamageError when one is missing or has the wrong size."""
    names = []
    for position in range(log.start, log.end, log.segment_size):
        name = segment_name(position, log.timeline, log.segment_size)
        wanted = min(log.segment_size, log.end - position)
        if sizes.get(b"log/" + name.encode()) != wanted:
            raise DamageError(
                f"the log is not whole: {name} is missing or does not have {wanted} bytes",
                doing=doing,
                hint="Recover another point.",
            )
        names.append(name)
    return names


def _extract_tablespaces(source: Source, into: Path) -> None:
    (into / "tablespace_map").unlink(missing_ok=True)  # it would link to the original's directories
    links = into / "pg_tblspc"
    for link in links.iterdir():
        link.unlink()
    found = {p.split(b"/")[1] for p in source.entries.path.tolist() if p.startswith(b"tablespaces/")}
    for oid in sorted(os.fsdecode(o) for o in found):
        source.extract(into / TABLESPACES / oid, b"tablespaces/" + oid.encode())
        (into / TABLESPACES).chmod(0o700)
    link_tablespaces(into)


def link_tablespaces(directory: Path) -> None:
    """Points `pg_tblspc` to the tablespaces inside a restored data directory, at its present path."""
    inside = Path(os.path.abspath(directory)) / TABLESPACES
    found = sorted(inside.iterdir()) if inside.is_dir() else []
    for place in found:
        link = directory / "pg_tblspc" / place.name
        if place.name.isdecimal() and not (link.is_symlink() and os.readlink(link) == str(place)):
            fresh = link.with_name(f".{place.name}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(place)
            owner = place.stat()
            os.chown(fresh, owner.st_uid, owner.st_gid, follow_symlinks=False)
            fresh.replace(link)


def _extract_log(source: Source, wal: Path, segments: list[str], segment_size: int) -> None:
    """Writes the log's files, filled with zeros after the mark, as in a log that ends there."""
    wal.mkdir(mode=0o700, exist_ok=True)
    for name in segments:
        with open(wal / name, "xb") as file:
            os.fchmod(file.fileno(), 0o600)
            for piece in source.read(b"log/" + name.encode()):
                file.write(piece)
            file.truncate(segment_size)


def _owner(source: Source) -> PostgreSQLOwner:
    """The owner of the original cluster, or the owner that is possible on this host."""
    entries = source.entries
    row = entries.path.tolist().index(b"data/PG_VERSION")
    return owner_for(int(entries.uid[row]), int(entries.gid[row]))


def _change_owner(into: Path, owner: PostgreSQLOwner) -> None:
    into.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(into, owner.uid, owner.gid)
        for place, directories, files in os.walk(into):
            for name in directories + files:
                os.chown(os.path.join(place, name), owner.uid, owner.gid, follow_symlinks=False)


def _replay(binaries: Path, into: Path, restore_point: str, owner: PostgreSQLOwner, doing: str) -> None:
    with _private_directory(owner) as private:
        rules = private / "hba"
        rules.write_text("local all all reject\n")
        os.chown(rules, owner.uid, owner.gid)
        log = private / "log"
        settings = [*_PRIVATE, ("unix_socket_directories", str(private)), ("hba_file", str(rules))]
        settings += [("recovery_target_name", restore_point)]
        process = launch(binaries, into, settings, owner, log)
        _log.info("private server for the replay started on %s, pid %d", into, process.pid)
        try:
            if not wait_ready(process, into, None):
                raise _failed(last_error(log), restore_point, into, doing)
            process.send_signal(signal.SIGINT)
            if process.wait() != 0:
                raise UndividedError(f"the private server did not stop: {last_error(log)}", doing=doing)
        finally:
            _end(process)
        _log.info("private server on %s stopped", into)
        output = log.read_text(errors="replace")
        if f'recovery stopping at restore point "{restore_point}"' not in output:
            raise DamageError(f"recovery did not stop at {restore_point}: {last_error(log)}", doing=doing)


def _failed(reason: str, restore_point: str, into: Path, doing: str) -> UndividedError:
    if "before configured recovery target" in reason or "checkpoint record" in reason:
        hint = "Recover another point, and run: undivided verify --read-data."
        return DamageError(f"the log does not reach {restore_point}: {reason}", doing=doing, hint=hint)
    hint = f"Check that PostgreSQL can start on {into}: extensions, memory, permissions of directories above."
    return UndividedError(f"the private server that replays the log ended: {reason}", doing=doing, hint=hint)


@contextlib.contextmanager
def _private_directory(owner: PostgreSQLOwner) -> Iterator[Path]:
    """A directory for the socket, whose path must not exceed 107 bytes: so one with a short name."""
    roomy = len(tempfile.gettempdir()) < 60
    private = Path(tempfile.mkdtemp(prefix="undivided-", dir=None if roomy else "/tmp"))  # noqa: S108
    try:
        os.chown(private, owner.uid, owner.gid)
        yield private
    finally:
        shutil.rmtree(private)


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        process.wait()


_PRIVATE = (
    ("listen_addresses", ""),
    ("ssl", "off"),
    ("shared_buffers", "256MB"),
    ("huge_pages", "off"),
    ("recovery_init_sync_method", "syncfs"),  # not one fsync for each of a hundred thousand files
    ("hot_standby", "off"),
    ("autovacuum", "off"),
    ("max_logical_replication_workers", "0"),
    ("archive_mode", "off"),
    ("synchronous_standby_names", ""),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_min_messages", "warning"),
    ("lc_messages", "C"),
    ("restore_command", "false"),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
    ("recovery_target", ""),
    ("recovery_target_time", ""),
    ("recovery_target_xid", ""),
    ("recovery_target_lsn", ""),
    ("recovery_target_timeline", "current"),
    ("recovery_target_action", "promote"),
)
