"""Which machine this is, so that a recovery in place can tell its own from another."""

from __future__ import annotations

import hashlib
import os

MACHINE = "machine"
"""Key of a component's state at a point: the machine it was protected on."""


def this_machine() -> str:
    """16 hex digits that stay the same for an installation of an operating system. A digest, because the
    machine id itself is nobody else's business (machine-id(5)); of the host name where there is none."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            name = file.read().strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    return hashlib.sha256(b"undivided machine " + (name or os.uname().nodename).encode()).hexdigest()[:16]
