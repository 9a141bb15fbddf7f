"""Named places where a crash must leave either the old state or the new one.

A test sets UNDIVIDED_CRASH_AT to a name, and the process is killed there: no handler runs, nothing is cleaned
up. All names are listed here, so that the tests can crash at each of them.

It is a matter of the host, although the names come from other rooms: what happens is a signal to a process,
and atomic_files.py in this room has crash points too, which no room above could give it.
"""

from __future__ import annotations

import os
import signal

PROTECT = (
    "protect.begun",
    "protect.prepared",
    "cut.watchdog-started",
    "cut.first-held",
    "cut.held",
    "cut.marked",
    "cut.released",
    "vault.session-logged",
    "vault.pack-stored",
    "vault.packs-stored",
    "vault.segments-stored",
    "protect.cache-written",
    "vault.committed",
    "protect.cache-promoted",
    "protect.cataloged",
)
RECOVER = (
    "recover.planned",
    "recover.first-built",
    "recover.built",
    "recover.stopped",
    "recover.aside",
    "recover.installed",
    "recover.started",
    "recover.recorded",
)
REPAIR = (
    "repair.copied-aside",
    "repair.set-aside",
    "repair.replaced",
    "repair.log-repaired",
    "repair.index-repaired",
    "repair.marked-damaged",
    "repair.salvaged",
    "repair.recorded",
)
PRUNE = (
    "prune.begun",
    "prune.swept",
    "prune.repacked",
    "prune.compacted",
    "prune.proved",
    "prune.indexed",
    "prune.committed",
    "prune.deleting",
    "prune.done",
)
KEYS = (
    "key.recorded",
    "key.sealed",
    "key.added",
    "key.unlisted",
    "key.epochs-deleted",
    "key.removed",
    "rotate.sealed",
    "rotate.recorded",
    "rotate.committed",
    "rotate.saved",
)
SAVE = (
    "save.written",
    "save.replaced",
)


def crashpoint(name: str) -> None:
    """Kills this process by SIGKILL if UNDIVIDED_CRASH_AT is `name`; otherwise does nothing."""
    if os.environ.get("UNDIVIDED_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
