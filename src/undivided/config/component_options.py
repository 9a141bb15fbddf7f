"""The kinds of component, and the keys of each in a service file.

One table serves the parser, the JSON Schema, the documentation and the drivers' defaults. A driver reads its
options by these names; their values are checked already.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Type(enum.StrEnum):
    TEXT = "text"
    PORT = "port"
    PATH = "path"
    """An absolute path."""
    FLAG = "flag"
    TEXTS = "texts"
    COMMAND = "command"
    """A program and its arguments, as a list: never a shell string."""
    SECRET = "secret"  # noqa: S105
    """{file: PATH}, {env: NAME} or {command: [PROGRAM, …]}: the place of the secret, never the secret."""
    WRITERS = "writers"
    """The processes that write here and must be frozen: {unit: …}, {cgroup: …}, {pidfile: …} or {user: …}.
    How: {freeze: cgroup} or {freeze: stop}; by default cgroup, if no other process is in it."""
    DURATION = "duration"
    """A number and its unit: 15s, 5m, 1h30m, 7d, 2w."""
    INTEGER = "integer"
    URL = "url"
    """An http or https address without a password."""
    KEEP = "keep"
    """{rule: count} and {within: duration}: which points are kept (rules: config/service_sections.py)."""


@dataclass(frozen=True, slots=True)
class Key:
    type: Type
    description: str
    required: bool = False
    default: Any = None
    exists: bool = False
    """The path must exist when the service is applied."""


_RUN = {
    "unit": Key(Type.TEXT, "systemd unit of it: started and stopped by systemctl"),
    "start": Key(Type.COMMAND, "command that starts it, if it has no unit"),
    "stop": Key(Type.COMMAND, "command that stops it, if it has no unit"),
}
_LOGIN = {
    "address": Key(Type.TEXT, "TCP address of the server", default="127.0.0.1"),
    "password": Key(Type.SECRET, "place of the password"),
}

KINDS: Mapping[str, Mapping[str, Key]] = {
    "files": {
        "path": Key(Type.PATH, "root of the tree", required=True, exists=True),
        "include": Key(Type.TEXTS, "patterns of the paths to protect; all paths when absent"),
        "exclude": Key(Type.TEXTS, "patterns of the paths to leave out"),
        "one_filesystem": Key(
            Type.FLAG, "leave out other filesystems that are mounted inside the tree", default=False
        ),
        "writers": Key(Type.WRITERS, "processes that write here; they are frozen while a point is taken"),
        **_RUN,
    },
    "mariadb": {
        "socket": Key(Type.PATH, "UNIX socket of the server"),
        "port": Key(Type.PORT, "TCP port of the server", default=3306),
        "user": Key(Type.TEXT, "database user", default="root"),
        "path": Key(Type.PATH, "data directory; the server is asked when absent"),
        "defaults": Key(Type.PATH, "my.cnf with which the server is started"),
        "binaries": Key(Type.PATH, "directory of mariadbd and mariadb-backup"),
        **_LOGIN,
        **_RUN,
    },
    "postgresql": {
        "socket": Key(Type.PATH, "directory of the server's UNIX socket"),
        "port": Key(Type.PORT, "port of the server", default=5432),
        "user": Key(Type.TEXT, "database user", default="postgres"),
        "database": Key(Type.TEXT, "database to connect to", default="postgres"),
        "path": Key(Type.PATH, "data directory; the server is asked when absent"),
        "binaries": Key(Type.PATH, "directory of postgres and pg_ctl"),
        **_LOGIN,
        **_RUN,
    },
    "redis": {
        "socket": Key(Type.PATH, "UNIX socket of the server"),
        "port": Key(Type.PORT, "TCP port of the server", default=6379),
        "user": Key(Type.TEXT, "ACL user"),
        "path": Key(Type.PATH, "working directory of the server; the server is asked when absent"),
        "config": Key(Type.PATH, "redis.conf with which the server is started"),
        "binaries": Key(Type.PATH, "directory of redis-server"),
        **_LOGIN,
        **_RUN,
    },
    "sqlite": {
        "path": Key(Type.PATH, "the database file", required=True, exists=True),
        **_RUN,
    },
}
