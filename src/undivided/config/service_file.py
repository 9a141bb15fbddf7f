"""From a service file to a `Service`, or to every complaint about it at once.

An operator who wrote a file wants to hear all that is wrong with it, each with its place and what to do, not
one mistake per attempt. So nothing here stops at the first mistake: readers note complaints and go on with
what is right, and `settle` raises them together.

The same parser reads a definition back from a recovery point, then without asking whether paths exist here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ..model.service import Check, Component, CopyRule, Objectives, Policy, Service
from .component_options import KINDS
from .option_readers import Exists, kind_name, members, table, typed, unknown
from .service_sections import CHECK, COMPONENT, COPY, NAME, OBJECTIVES, POLICY, REQUIRED, TOP
from .yaml_nodes import Complaints, Node, from_plain, from_yaml


def parse_service(text: str, source: str, *, exists: Exists | None = os.path.exists) -> Service:
    """A service from YAML. source: how complaints name the file. exists: asked for the paths that have to be
    there; None believes them. Raises FileError (a UsageError) with everything that is wrong."""
    notes = Complaints(source)
    return _service(from_yaml(text, notes), notes, exists)


def parse_definition(definition: Mapping[str, Any], source: str) -> Service:
    """A service from its `definition`, as a recovery point keeps it; paths need not exist here."""
    return _service(from_plain(definition), Complaints(source), None)


def parse_target(text: str, source: str, service: Service) -> dict[str, dict[str, Any]]:
    """From target.yaml: component → the keys that change where it is recovered to. Raises FileError."""
    notes = Complaints(source)
    changes: dict[str, dict[str, Any]] = {}
    for name, (place, node) in members(from_yaml(text, notes), "a target", notes).items():
        if name not in service.components:
            unknown(place, name, service.components, f"service {service.name} has no component", notes)
            continue
        keys = KINDS[service.components[name].kind]
        changes[name] = {}
        for key, (key_place, value) in members(node, name, notes).items():
            if key == "host":
                read = _name(value, f"{name}: host", notes)
            elif key in keys:
                read = typed(value, keys[key], f"{name}: {key}", notes)
            else:
                unknown(key_place, key, (*keys, "host"), f"{name}: unknown key", notes)
                continue
            changes[name][key] = read
    notes.settle()
    return changes


def _service(root: Node, notes: Complaints, exists: Exists | None) -> Service:
    given = members(root, "a service file", notes)
    for key, (place, _) in given.items():
        if key not in TOP:
            unknown(place, key, TOP, "unknown key", notes)
    for key in REQUIRED:
        if key not in given and isinstance(root.value, dict):
            notes.add(root, f"key {key!r} is missing", f"{key}: {TOP[key]}.")
    sections = {key: node for key, (_, node) in given.items()}
    nothing = Node({})
    name = _name(sections["service"], "service", notes) if "service" in sections else None
    components, declared = _components(sections.get("components", nothing), notes, exists)
    service = Service(
        name=name or "",
        components=components,
        needs=_needs(sections.get("needs", nothing), declared, notes),
        objectives=Objectives(**table(sections.get("objectives", nothing), OBJECTIVES, "objectives", notes)),
        policy=_policy(sections.get("policy", nothing), notes),
        checks=_checks(sections.get("checks", Node([])), notes),
        definition=root.plain() if isinstance(root.value, dict) else {},
    )
    notes.settle()
    return service


def _name(node: Node, what: str, notes: Complaints) -> str | None:
    if isinstance(node.value, str) and re.match(NAME, node.value):
        return node.value
    said = repr(node.value) if isinstance(node.value, str) else kind_name(node.value)
    notes.add(
        node,
        f"{what} must be a name, not {said}",
        "Use lower-case letters, digits, '.', '_' and '-', at most 63, a letter or digit first.",
    )
    return None


def _components(
    node: Node, notes: Complaints, exists: Exists | None
) -> tuple[dict[str, Component], list[str]]:
    """The components that are right, and the names of all that were declared (for `needs`)."""
    given = members(node, "components", notes)
    if isinstance(node.value, dict) and not given and node.line:
        notes.add(node, "components names none", "A service has at least one component.")
    found: dict[str, Component] = {}
    for name, (place, value) in given.items():
        _name(place, "a component's name", notes)
        component = _component(name, value, notes, exists)
        if component:
            found[name] = component
    return found, list(given)


def _component(name: str, node: Node, notes: Complaints, exists: Exists | None) -> Component | None:
    given = members(node, f"component {name}", notes)
    if not isinstance(node.value, dict):
        return None
    if "kind" not in given:
        notes.add(node, f"component {name}: key 'kind' is missing", f"Known kinds: {', '.join(KINDS)}.")
        return None
    kind_node = given["kind"][1]
    kind = kind_node.value
    if not isinstance(kind, str) or kind not in KINDS:
        unknown(kind_node, str(kind), KINDS, f"component {name}: unknown kind", notes)
        return None
    keys = KINDS[kind]
    host = _name(given["host"][1], f"component {name}: host", notes) if "host" in given else None
    options = {key: spec.default for key, spec in keys.items() if spec.default is not None}
    for key, (place, value) in given.items():
        if key in COMPONENT:
            continue
        if key not in keys:
            unknown(place, key, (*COMPONENT, *keys), f"component {name}: unknown key", notes)
            continue
        read = typed(value, keys[key], f"component {name}: {key}", notes, exists)
        if read is not None:
            options[key] = read
    for key, spec in keys.items():
        if spec.required and key not in given:
            notes.add(node, f"component {name}: key {key!r} is missing", f"{key}: {spec.says}.")
    return Component(name, kind, options, host or "localhost")


def _needs(node: Node, declared: list[str], notes: Complaints) -> dict[str, tuple[str, ...]]:
    needs: dict[str, tuple[str, ...]] = {}
    for name, (place, value) in members(node, "needs", notes).items():
        if name not in declared:
            unknown(place, name, declared, "needs: unknown component", notes)
        targets: list[str] = []
        listed = value.value if isinstance(value.value, list) else [value]
        for item in listed:
            if item.value not in declared:
                unknown(item, str(item.value), declared, f"needs: {name} needs an unknown component", notes)
            elif item.value not in targets:
                targets.append(item.value)
        needs[name] = tuple(targets)
    cycle = _cycle(needs)
    if cycle:
        place = node.value[cycle[0]][0]
        notes.add(place, f"needs: a cycle: {' → '.join(cycle)}", "Take one of these edges out.")
    return needs


def _cycle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The first cycle met, its first component again at the end; nothing when there is none."""
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


def _policy(node: Node, notes: Complaints) -> Policy:
    given = members(node, "policy", notes)
    for key, (place, _) in given.items():
        if key not in (*POLICY, "copies"):
            unknown(place, key, (*POLICY, "copies"), "policy: unknown key", notes)
    own = Node({k: v for k, v in given.items() if k in POLICY}, node.line, node.column)
    values = table(own, POLICY, "policy", notes)
    copies: list[CopyRule] = []
    if "copies" in given:
        listed = given["copies"][1]
        if not isinstance(listed.value, list):
            notes.add(listed, "policy: copies must be a list", "Write - {vault: far, within: 1h}.")
        else:
            copies = [rule for item in listed.value if (rule := _copy(item, notes))]
    return Policy(**values, copies=tuple(copies))


def _copy(node: Node, notes: Complaints) -> CopyRule | None:
    values = table(node, COPY, "policy: copies", notes)
    if isinstance(node.value, dict) and ("within" in node.value) == ("every" in node.value):
        notes.add(
            node,
            "policy: copies must have exactly one of within, every",
            "`within: 1h` copies every point in that time; `every: 7d` copies one that often.",
        )
    return CopyRule(**values) if "vault" in values else None


def _checks(node: Node, notes: Complaints) -> tuple[Check, ...]:
    if not isinstance(node.value, list):
        notes.add(node, f"checks must be a list, not {kind_name(node.value)}", "Start each with '- '.")
        return ()
    checks: list[Check] = []
    for item in node.value:
        values = table(item, CHECK, "checks", notes)
        if not isinstance(item.value, dict):
            continue
        if ("http" in item.value) == ("command" in item.value):
            notes.add(item, "checks: a check has exactly one of http, command")
            continue
        values.setdefault("expect", 200 if "http" in values else 0)
        if "command" in values:
            values["command"] = tuple(values["command"])
        checks.append(Check(**values))
    return tuple(checks)
