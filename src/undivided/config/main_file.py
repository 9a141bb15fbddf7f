"""config.yaml: which vaults there are, and where state is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

NEAR = "near"
"""The vault that points go to first."""


class Config(NamedTuple):
    vaults: Mapping[str, str]
    """Name → URL or path."""
    state: Path | None
    """Where state is kept; None for the usual place."""

    @staticmethod
    def of(record: Mapping[str, Any]) -> Config:
        """From what `as_record` gave."""
        return Config(record["vaults"], Path(record["state"]) if record["state"] else None)

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"vaults": dict(self.vaults), "state": str(self.state) if self.state else None}


def read_config(text: str, source: str) -> Config:
    """From config.yaml. Raises FileError (a UsageError) with everything that is wrong with it."""
    from .component_options import Key, Type
    from .option_readers import members, typed, unknown
    from .yaml_nodes import Complaints, Node, from_yaml

    notes = Complaints(source)
    root = from_yaml(text, notes)
    given = members(root, "the configuration", notes)
    for key, (place, _) in given.items():
        if key not in ("vaults", "state"):
            unknown(place, key, ("vaults", "state"), "unknown key", notes)
    vaults: dict[str, str] = {}
    listed = given["vaults"][1] if "vaults" in given else Node({})
    for name, (_, value) in members(listed, "vaults", notes).items():
        vaults[name] = typed(value, Key(Type.TEXT, "where the vault is"), f"vaults: {name}", notes)
    if NEAR not in vaults:
        notes.add(root, f"no vault named {NEAR!r}", "Write vaults: {near: /path/of/the/vault}.")
    state = None
    if "state" in given:
        said = typed(given["state"][1], Key(Type.PATH, "where state is kept"), "state", notes)
        state = Path(said) if said else None
    notes.settle()
    return Config(vaults, state)


def write_config(vaults: Mapping[str, str]) -> str:
    """config.yaml of a new configuration."""
    lines = ["# Where points go. Other vaults may follow under names of their own.", "vaults:"]
    # JSON's quoting is YAML's: no path can break out of its line.
    return "\n".join([*lines, *(f"  {name}: {json.dumps(url)}" for name, url in vaults.items()), ""])
