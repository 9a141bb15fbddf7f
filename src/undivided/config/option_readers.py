"""Readers of single values: each checks a value of a declared type (config/component_options.py).

A reader returns the checked value. If the value is wrong, it adds a complaint with the value's place and
returns None; the parser continues, so that all errors of a file are shown at once. No complaint quotes a
value that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..model.durations import parse_duration
from .component_options import Key, Type
from .service_sections import KEEP_RULES
from .yaml_nodes import Complaints, Node

Exists = Callable[[str], bool]

SECRET_SOURCES = ("file", "env", "command")
WRITERS = ("unit", "cgroup", "pidfile", "user")
FREEZES = ("cgroup", "stop")
LARGEST = 2**63 - 1
"""No counter of the program is larger."""
_COMMAND_HINT = 'Write ["program", "argument"]: commands never go through a shell.'


def members(node: Node, name: str, complaints: Complaints) -> dict[str, tuple[Node, Node]]:
    """The keys of a mapping. For any other value: a complaint, and no keys."""
    if isinstance(node.value, dict):
        return node.value
    cause = f"{name} must be a mapping of keys to values, not {kind_name(node.value)}"
    complaints.add(node, cause, "Write one `key: value` on each line, or {key: value, key: value}.")
    return {}


def add_unknown(place: Node, cause: str, name: str, known: Iterable[str], complaints: Complaints) -> None:
    """A complaint about a name that is not among the known ones, with the closest one as its hint."""
    from difflib import get_close_matches

    known = list(known)
    close = get_close_matches(name, known, 1, 0.6)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
    complaints.add(place, f"{cause} {name!r}", hint)


def read_table(node: Node, keys: Mapping[str, Key], name: str, complaints: Complaints) -> dict[str, Any]:
    """A mapping read by a table of keys: the checked values, and defaults for keys that are not given."""
    given = members(node, name, complaints)
    values = {key: spec.default for key, spec in keys.items() if spec.default is not None}
    for key, (place, value) in given.items():
        if key not in keys:
            add_unknown(place, f"{name}: unknown key", key, keys, complaints)
        else:
            read = read_value(value, keys[key], f"{name}: {key}", complaints)
            if read is not None:
                values[key] = read
    for key, spec in keys.items():
        if spec.required and key not in given and isinstance(node.value, dict):
            complaints.add(node, f"{name}: key {key!r} is missing", f"{key}: {spec.description}.")
    return values


def read_value(node: Node, key: Key, name: str, complaints: Complaints, exists: Exists | None = None) -> Any:
    """The checked value, or None after a complaint. exists: called for the paths that must exist."""
    value = _READERS[key.type](node, name, complaints)
    if key.exists and exists and value is not None and not exists(value):
        complaints.add(node, f"{name}: {value} does not exist", "Create it first, or correct the path.")
    return value


def kind_name(value: Any) -> str:
    """A value's type in words, for complaints: its content may be a secret."""
    if value is None or value == "":
        return "empty"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a mapping")


def _text(node: Node, name: str, complaints: Complaints) -> str | None:
    if isinstance(node.value, str) and node.value:
        return node.value
    empty = node.value is None or node.value == ""
    quotes = "Put quotes around it." if isinstance(node.value, bool | int | float) else "Write one text."
    hint = "Write a text, or remove it." if empty else quotes
    complaints.add(node, f"{name} must be text, not {kind_name(node.value)}", hint)
    return None


def _integer(node: Node, name: str, complaints: Complaints) -> int | None:
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        if abs(node.value) <= LARGEST:
            return node.value
        complaints.add(node, f"{name} must be at most {LARGEST}", "Write a smaller number.")
        return None
    hint = "Write its digits only, without quotes, a fraction or a zero in front."
    complaints.add(node, f"{name} must be a whole number, not {kind_name(node.value)}", hint)
    return None


def _port(node: Node, name: str, complaints: Complaints) -> int | None:
    port = _integer(node, name, complaints)
    if port is not None and not 1 <= port <= 65535:
        hint = "Write the port at which the server listens."
        complaints.add(node, f"{name} must be between 1 and 65535, not {port}", hint)
        return None
    return port


def _path(node: Node, name: str, complaints: Complaints) -> str | None:
    path = _text(node, name, complaints)
    if path is not None and (not path.startswith("/") or "\0" in path):
        complaints.add(node, f"{name} must be an absolute path, not {path!r}", "Start the path with /.")
        return None
    return path


def _flag(node: Node, name: str, complaints: Complaints) -> bool | None:
    if isinstance(node.value, bool):
        return node.value
    hint = "Write true or false, without quotes."
    complaints.add(node, f"{name} must be true or false, not {kind_name(node.value)}", hint)
    return None


def _texts(node: Node, name: str, complaints: Complaints) -> list[str] | None:
    if not isinstance(node.value, list):
        cause = f"{name} must be a list of texts, not {kind_name(node.value)}"
        complaints.add(node, cause, "Write [one, two].")
        return None
    return [text for item in node.value if (text := _text(item, name, complaints)) is not None]


def _command(node: Node, name: str, complaints: Complaints) -> list[str] | None:
    if not isinstance(node.value, list):
        cause = f"{name} must be a list of a program and its arguments, not {kind_name(node.value)}"
        complaints.add(node, cause, _COMMAND_HINT)
        return None
    if not node.value:
        complaints.add(node, f"{name} has no program", _COMMAND_HINT)
        return None
    return _texts(node, name, complaints)


def _secret(node: Node, name: str, complaints: Complaints) -> dict[str, Any] | None:
    hint = "Write where it is: {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}."
    if not isinstance(node.value, dict):
        complaints.add(
            node, f"{name} is written in plain text: a service file must not contain secrets", hint
        )
        return None
    return _one_of(node, SECRET_SOURCES, name, complaints, hint)


def _writers(node: Node, name: str, complaints: Complaints) -> dict[str, Any] | None:
    given = members(node, name, complaints)
    found: dict[str, Any] = {}
    if "freeze" in given:
        _, freeze = given["freeze"]
        if freeze.value not in FREEZES:
            cause = f"{name}: freeze must be one of {', '.join(FREEZES)}"
            complaints.add(freeze, cause, "Leave it out to use the cgroup, if no other process is in it.")
        else:
            found["freeze"] = freeze.value
    rest = Node({k: v for k, v in given.items() if k != "freeze"}, node.line, node.column)
    if isinstance(node.value, dict):
        hint = "Name the writers by {unit: NAME}, {cgroup: PATH}, {pidfile: PATH} or {user: NAME}."
        found.update(_one_of(rest, WRITERS, name, complaints, hint, ("freeze",)) or {})
    return found or None


def _one_of(
    node: Node,
    names: tuple[str, ...],
    name: str,
    complaints: Complaints,
    hint: str,
    others: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    """A mapping with exactly one of `names`. `command` is a list; `file`, `cgroup` and `pidfile` are paths.
    others: further keys that are allowed and read elsewhere."""
    found: dict[str, Any] = {}
    for key, (place, value) in node.value.items():
        if key not in names:
            add_unknown(place, f"{name}: unknown key", key, (*names, *others), complaints)
            continue
        reader = _command if key == "command" else _path if key in ("file", "cgroup", "pidfile") else _text
        read = reader(value, f"{name}: {key}", complaints)
        if read is not None:
            found[key] = read
    if len([n for n in node.value if n in names]) != 1:
        complaints.add(node, f"{name} must have exactly one of {', '.join(names)}", hint)
        return None
    return found or None


def _duration(node: Node, name: str, complaints: Complaints) -> float | None:
    hint = "Write a number with its unit: 15s, 5m, 1h30m, 7d, 2w."
    if not isinstance(node.value, str) or not node.value:
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        given = f"a number without a unit ({node.value})" if number else kind_name(node.value)
        complaints.add(node, f"{name} must be a duration, not {given}", hint)
        return None
    try:
        return parse_duration(node.value)
    except ValueError as error:
        complaints.add(node, f"{name}: {error}", hint)
        return None


def _url(node: Node, name: str, complaints: Complaints) -> str | None:
    url = _text(node, name, complaints)
    if url is None:
        return None
    match = re.fullmatch(r"https?://([^/\s]+)(/\S*)?", url)
    if not match:
        hint = "Write it as http://127.0.0.1:8080/health."
        complaints.add(node, f"{name} must be an http:// or https:// address", hint)
        return None
    if "@" in match[1]:
        cause = f"{name} contains a password: a service file must not contain secrets"
        complaints.add(node, cause, "Use `command` with a program that has the password from another place.")
        return None
    return url


def impossible(url: str) -> str:
    """Why no connection to an address of the type URL can ever be opened; "" when one can be tried."""
    try:
        address = urlsplit(url)
        host, port = address.hostname, address.port
        (host or "").encode("idna")
    except UnicodeError:
        return "its host cannot be a name in DNS"
    except ValueError as error:
        return str(error)[:1].lower() + str(error)[1:]
    if not host:
        return "it has no host"
    if not (address.path + address.query).isascii():
        return "its path must be ASCII: write other characters as %XX"
    return "the port must be between 1 and 65535, not 0" if port == 0 else ""


def _keep(node: Node, name: str, complaints: Complaints) -> dict[str, float] | None:
    given = members(node, name, complaints)
    if isinstance(node.value, dict) and not given:
        hint = "To keep every point, remove it; otherwise write rules: {last: 20, daily: 30}."
        complaints.add(node, f"{name} has no rule", hint)
    rules: dict[str, float] = {}
    for rule, (place, value) in given.items():
        if rule not in KEEP_RULES:
            add_unknown(place, f"{name}: unknown rule", rule, KEEP_RULES, complaints)
            continue
        amount = _keep_amount(value, rule, f"{name}: {rule}", complaints)
        if amount is not None:
            rules[rule] = amount
    return rules


def _keep_amount(node: Node, rule: str, name: str, complaints: Complaints) -> float | None:
    """How many points a rule of KEEP_RULES keeps, or for how many seconds."""
    if KEEP_RULES[rule].type is Type.DURATION:
        return _duration(node, name, complaints)
    if isinstance(node.value, bool) or not isinstance(node.value, int):
        quoted = f" ({node.value})" if isinstance(node.value, str) and node.value else ""
        cause = f"{name} must be a number of points, not {kind_name(node.value)}{quoted}"
        complaints.add(node, cause, "To keep points for a duration, write `within: 2d`.")
        return None
    if node.value < 1:
        complaints.add(node, f"{name} must be at least 1", "To keep no points by this rule, remove the rule.")
        return None
    if node.value > LARGEST:
        hint = "To keep every point, remove `keep`."
        complaints.add(node, f"{name} must be at most {LARGEST}", hint)
        return None
    return node.value


_READERS: Mapping[Type, Callable[[Node, str, Complaints], Any]] = {
    Type.TEXT: _text,
    Type.PORT: _port,
    Type.PATH: _path,
    Type.FLAG: _flag,
    Type.TEXTS: _texts,
    Type.COMMAND: _command,
    Type.SECRET: _secret,
    Type.WRITERS: _writers,
    Type.DURATION: _duration,
    Type.INTEGER: _integer,
    Type.URL: _url,
    Type.KEEP: _keep,
}
