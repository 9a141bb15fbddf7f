"""The keys of a service file apart from its components: objectives, policy, copies, checks.

Tables of the same shape as config/component_options.py. The parser and the JSON Schema both read them.
"""

from __future__ import annotations

from collections.abc import Mapping

from .component_options import Key, Type

NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Names of services and components: they become names of files and directories."""

KEEP_RULES: Mapping[str, Key] = {
    "last": Key(Type.INTEGER, "the newest points, this many"),
    "hourly": Key(Type.INTEGER, "the first point of each hour (UTC), of the newest hours that have points"),
    "daily": Key(Type.INTEGER, "the same for days"),
    "weekly": Key(Type.INTEGER, "the same for weeks, which begin on Monday"),
    "monthly": Key(Type.INTEGER, "the same for months"),
    "yearly": Key(Type.INTEGER, "the same for years"),
    "within": Key(Type.DURATION, "every point that is at most this much older than the newest point"),
}
"""The rules that keep a point (policy/keep.py). Without any rule, no point ever expires."""

TOP: Mapping[str, str] = {
    "service": "name of the service",
    "components": "name of each component → its description",
    "needs": "component → the components it needs; decides the order of starts and of quiescing",
    "objectives": "recovery objectives agreed with the users of the service",
    "policy": "how often points are taken, how long they are kept, which vaults get copies",
    "checks": "conditions that must hold after a recovery",
}
REQUIRED = ("service", "components")

COMPONENT: Mapping[str, str] = {
    "kind": "kind of the component",
    "host": "host of the component; this host when absent",
}

OBJECTIVES: Mapping[str, Key] = {
    "rpo": Key(Type.DURATION, "recovery point objective: the longest time whose changes may be lost"),
    "rto": Key(Type.DURATION, "recovery time objective: the longest time a recovery may take"),
    "proof": Key(Type.DURATION, "how often a recovery must be proven"),
}

POLICY: Mapping[str, Key] = {
    "mark": Key(Type.DURATION, "time between two points"),
    "pause": Key(Type.DURATION, "the longest time writers may be paused for a point", default=5.0),
    "keep": Key(Type.KEEP, "rules that decide which points are kept; without it all are kept"),
}

COPY: Mapping[str, Key] = {
    "vault": Key(Type.TEXT, "name of the vault that gets the copy", required=True),
    "within": Key(Type.DURATION, "every point is copied within this time"),
    "every": Key(Type.DURATION, "one point is copied this often"),
    "keep": Key(Type.KEEP, "rules that decide which points are kept there; without it all are kept"),
}

CHECK: Mapping[str, Key] = {
    "http": Key(Type.URL, "address that must answer"),
    "command": Key(Type.COMMAND, "program that must end with the expected exit code"),
    "expect": Key(Type.INTEGER, "expected HTTP status (200) or exit code (0)"),
    "contains": Key(Type.TEXT, "text that the answer or output must contain"),
    "timeout": Key(Type.DURATION, "how long to wait", default=30.0),
}
