"""config.yaml: the vaults, and the directory for state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

NEAR = "near"
"""The primary vault, to which every point is committed. Vaults are named by place."""


class Config(NamedTuple):
    vaults: Mapping[str, str]
    """Name → URL or path."""
    state: Path | None
    """Directory for state; None for the default one."""

    @staticmethod
    def of(record: Mapping[str, Any]) -> Config:
        """From a record made by `as_record`."""
        return Config(record["vaults"], Path(record["state"]) if record["state"] else None)

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"vaults": dict(self.vaults), "state": str(self.state) if self.state else None}


def read_config(text: str, source: str) -> Config:
    """From config.yaml. Raises FileError (a UsageError) with all its errors."""
    from .component_options import Key, Type
    from .option_readers import add_unknown, members, read_value
    from .yaml_nodes import Complaints, Node, from_yaml

    complaints = Complaints(source)
    root = from_yaml(text, complaints)
    given = members(root, "the configuration", complaints)
    for key, (place, _) in given.items():
        if key not in ("vaults", "state"):
            add_unknown(place, "unknown key", key, ("vaults", "state"), complaints)
    vaults: dict[str, str] = {}
    listed = given["vaults"][1] if "vaults" in given else Node({})
    for name, (_, value) in members(listed, "vaults", complaints).items():
        vaults[name] = read_value(value, Key(Type.TEXT, "place of the vault"), f"vaults: {name}", complaints)
    if NEAR not in vaults:
        hint = f"Write vaults: {{{NEAR}: /path/of/the/vault}}."
        complaints.add(root, f"no vault named {NEAR!r}", hint)
    state = None
    if "state" in given:
        path = read_value(given["state"][1], Key(Type.PATH, "directory for state"), "state", complaints)
        state = Path(path) if path else None
    complaints.settle()
    return Config(vaults, state)


def write_config(vaults: Mapping[str, str]) -> str:
    """The text of a new config.yaml."""
    lines = ["# Vaults of this machine. Points go to the primary vault first.", "vaults:"]
    # JSON's quoting is also YAML's, so a path cannot break out of its line.
    return "\n".join([*lines, *(f"  {name}: {json.dumps(url)}" for name, url in vaults.items()), ""])
