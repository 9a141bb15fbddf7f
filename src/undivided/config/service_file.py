"""From a service file to a `Service`, or to all complaints about it at once.

An operator should see every error of a file in one attempt, each with its place and a hint. So nothing here
stops at the first error: readers add complaints and continue with the rest, and `settle` raises them
together.

The same parser reads a definition from a recovery point; paths of another machine are then not checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ..model.service import Check, Component, CopyRule, Objectives, Policy, Service
from .component_options import KINDS
from .option_readers import Exists, add_unknown, impossible, kind_name, members, read_table, read_value
from .service_sections import CHECK, COMPONENT, COPY, NAME, OBJECTIVES, POLICY, REQUIRED, TOP
from .yaml_nodes import Complaints, Node, from_plain, from_yaml


def parse_service(text: str, source: str, *, exists: Exists | None = os.path.exists) -> Service:
    """A service from YAML. source: the file's name in complaints. exists: called for the paths that must
    exist; None skips this check. Raises FileError (a UsageError) with all errors."""
    complaints = Complaints(source)
    return _service(from_yaml(text, complaints), complaints, exists)


def parse_definition(definition: Mapping[str, Any], source: str) -> Service:
    """A service from its `definition`, as a recovery point keeps it. Its paths need not exist here."""
    return _service(from_plain(definition), Complaints(source), None)


def parse_target(text: str, source: str, service: Service) -> dict[str, dict[str, Any]]:
    """From target.yaml: component → the keys that change where it is recovered to. Raises FileError."""
    complaints = Complaints(source)
    changes: dict[str, dict[str, Any]] = {}
    for name, (place, node) in members(from_yaml(text, complaints), "a target", complaints).items():
        if name not in service.components:
            cause = f"service {service.name} has no component"
            add_unknown(place, cause, name, service.components, complaints)
            continue
        keys = KINDS[service.components[name].kind]
        changes[name] = {}
        for key, (key_place, value) in members(node, name, complaints).items():
            if key == "host":
                read = _name(value, f"{name}: host", complaints)
            elif key in keys:
                read = read_value(value, keys[key], f"{name}: {key}", complaints)
            else:
                add_unknown(key_place, f"{name}: unknown key", key, (*keys, "host"), complaints)
                continue
            changes[name][key] = read
    complaints.settle()
    return changes


def _service(root: Node, complaints: Complaints, exists: Exists | None) -> Service:
    given = members(root, "a service file", complaints)
    for key, (place, _) in given.items():
        if key not in TOP:
            add_unknown(place, "unknown key", key, TOP, complaints)
    for key in REQUIRED:
        if key not in given and isinstance(root.value, dict):
            complaints.add(root, f"key {key!r} is missing", f"{key}: {TOP[key]}.")
    sections = {key: node for key, (_, node) in given.items()}
    absent = Node({})
    name = _name(sections["service"], "service", complaints) if "service" in sections else None
    components, declared = _components(sections.get("components", absent), complaints, exists)
    objectives = read_table(sections.get("objectives", absent), OBJECTIVES, "objectives", complaints)
    service = Service(
        name=name or "",
        components=components,
        needs=_needs(sections.get("needs", absent), declared, complaints),
        objectives=Objectives(**objectives),
        policy=_policy(sections.get("policy", absent), complaints),
        checks=_checks(sections.get("checks", Node([])), complaints, applied=exists is not None),
        definition=root.plain() if isinstance(root.value, dict) else {},
    )
    complaints.settle()
    return service


def _name(node: Node, name: str, complaints: Complaints) -> str | None:
    if isinstance(node.value, str) and re.fullmatch(NAME, node.value):
        return node.value
    given = repr(node.value) if isinstance(node.value, str) and node.value else kind_name(node.value)
    hint = (
        "Use lower-case letters, digits, '.', '_' and '-', at most 63 in all. Begin with a letter or a digit."
    )
    complaints.add(node, f"{name} must be a name, not {given}", hint)
    return None


def _components(
    node: Node, complaints: Complaints, exists: Exists | None
) -> tuple[dict[str, Component], list[str]]:
    """The valid components, and the names of all that are declared (for `needs`)."""
    given = members(node, "components", complaints)
    if isinstance(node.value, dict) and not given and node.line:
        complaints.add(node, "components is empty", "A service has at least one component.")
    found: dict[str, Component] = {}
    for name, (place, value) in given.items():
        _name(place, "the key of a component", complaints)
        component = _component(name, value, complaints, exists)
        if component:
            found[name] = component
    return found, list(given)


def _component(name: str, node: Node, complaints: Complaints, exists: Exists | None) -> Component | None:
    given = members(node, f"component {name}", complaints)
    if not isinstance(node.value, dict):
        return None
    if "kind" not in given:
        complaints.add(node, f"component {name}: key 'kind' is missing", f"Known kinds: {', '.join(KINDS)}.")
        return None
    kind_node = given["kind"][1]
    kind = kind_node.value
    if not isinstance(kind, str):
        cause = f"component {name}: kind must be text, not {kind_name(kind)}"
        complaints.add(kind_node, cause, f"Known kinds: {', '.join(KINDS)}.")
        return None
    if kind not in KINDS:
        add_unknown(kind_node, f"component {name}: unknown kind", kind, KINDS, complaints)
        return None
    keys = KINDS[kind]
    host = _name(given["host"][1], f"component {name}: host", complaints) if "host" in given else None
    options = {key: spec.default for key, spec in keys.items() if spec.default is not None}
    for key, (place, value) in given.items():
        if key in COMPONENT:
            continue
        if key not in keys:
            add_unknown(place, f"component {name}: unknown key", key, (*COMPONENT, *keys), complaints)
            continue
        read = read_value(value, keys[key], f"component {name}: {key}", complaints, exists)
        if read is not None:
            options[key] = read
    for key, spec in keys.items():
        if spec.required and key not in given:
            complaints.add(node, f"component {name}: key {key!r} is missing", f"{key}: {spec.description}.")
    return Component(name, kind, options, host or "localhost")


def _needs(node: Node, declared: list[str], complaints: Complaints) -> dict[str, tuple[str, ...]]:
    needs: dict[str, tuple[str, ...]] = {}
    for name, (place, value) in members(node, "needs", complaints).items():
        if name not in declared:
            add_unknown(place, "needs: unknown component", name, declared, complaints)
        targets: list[str] = []
        listed = value.value if isinstance(value.value, list) else [value]
        for item in listed:
            if not isinstance(item.value, str):
                cause = f"needs: {name} must name components, not {kind_name(item.value)}"
                complaints.add(item, cause, "Write one name, or [one, two].")
            elif item.value not in declared:
                cause = f"needs: {name} needs an unknown component"
                add_unknown(item, cause, item.value, declared, complaints)
            elif item.value not in targets:
                targets.append(item.value)
        needs[name] = tuple(targets)
    cycle = _cycle(needs)
    if cycle:
        place = node.value[cycle[0]][0]
        hint = "Remove one of these dependencies."
        complaints.add(place, f"needs: the dependencies form a cycle: {' → '.join(cycle)}", hint)
    return needs


def _cycle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The first cycle found, with its first component again at the end; empty when there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in needs.get(name, ()):
            found = visit(target, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for name in needs:
        found = visit(name, [])
        if found:
            return found
    return []


def _policy(node: Node, complaints: Complaints) -> Policy:
    given = members(node, "policy", complaints)
    for key, (place, _) in given.items():
        if key not in (*POLICY, "copies"):
            add_unknown(place, "policy: unknown key", key, (*POLICY, "copies"), complaints)
    own = Node({k: v for k, v in given.items() if k in POLICY}, node.line, node.column)
    values = read_table(own, POLICY, "policy", complaints)
    copies: list[CopyRule] = []
    if "copies" in given:
        listed = given["copies"][1]
        if not isinstance(listed.value, list):
            cause = f"policy: copies must be a list, not {kind_name(listed.value)}"
            complaints.add(listed, cause, "Write - {vault: far, within: 1h}.")
        else:
            copies = [rule for item in listed.value if (rule := _copy(item, complaints))]
    return Policy(**values, copies=tuple(copies))


def _copy(node: Node, complaints: Complaints) -> CopyRule | None:
    values = read_table(node, COPY, "policy: copies", complaints)
    if isinstance(node.value, dict) and ("within" in node.value) == ("every" in node.value):
        complaints.add(
            node,
            "policy: copies must have exactly one of within, every",
            "`within: 1h` copies every point within that time; `every: 7d` copies one point that often.",
        )
    return CopyRule(**values) if "vault" in values else None


def _checks(node: Node, complaints: Complaints, *, applied: bool) -> tuple[Check, ...]:
    """applied: whether the file is applied now. A point's definition may have an address to which nothing can
    connect, from an earlier program: the point is recovered, and the check fails."""
    if not isinstance(node.value, list):
        cause = f"checks must be a list, not {kind_name(node.value)}"
        complaints.add(node, cause, "Start each check with '- '.")
        return ()
    checks: list[Check] = []
    for item in node.value:
        values = read_table(item, CHECK, "checks", complaints)
        if not isinstance(item.value, dict):
            continue
        if ("http" in item.value) == ("command" in item.value):
            hint = "Write {http: ADDRESS} or {command: [PROGRAM, …]}, each as a check of its own."
            complaints.add(item, "checks: a check must have exactly one of http, command", hint)
            continue
        if applied and "http" in values and (wrong := impossible(values["http"])):
            hint = "Write it as http://127.0.0.1:8080/health, with a port from 1 to 65535."
            complaints.add(item.value["http"][1], f"checks: http: {wrong}", hint)
        values.setdefault("expect", 200 if "http" in values else 0)
        if "command" in values:
            values["command"] = tuple(values["command"])
        checks.append(Check(**values))
    return tuple(checks)
