"""From a point back to a data directory that is exactly at the mark, and starts.

With a log: the image's files, made whole by `mariadb-backup --prepare`, then everything in `log/` replayed by
a private server. The log in the vault ends at the mark, so there is no position to stop at. With a dump: a
new data directory, and the dump loaded.

What a restored server would otherwise lose is its place in the history of global transaction ids. A state
file beside the binary log to come gives it that, as a clean shutdown leaves it: its next transaction gets the
next number.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.entries import Kind
from ...model.errors import DamageError, SourceError, UndividedError
from ...model.service import Component
from ..base import Source
from . import binlog, image, logical, physical
from .configuration import write_configuration
from .private_server import PrivateServer, output
from .programs import Child, MariaDBOwner, program

_SCRATCH = ".undivided-restore"
"""A name that no database can have, and that the server does not take for one."""
_LEFT_BY_THE_TOOL = ("xtrabackup_", "mariadb_backup_")


def restore(component: Component, source: Source, into: Path) -> None:
    """Fills the empty directory `into`. Raises UndividedError; then `into` is worth nothing."""
    doing = f"restore {component.name} to {into}"
    state = source.point.state
    way = state.get("way")
    if way not in (physical.WAY, logical.WAY):
        raise UndividedError(f"its point was made in a way this version does not know: {way!r}", doing=doing)
    _plain(source, doing)
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = MariaDBOwner.fit(int(state["uid"]), int(state["gid"]))
        _reachable(into, owner, doing)
        if way == physical.WAY:
            _from_image(component, source, into, owner, doing)
        else:
            _from_dump(component, source, into, owner, doing)
        write_configuration(component, into, state["settings"])
        owner.take(into)
    except OSError as error:
        cause = f"{error.filename or into}: {(error.strerror or str(error)).lower()}"
        raise UndividedError(cause, doing=doing) from error
    except SourceError as error:
        # What failed is a program at work on the copy; nothing is wrong with the source.
        raise UndividedError(error.cause, doing=doing, hint=error.hint) from error


def _from_image(component: Component, source: Source, into: Path, owner: MariaDBOwner, doing: str) -> None:
    state = source.point.state
    _fits(component, state, doing)
    source.extract(into, image.PREFIX)
    owner.take(into)
    argv = [program(component, "mariadb-backup"), "--no-defaults", "--prepare", f"--target-dir={into}"]
    with Child(argv, doing=doing, owner=owner, says="completed OK!") as child:
        child.done()
    _forget_other_places(into)
    logs = _logs(source)
    scratch = into / _SCRATCH
    scratch.mkdir(mode=0o700)
    source.extract(scratch, binlog.PREFIX)
    with PrivateServer(component, into, owner, state["settings"], doing) as server:
        argv = [
            program(component, "mariadb-binlog"),
            "--no-defaults",
            "--verify-binlog-checksum",
            # The first file begins in the middle of a history, which the strict mode takes for a gap.
            "--skip-gtid-strict-mode",
            *(str(scratch / name) for name in logs),
        ]
        with Child(argv, doing=doing, stdout=subprocess.PIPE) as reader:
            server.load(output(reader))
    shutil.rmtree(scratch)
    for name in os.listdir(into):
        if name.startswith(_LEFT_BY_THE_TOOL) or name == "backup-my.cnf":
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


def _fits(component: Component, state: Mapping[str, Any], doing: str) -> None:
    """Data files are prepared by the version that made them. Raises UndividedError with what is needed."""
    tool = program(component, "mariadb-backup")
    said = subprocess.run([tool, "--version"], capture_output=True, check=False, text=True)
    if f"server {state['series']}." not in said.stdout + said.stderr:
        raise UndividedError(
            f"the image is of MariaDB {state['version']}, and {tool} is of another version",
            doing=doing,
            hint=f"Install MariaDB {state['series']}, or name its directory as `binaries`.",
        )


def _forget_other_places(into: Path) -> None:
    """Tables whose files lay elsewhere (DATA DIRECTORY) are in the image; the links to their old place must
    not lead a restored server to the original's files."""
    for link in into.glob("*/*.isl"):
        if link.with_suffix(".ibd").exists():
            link.unlink()


def _plain(source: Source, doing: str) -> None:
    """Raises DamageError unless all there is are files and directories: what is written into the copy
    afterwards must not follow a link out of it."""
    kinds = set(source.entries.kind.tolist())
    if not kinds <= {int(Kind.FILE), int(Kind.DIRECTORY)}:
        raise DamageError("it holds what no capture of MariaDB makes", doing=doing)


def _reachable(into: Path, owner: MariaDBOwner, doing: str) -> None:
    """Raises UndividedError when the owner of the data cannot get to `into`."""
    if os.geteuid() != 0:
        return
    for folder in into.resolve().parents:
        found = os.stat(folder)
        mine = found.st_mode >> 6 if found.st_uid == owner.uid else found.st_mode
        mine = found.st_mode >> 3 if found.st_uid != owner.uid and found.st_gid == owner.gid else mine
        if not mine & 1:
            raise UndividedError(
                f"the account that owns the data (uid {owner.uid}) may not enter {folder}",
                doing=doing,
                hint=f"Let it: chmod o+x {folder}; or recover to a directory it can reach.",
            )
