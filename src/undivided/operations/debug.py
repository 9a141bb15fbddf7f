"""debug entry, pack, timeline: a look inside the vault for a person who repairs it.

The vault is opened as far as it opens, also when other commands refuse it. Needs no passphrase: the
names and contents of protected files stay sealed.
"""

from __future__ import annotations

from typing import Any

from ..model.times import iso_utc
from .workspace import Workspace


def debug_entry(workspace: Workspace, number: int) -> dict[str, Any]:
    """A record of one log entry: see vault/debug.py. Raises UsageError when the log has none of this
    number."""
    from ..vault import debug

    record = debug.debug_entry(workspace.vault_as_it_is(), number)
    if "time_ns" in record:
        record["time"] = iso_utc(record["time_ns"])
    return record


def debug_pack(workspace: Workspace, digest: str) -> dict[str, Any]:
    """A record of one pack: see vault/debug.py. digest: hex, whole or its beginning. Raises UsageError when
    no pack or several begin so."""
    from ..vault import debug

    return debug.debug_pack(workspace.vault_as_it_is(), digest)


def debug_timeline(workspace: Workspace, timeline: str) -> dict[str, Any]:
    """A record of one timeline: see vault/debug.py. timeline: its id, whole or its beginning. Raises
    UsageError when no timeline or several begin so."""
    from ..vault import debug

    return debug.debug_timeline(workspace.vault_as_it_is(), timeline)
