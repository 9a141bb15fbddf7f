"""The kinds of component there are and what a service file may say of each.

One table serves the parser, the JSON Schema, the documentation and the drivers' defaults. A driver reads its
options by these names and finds them checked.
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
    """{file: PATH}, {env: NAME} or {command: [PROGRAM, …]}: where the secret is, never the secret."""
    WRITERS = "writers"
    """Who writes here and so must be held: {unit: …}, {cgroup: …}, {pidfile: …} or {user: …}, and how:
    {freeze: cgroup} or {freeze: stop}; cgroup where the writers have one to themselves."""
    DURATION = "duration"
    """A number and its unit: 15s, 5m, 1h30m, 7d, 2w."""
    INTEGER = "integer"
    URL = "url"
    """An http or https address, without a password in it."""
    KEEP = "keep"
    """{rule: count}, and {within: duration}: which points stay (config/service_sections.py has the rules)."""


@dataclass(frozen=True, slots=True)
class Key:
    type: Type
    says: str
    required: bool = False
    default: Any = None
    exists: bool = False
    """Whether the path must exist when the service is applied."""


_RUN = {
    "unit": Key(Type.TEXT, "systemd unit that runs it: started and stopped through systemctl"),
    "start": Key(Type.COMMAND, "how to start it, where there is no unit"),
    "stop": Key(Type.COMMAND, "how to stop it, where there is no unit"),
}
_LOGIN = {
    "address": Key(Type.TEXT, "TCP address of the server", default="127.0.0.1"),
    "password": Key(Type.SECRET, "where the password is"),
}

KINDS: Mapping[str, Mapping[str, Key]] = {
    "files": {
        "path": Key(Type.PATH, "root of the tree", required=True, exists=True),
        "include": Key(Type.TEXTS, "patterns of what to protect; everything when absent"),
        "exclude": Key(Type.TEXTS, "patterns of what to leave out"),
        "one_filesystem": Key(Type.FLAG, "stay on the root's filesystem", default=False),
        "writers": Key(Type.WRITERS, "who writes here, held during the cut"),
        **_RUN,
    },
    "mariadb": {
        "socket": Key(Type.PATH, "UNIX socket of the server"),
        "port": Key(Type.PORT, "TCP port of the server", default=3306),
        "user": Key(Type.TEXT, "database user", default="root"),
        "path": Key(Type.PATH, "data directory; asked from the server when absent"),
        "defaults": Key(Type.PATH, "my.cnf that the server is started with"),
        "binaries": Key(Type.PATH, "directory of mariadbd and mariadb-backup"),
        **_LOGIN,
        **_RUN,
    },
    "postgresql": {
        "socket": Key(Type.PATH, "directory of the server's UNIX socket"),
        "port": Key(Type.PORT, "port of the server", default=5432),
        "user": Key(Type.TEXT, "database user", default="postgres"),
        "database": Key(Type.TEXT, "database to connect to", default="postgres"),
        "path": Key(Type.PATH, "data directory; asked from the server when absent"),
        "binaries": Key(Type.PATH, "directory of postgres and pg_ctl"),
        **_LOGIN,
        **_RUN,
    },
    "redis": {
        "socket": Key(Type.PATH, "UNIX socket of the server"),
        "port": Key(Type.PORT, "TCP port of the server", default=6379),
        "user": Key(Type.TEXT, "ACL user"),
        "path": Key(Type.PATH, "its working directory; asked from the server when absent"),
        "config": Key(Type.PATH, "redis.conf that the server is started with"),
        "binaries": Key(Type.PATH, "directory of redis-server"),
        **_LOGIN,
        **_RUN,
    },
    "sqlite": {
        "path": Key(Type.PATH, "the database file", required=True, exists=True),
        **_RUN,
    },
}
