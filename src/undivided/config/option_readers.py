"""Reading one value of a declared type (config/component_options.py) from where it was written.

Each reader returns the checked value, or notes a complaint at the value's place and returns None: parsing
goes on, so that all mistakes of a file are shown at once. No complaint ever quotes what may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..model.durations import parse_duration
from .component_options import Key, Type
from .service_sections import KEEP_RULES
from .yaml_nodes import Complaints, Node

Exists = Callable[[str], bool]

SECRET_SOURCES = ("file", "env", "command")
WRITERS = ("unit", "cgroup", "pidfile", "user")
FREEZES = ("cgroup", "stop")


def members(node: Node, what: str, notes: Complaints) -> dict[str, tuple[Node, Node]]:
    """The keys of a mapping; none, with a complaint, when it is something else."""
    if isinstance(node.value, dict):
        return node.value
    notes.add(node, f"{what} must be a mapping of keys to values, not {kind_name(node.value)}")
    return {}


def unknown(key: Node, name: str, known: Iterable[str], what: str, notes: Complaints) -> None:
    """Complains of a name that nobody knows, with what was probably meant."""
    from difflib import get_close_matches

    known = list(known)
    close = get_close_matches(name, known, 1, 0.6)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
    notes.add(key, f"{what} {name!r}", hint)


def table(node: Node, keys: Mapping[str, Key], what: str, notes: Complaints) -> dict[str, Any]:
    """A mapping read by a table of keys: checked values and defaults, without what was not given."""
    given = members(node, what, notes)
    values = {name: key.default for name, key in keys.items() if key.default is not None}
    for name, (place, value) in given.items():
        if name not in keys:
            unknown(place, name, keys, f"{what}: unknown key", notes)
        else:
            read = typed(value, keys[name], f"{what}: {name}", notes)
            if read is not None:
                values[name] = read
    for name, key in keys.items():
        if key.required and name not in given and isinstance(node.value, dict):
            notes.add(node, f"{what}: key {name!r} is missing", f"{name}: {key.says}.")
    return values


def typed(node: Node, key: Key, what: str, notes: Complaints, exists: Exists | None = None) -> Any:
    """The checked value, or None after a complaint. exists: asked for paths that have to be there."""
    value = _READERS[key.type](node, what, notes)
    if key.exists and exists and value is not None and not exists(value):
        notes.add(node, f"{what}: {value} does not exist", "Create it first, or correct the path.")
    return value


def kind_name(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "a mapping")


def _text(node: Node, what: str, notes: Complaints) -> str | None:
    if isinstance(node.value, str) and node.value:
        return node.value
    quote = "Put quotes around it." if isinstance(node.value, bool | int | float) else ""
    notes.add(node, f"{what} must be a text, not {kind_name(node.value) if node.value else 'empty'}", quote)
    return None


def _integer(node: Node, what: str, notes: Complaints) -> int | None:
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    notes.add(node, f"{what} must be a whole number, not {kind_name(node.value)}")
    return None


def _port(node: Node, what: str, notes: Complaints) -> int | None:
    port = _integer(node, what, notes)
    if port is not None and not 1 <= port <= 65535:
        notes.add(node, f"{what} must be between 1 and 65535, not {port}")
        return None
    return port


def _path(node: Node, what: str, notes: Complaints) -> str | None:
    path = _text(node, what, notes)
    if path is not None and (not path.startswith("/") or "\0" in path):
        notes.add(node, f"{what} must be an absolute path, not {path!r}", "Write it from / on.")
        return None
    return path


def _flag(node: Node, what: str, notes: Complaints) -> bool | None:
    if isinstance(node.value, bool):
        return node.value
    notes.add(node, f"{what} must be true or false, not {kind_name(node.value)}")
    return None


def _texts(node: Node, what: str, notes: Complaints) -> list[str] | None:
    if not isinstance(node.value, list):
        notes.add(node, f"{what} must be a list of texts, not {kind_name(node.value)}", "Write [one, two].")
        return None
    return [text for item in node.value if (text := _text(item, what, notes)) is not None]


def _command(node: Node, what: str, notes: Complaints) -> list[str] | None:
    if isinstance(node.value, str):
        hint = 'Write ["program", "argument"]: commands never go through a shell.'
        notes.add(node, f"{what} must be a list: a program and its arguments", hint)
        return None
    command = _texts(node, what, notes)
    if command == []:
        notes.add(node, f"{what} names no program")
        return None
    return command


def _secret(node: Node, what: str, notes: Complaints) -> dict[str, Any] | None:
    hint = "Say where it is: {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}."
    if not isinstance(node.value, dict):
        notes.add(node, f"{what} is written inline: secrets do not belong in service files", hint)
        return None
    return _one_of(node, SECRET_SOURCES, what, notes, hint)


def _writers(node: Node, what: str, notes: Complaints) -> dict[str, Any] | None:
    given = members(node, what, notes)
    found: dict[str, Any] = {}
    if "freeze" in given:
        _, freeze = given["freeze"]
        if freeze.value not in FREEZES:
            notes.add(freeze, f"{what}: freeze must be one of {', '.join(FREEZES)}")
        else:
            found["freeze"] = freeze.value
    rest = Node({k: v for k, v in given.items() if k != "freeze"}, node.line, node.column)
    if isinstance(node.value, dict):
        hint = "Name them by {unit: NAME}, {cgroup: PATH}, {pidfile: PATH} or {user: NAME}."
        found.update(_one_of(rest, WRITERS, what, notes, hint, ("freeze",)) or {})
    return found or None


def _one_of(
    node: Node, names: tuple[str, ...], what: str, notes: Complaints, hint: str, also: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """A mapping with exactly one of `names`: `command` a list; `file`, `cgroup`, `pidfile` paths."""
    found: dict[str, Any] = {}
    for name, (place, value) in node.value.items():
        if name not in names:
            unknown(place, name, (*names, *also), f"{what}: unknown key", notes)
            continue
        reader = _command if name == "command" else _path if name in ("file", "cgroup", "pidfile") else _text
        read = reader(value, f"{what}: {name}", notes)
        if read is not None:
            found[name] = read
    if len([n for n in node.value if n in names]) != 1:
        notes.add(node, f"{what} must have exactly one of {', '.join(names)}", hint)
        return None
    return found or None


def _duration(node: Node, what: str, notes: Complaints) -> float | None:
    hint = "Write a number and its unit: 15s, 5m, 1h30m, 7d, 2w."
    if not isinstance(node.value, str):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        said = f"a number without a unit ({node.value})" if number else kind_name(node.value)
        notes.add(node, f"{what} must be a duration, not {said}", hint)
        return None
    try:
        return parse_duration(node.value)
    except ValueError as error:
        notes.add(node, f"{what}: {error}", hint)
        return None


def _url(node: Node, what: str, notes: Complaints) -> str | None:
    url = _text(node, what, notes)
    if url is None:
        return None
    match = re.fullmatch(r"https?://([^/\s]+)(/\S*)?", url)
    if not match:
        notes.add(node, f"{what} must be an http:// or https:// address")
        return None
    if "@" in match[1]:
        notes.add(node, f"{what} has a password in its address: secrets do not belong in service files")
        return None
    return url


def _keep(node: Node, what: str, notes: Complaints) -> dict[str, float] | None:
    given = members(node, what, notes)
    if isinstance(node.value, dict) and not given:
        notes.add(
            node, f"{what} has no rule", "Leave it out to keep every point, or write {last: 20, daily: 30}."
        )
    rules: dict[str, float] = {}
    for name, (place, value) in given.items():
        if name not in KEEP_RULES:
            unknown(place, name, KEEP_RULES, f"{what}: unknown rule", notes)
            continue
        amount = keep_amount(value, name, f"{what}: {name}", notes)
        if amount is not None:
            rules[name] = amount
    return rules


def keep_amount(node: Node, rule: str, what: str, notes: Complaints) -> float | None:
    """How many points a rule of KEEP_RULES keeps; for a duration, seconds."""
    if KEEP_RULES[rule].type is Type.DURATION:
        return _duration(node, what, notes)
    if isinstance(node.value, bool) or not isinstance(node.value, int):
        said = (
            f"{kind_name(node.value)} ({node.value})"
            if isinstance(node.value, str)
            else kind_name(node.value)
        )
        notes.add(
            node, f"{what} must be a number of points, not {said}", "For a duration there is `within: 2d`."
        )
        return None
    if node.value < 1:
        notes.add(node, f"{what} must keep at least 1", "Leave the rule out to keep none by it.")
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
