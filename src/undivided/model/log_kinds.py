"""The kinds of entries in a vault's commit log: the one list of them.

They stand here and not in the vault because the catalog, which does not import the vault, reads entries as
well. Readers pass over a kind that they do not know: a newer version may have written it.
"""

from __future__ import annotations

from enum import StrEnum


class LogKind(StrEnum):
    """The value is stored. Which of them are signed: vault/crypto/signing.py."""

    POINT = "point"
    """A recovery point: capture/protect.py."""
    PIN = "pin"
    """A point must not expire, or may expire again: operations/points.py."""
    RECOVERY = "recovery"
    """The result of a recovery: recovery/result.py."""
    SESSION = "session"
    """Registers a session before it uploads: vault/log/session.py."""
    PRUNE = "prune"
    """Expires points, compacts timelines and marks objects for deletion: vault/prune."""
    VERIFICATION = "verification"
    """What was verified: vault/verify/record.py."""
    DAMAGE = "damage"
    """Marks damaged objects: vault/index/damage_marks.py."""
    REPAIR = "repair"
    """Objects that are whole again, or a rebuilt index: vault/repair."""
    SALVAGE = "salvage"
    """The readable chunks of damaged packs, stored again: vault/repair/execute.py."""
    KEY = "key"
    """Lists who can open the vault: vault/log/keyring.py."""
    EPOCH = "epoch"
    """New keys are in force from here on: vault/crypto/key_epochs.py."""
