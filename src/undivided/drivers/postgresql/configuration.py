"""The server's configuration: captured wherever it lies, and restored so that the server starts at its new
place.

Debian keeps postgresql.conf, pg_hba.conf and pg_ident.conf outside the data directory, and no log records
their changes. So every point reads them, wherever they lie, and keeps them under `config/` when they have
changed. They are read through the server, which may need a grant, or else from the disk.

A recovery puts them into the data directory. Settings that would tie the copy to its original are removed:
the place of the data, included files (their text is appended instead), the archive it would write into, the
standbys it would wait for. Address, port and socket come from the component's options.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model.entries import Entry, Layout
from ...model.service import Component
from ..base import Sink
from .server import PostgreSQLFacts, psycopg2, server_errors

if TYPE_CHECKING:
    from psycopg2.extensions import connection

MAIN, HBA, IDENT, AUTO = "postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf"
INCLUDED = "included.conf"

REMEMBERED = ("listen_addresses", "unix_socket_directories", "log_directory", "ssl_cert_file", "ssl_key_file")
"""Settings that recovery needs, and whose effective value may come from the command line."""

_TIED = re.compile(
    rb"^(\s*(?:data_directory|hba_file|ident_file|external_pid_file|include|include_dir|include_if_exists)"
    rb"\b[^\n]*)$",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """files: name under `config/` → text. settings: effective values of REMEMBERED."""

    files: Mapping[str, bytes]
    settings: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        whole = hashlib.sha256()
        for name, text in sorted(self.files.items()):
            whole.update(f"{name} {len(text)}\n".encode() + text)
        return whole.hexdigest()

    def put(self, sink: Sink) -> None:
        for name, text in self.files.items():
            sink.put(Entry(b"config/" + name.encode(), mode=0o600), [text], Layout.CONTENT)


def read_configuration(control: connection, found: PostgreSQLFacts, doing: str) -> Configuration:
    """Reads the files that the server names. A file that cannot be read is noted, never left out silently."""
    settings = found.settings
    auto = str(Path(settings["data_directory"], AUTO))
    files: dict[str, bytes] = {}
    unread: list[str] = []
    places = {
        MAIN: settings["config_file"],
        HBA: settings["hba_file"],
        IDENT: settings["ident_file"],
        AUTO: auto,
    }
    for name, place in places.items():
        text = _read(control, place, doing)
        if text is None:
            unread.append(place)
        else:
            files[name] = text
    included = [s for s in found.sources if s not in (settings["config_file"], auto)]
    parts = []
    for place in included:
        text = _read(control, place, doing)
        if text is None:
            unread.append(place)
        else:
            parts.append(f"# {place}\n".encode() + text.rstrip(b"\n") + b"\n")
    if parts:
        files[INCLUDED] = b"\n".join(parts)
    note = f"could not read {', '.join(unread)}: a recovery uses the copy in the image, else the defaults"
    notes = (note,) if unread else ()
    return Configuration(files, {name: settings.get(name, "") for name in REMEMBERED}, notes)


def _read(control: connection, place: str, doing: str) -> bytes | None:
    """A file, read through the server, else from this host's disk; None when neither can read it."""
    library = psycopg2()
    try:
        with control.cursor() as cursor:
            cursor.execute("SELECT pg_read_binary_file(%s)", (place,))
            (content,) = cursor.fetchone() or (b"",)
            return bytes(content)
    except (library.errors.InsufficientPrivilege, library.errors.UndefinedFile):
        pass
    except library.Error as error:
        with server_errors(doing):
            raise error
    try:
        return Path(place).read_bytes()
    except OSError:
        return None


def place_configuration(
    into: Path, files: Mapping[str, bytes], state: Mapping[str, Any], component: Component
) -> None:
    """Writes a restored cluster's configuration into its data directory, adapted to its new place."""
    main = files.get(MAIN)
    if main is None:
        inside = into / MAIN
        main = inside.read_bytes() if inside.exists() else b"# The original's file could not be read.\n"
    text = _TIED.sub(rb"# removed by recovery: \1", main).rstrip(b"\n") + b"\n"
    if INCLUDED in files:
        text += b"\n# Text of the files that the original included:\n" + _TIED.sub(
            rb"# removed by recovery: \1", files[INCLUDED]
        )
    _write(into / MAIN, text)
    for name, default in ((HBA, _DEFAULT_HBA), (IDENT, b"")):
        if name in files:
            _write(into / name, files[name])
        elif not (into / name).exists():
            _write(into / name, default)
    own = files.get(AUTO) or ((into / AUTO).read_bytes() if (into / AUTO).exists() else b"")
    ours = "".join(f"{k} = '{_quoted(v)}'\n" for k, v in overrides(state, component).items())
    _write(into / AUTO, own.rstrip(b"\n") + b"\n" + ours.encode())


def overrides(state: Mapping[str, Any], component: Component) -> dict[str, str]:
    """Settings of a restored cluster that override the captured ones."""
    was: Mapping[str, str] = state.get("settings", {})
    address = str(component.get("address", "127.0.0.1"))
    listening = [a.strip() for a in was.get("listen_addresses", "").split(",")]
    listens = (
        address in listening or "*" in listening or ("localhost" in listening and address == "127.0.0.1")
    )
    socket = component.get("socket")
    sockets = [s.strip() for s in was.get("unix_socket_directories", "").split(",") if s.strip()]
    chosen = {
        "port": str(component.get("port", 5432)),
        "listen_addresses": was["listen_addresses"] if listens else address,
        "unix_socket_directories": str(socket) if socket else ", ".join(s for s in sockets if _usable(s)),
        "archive_mode": "off",
        "synchronous_standby_names": "",
    }
    if was.get("log_directory", "").startswith("/"):
        chosen["log_directory"] = "log"
    keys = [was.get("ssl_cert_file", ""), was.get("ssl_key_file", "")]
    if any(k.startswith("/") and not os.path.exists(k) for k in keys):
        chosen["ssl"] = "off"
    return chosen


def _usable(directory: str) -> bool:
    return os.path.isdir(directory)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _write(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    path.chmod(0o600)


_DEFAULT_HBA = b"""\
# The original's pg_hba.conf could not be read. Only the server's own account can connect.
local all all peer
"""
