"""YAML values that know where they were written, so that every complaint can name its place.

PyYAML's composer gives nodes with marks. They become `Node`s here: plain values, each with its line and
column. Plain values without places become the same nodes, so that a definition from a recovery point goes
through the same parser.

Invariant: a document is small. Nodes are counted, so that aliases which expand without end are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model.errors import UsageError

NODES = 10_000
"""A document with more nodes is no service file."""
DEPTH = 20


@dataclass(frozen=True, slots=True)
class Node:
    """value: str, int, float, bool, None, a list of Nodes, or a dict of key → (Node of the key, Node).
    line, column: from 1; 0 for values that were never in a file."""

    value: Any
    line: int = 0
    column: int = 0

    def plain(self) -> Any:
        """The value as written, without places."""
        if isinstance(self.value, dict):
            return {key: value.plain() for key, (_, value) in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error in a file. cause: lower-case. hint: a sentence with the next step."""

    line: int
    column: int
    cause: str
    hint: str


class FileError(UsageError):
    """All errors of a file at once, in the order of their places."""

    def __init__(self, source: str, complaints: list[Complaint]) -> None:
        self.source = source
        self.complaints = tuple(sorted(complaints, key=lambda c: (c.line, c.column)))
        count = "1 error" if len(complaints) == 1 else f"{len(complaints)} errors"
        super().__init__("\n".join([count, *map(self._line, self.complaints)]), doing=f"read {source}")

    def _line(self, complaint: Complaint) -> str:
        place = f"{self.source}:{complaint.line}:{complaint.column}" if complaint.line else self.source
        return f"  {place}: {complaint.cause}\n    HINT: {complaint.hint}"


class Complaints:
    """Collects the errors of one file; `settle` raises all of them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[Complaint] = []

    def add(self, node: Node, cause: str, hint: str) -> None:
        self.found.append(Complaint(node.line, node.column, cause, hint))

    def settle(self) -> None:
        """Raises FileError if there are complaints."""
        if self.found:
            raise FileError(self.source, self.found)


def from_plain(value: Any) -> Node:
    """Nodes without places."""
    if isinstance(value, Mapping):
        return Node({str(k): (Node(str(k)), from_plain(v)) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return Node([from_plain(item) for item in value])
    return Node(value)


def from_yaml(text: str, complaints: Complaints) -> Node:
    """The one document of a YAML text. Adds a complaint for each duplicate key. Raises FileError when the
    text is not YAML, is empty or is too large."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        root = loader.get_single_node()
        if root is None:
            hint = "If writing it was interrupted, restore the file or write it again."
            complaints.add(Node(None, 1, 1), "the file is empty", hint)
            complaints.settle()
        return _Converter(loader, complaints).convert(root, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Node(None, mark.line + 1, mark.column + 1) if mark else Node(None, 1, 1)
        cause = f"invalid YAML: {error.problem or error.context}"
        complaints.add(place, cause, _syntax_hint(str(error.problem)))
    except (yaml.YAMLError, ValueError) as error:
        hint = "Write the file as plain text, without control characters and without endless numbers."
        complaints.add(Node(None, 1, 1), f"invalid YAML: {str(error).splitlines()[0]}", hint)
    finally:
        loader.dispose()
    complaints.settle()
    raise AssertionError("settle raises the complaint that was just added")


class _Converter:
    def __init__(self, loader: Any, complaints: Complaints) -> None:
        self.loader = loader
        self.complaints = complaints
        self.count = 0

    def convert(self, node: Any, depth: int) -> Node:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.count += 1
        if self.count > NODES or depth > DEPTH:
            hint = f"A file has at most {NODES:,} values, nested at most {DEPTH} deep. Shorten it."
            self.complaints.add(Node(None, line, column), "the file is too large or nested too deeply", hint)
            self.complaints.settle()
        if node.id == "scalar":
            return Node(self._scalar(node), line, column)
        if node.id == "sequence":
            return Node([self.convert(item, depth + 1) for item in node.value], line, column)
        members: dict[str, tuple[Node, Node]] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, depth + 1)
            name = key_node.value if key_node.id == "scalar" else "?"
            if name in members:
                first = members[name][0].line
                cause = f"duplicate key {name!r}, first used on line {first}"
                self.complaints.add(key, cause, "Keep one of them.")
            members[name] = (key, self.convert(value_node, depth + 1))
        return Node(members, line, column)

    def _scalar(self, node: Any) -> Any:
        """Only JSON's scalars: a date or an octal number is the text that was written."""
        kind = node.tag.rpartition(":")[2]
        if kind not in ("int", "float", "bool", "null"):
            return node.value
        value = self.loader.construct_object(node)
        if kind == "int" and node.value != str(value):
            return node.value
        return value


def _syntax_hint(problem: str) -> str:
    if "tab" in problem or "\\t" in problem:
        return "Indent with spaces: YAML allows no tabs."
    return "Look for a missing colon, quote or bracket here or just before."
