"""debug entry, pack, timeline: a look inside the vault for a person who repairs it.

The vault is opened as far as it opens, also when other commands refuse it. Needs no passphrase: the
names and contents of protected files stay sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .workspace import Workspace

if TYPE_CHECKING:
    from ..vault.debug import EntryDetails, PackDetails, TimelineDetails


def debug_entry(workspace: Workspace, number: int) -> EntryDetails:
    """Raises UsageError when the log has no entry of this number."""
    from ..vault import debug

    return debug.debug_entry(workspace.vault_as_it_is(), number)


def debug_pack(workspace: Workspace, digest: str) -> PackDetails:
    """digest: hex, whole or its beginning. Raises UsageError when no pack or several begin so."""
    from ..vault import debug

    return debug.debug_pack(workspace.vault_as_it_is(), digest)


def debug_timeline(workspace: Workspace, timeline: str) -> TimelineDetails:
    """timeline: its id, whole or its beginning. Raises UsageError when no timeline or several begin so."""
    from ..vault import debug

    return debug.debug_timeline(workspace.vault_as_it_is(), timeline)
