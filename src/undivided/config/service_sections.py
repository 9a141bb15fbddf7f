"""What a service file may say besides its components: objectives, policy, copies, checks.

Tables of the same shape as config/component_options.py, read by the parser and by the JSON Schema alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from .component_options import Key, Type

NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Names of services and components: they become file and directory names."""

KEEP_RULES: Mapping[str, Key] = {
    "last": Key(Type.INTEGER, "the newest so many points"),
    "hourly": Key(Type.INTEGER, "the first point of each of the newest so many hours (UTC) that have any"),
    "daily": Key(Type.INTEGER, "the same of days"),
    "weekly": Key(Type.INTEGER, "the same of weeks, from Monday on"),
    "monthly": Key(Type.INTEGER, "the same of months"),
    "yearly": Key(Type.INTEGER, "the same of years"),
    "within": Key(Type.DURATION, "every point that is at most so much older than the newest"),
}
"""What makes a point stay (policy/keep.py). Without any rule, nothing is ever expired."""

TOP: Mapping[str, str] = {
    "service": "name of the service",
    "components": "name of each component → what it is",
    "needs": "component → the components it needs: start order, hold order, what may refer to what",
    "objectives": "what was agreed with the people who use the service",
    "policy": "how often points are taken, how long they are kept, where copies go",
    "checks": "what must hold after a recovery",
}
REQUIRED = ("service", "components")

COMPONENT: Mapping[str, str] = {"kind": "what it is", "host": "the host it lives on; this one when absent"}

OBJECTIVES: Mapping[str, Key] = {
    "rpo": Key(Type.DURATION, "recovery point objective: at most this much may be lost"),
    "rto": Key(Type.DURATION, "recovery time objective: back within this time"),
    "proof": Key(Type.DURATION, "how often a recovery has to be proven"),
}

POLICY: Mapping[str, Key] = {
    "mark": Key(Type.DURATION, "time between points when the service is followed"),
    "pause": Key(Type.DURATION, "hard cap of a hold", default=5.0),
    "keep": Key(Type.KEEP, "which points stay, by rule; without it all do"),
}

COPY: Mapping[str, Key] = {
    "vault": Key(Type.TEXT, "name of the vault that gets the copy", required=True),
    "within": Key(Type.DURATION, "every point goes there within this time"),
    "every": Key(Type.DURATION, "one point goes there this often"),
    "keep": Key(Type.KEEP, "which points stay there, by rule; without it all do"),
}

CHECK: Mapping[str, Key] = {
    "http": Key(Type.URL, "address that must answer"),
    "command": Key(Type.COMMAND, "program that must end with the expected exit code"),
    "expect": Key(Type.INTEGER, "HTTP status (200) or exit code (0)"),
    "contains": Key(Type.TEXT, "text that the answer or output must contain"),
    "timeout": Key(Type.DURATION, "how long to wait", default=30.0),
}
