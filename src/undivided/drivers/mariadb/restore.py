"""From a point back to a data directory that is exactly at the mark, ready to start.

With a log: the image's files are made consistent by `mariadb-backup --prepare`, then a private server replays
all of `log/`. The log in the vault ends at the mark, so there is no position to stop at. With a dump: the
dump is loaded into a new data directory.

A restored server would lose its position in the sequence of global transaction ids. A state file next to the
future binary log restores it, as a clean shutdown leaves one: the next transaction gets the next number.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.entries import Kind
from ...model.errors import DamageError, SourceError, UndividedError, error_context
from ...model.service import Component
from ..base import Source
from . import binlog, image, logical, physical
from .configuration import write_configuration
from .private_server import PrivateServer, output
from .programs import Child, MariaDBOwner, program

_SCRATCH = ".undivided-restore"
"""A name that no database can have and that the server ignores."""
_BACKUP_FILES = ("xtrabackup_", "mariadb_backup_")


def restore(component: Component, source: Source, into: Path) -> None:
    """Fills the empty directory `into`. Raises UndividedError; `into` is unusable then."""
    doing = f"restore {component.name} to {into}"
    state = source.point.state
    method = state.get("method")
    if method not in (physical.METHOD, logical.METHOD):
        raise UndividedError(f"this version does not know the point's method {method!r}", doing=doing)
    _require_plain(source, doing)
    try:
        with error_context(doing):
            into.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = MariaDBOwner.fit(int(state["uid"]), int(state["gid"]))
            _require_reachable(into, owner, doing)
            if method == physical.METHOD:
                _from_image(component, source, into, owner, doing)
            else:
                _from_dump(component, source, into, owner, doing)
            write_configuration(component, into, state["settings"])
            owner.take(into)
    except SourceError as error:
        # A program that works on the copy has failed; the source is not the reason.
        raise UndividedError(error.cause, doing=doing, hint=error.hint) from error


def _from_image(component: Component, source: Source, into: Path, owner: MariaDBOwner, doing: str) -> None:
    state = source.point.state
    _require_version(component, state, doing)
    source.extract(into, image.PREFIX)
    owner.take(into)
    argv = [program(component, "mariadb-backup"), "--no-defaults", "--prepare", f"--target-dir={into}"]
    with Child(argv, doing=doing, owner=owner, last_line="completed OK!") as child:
        child.done()
    _remove_outside_links(into)
    logs = _logs(source)
    scratch = into / _SCRATCH
    scratch.mkdir(mode=0o700)
    source.extract(scratch, binlog.PREFIX)
    with PrivateServer(component, into, owner, state["settings"], doing) as server:
        argv = [
            program(component, "mariadb-binlog"),
            "--no-defaults",
            "--verify-binlog-checksum",
            # The first file begins in the middle of a history, which the strict mode reports as a gap.
            "--skip-gtid-strict-mode",
            *(str(scratch / name) for name in logs),
        ]
        with Child(argv, doing=doing, stdout=subprocess.PIPE) as reader:
            server.load(output(reader))
    shutil.rmtree(scratch)
    for name in os.listdir(into):
        if name.startswith(_BACKUP_FILES) or name == "backup-my.cnf":
            os.unlink(into / name)
    if state.get("gtid_state") and state["settings"].get("log_bin"):
        lines = state["gtid_state"].replace(",", "\n") + "\n"
        (into / f"{os.path.basename(state['settings']['log_bin'])}.state").write_text(lines)


def _from_dump(component: Component, source: Source, into: Path, owner: MariaDBOwner, doing: str) -> None:
    settings = source.point.state["settings"]
    owner.take(into)
    names = ("innodb_page_size", "innodb_data_file_path", "innodb_undo_tablespaces", "lower_case_table_names")
    argv = [
        program(component, "mariadb-install-db"),
        "--no-defaults",
        f"--datadir={into}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        *(f"--{name.replace('_', '-')}={settings[name]}" for name in names if settings.get(name)),
    ]
    with Child(argv, doing=doing, owner=owner) as child:
        child.done()
    with PrivateServer(component, into, owner, settings, doing) as server:
        server.load(source.read(logical.PATH))


def _logs(source: Source) -> list[str]:
    """The log's files in the order they were written."""
    inside = binlog.PREFIX + b"/"
    names = [os.fsdecode(p[len(inside) :]) for p in source.entries.path.tolist() if p.startswith(inside)]
    return sorted(names, key=binlog.number)


def _require_version(component: Component, state: Mapping[str, Any], doing: str) -> None:
    """Raises UndividedError unless the installed mariadb-backup is of the image's own version series."""
    tool = program(component, "mariadb-backup")
    version = subprocess.run([tool, "--version"], capture_output=True, check=False, text=True)
    if f"server {state['series']}." not in version.stdout + version.stderr:
        raise UndividedError(
            f"the image is of MariaDB {state['version']}, and {tool} is of another version",
            doing=doing,
            hint=f"Install MariaDB {state['series']}, or set `binaries` to its directory.",
        )


def _remove_outside_links(into: Path) -> None:
    """Removes the links of tables with DATA DIRECTORY: their files are in the image, and a restored server
    must not open the original's files."""
    for link in into.glob("*/*.isl"):
        if link.with_suffix(".ibd").exists():
            link.unlink()


def _require_plain(source: Source, doing: str) -> None:
    """Raises DamageError unless the image has only files and directories: later writes into the copy must not
    follow a link out of it."""
    kinds = set(source.entries.kind.tolist())
    if not kinds <= {int(Kind.FILE), int(Kind.DIRECTORY)}:
        raise DamageError(
            "the image holds links or special files, which no capture of MariaDB makes", doing=doing
        )


def _require_reachable(into: Path, owner: MariaDBOwner, doing: str) -> None:
    """Raises UndividedError when the owner of the data cannot enter `into`."""
    if os.geteuid() != 0:
        return
    for folder in into.resolve().parents:
        found = os.stat(folder)
        mine = found.st_mode >> 6 if found.st_uid == owner.uid else found.st_mode
        mine = found.st_mode >> 3 if found.st_uid != owner.uid and found.st_gid == owner.gid else mine
        if not mine & 1:
            raise UndividedError(
                f"the owner of the data (uid {owner.uid}) has no permission to enter {folder}",
                doing=doing,
                hint=f"Run chmod o+x {folder}, or recover to a directory that the account can enter.",
            )
