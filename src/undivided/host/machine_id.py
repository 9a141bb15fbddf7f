"""An id of this machine, so that a recovery in place refuses to overwrite the service of another machine."""

from __future__ import annotations

import hashlib
import os

MACHINE = "machine"
"""Key of a component's state at a point: the machine it was protected on."""


def this_machine() -> str:
    """16 hex digits that stay the same for an installation of an operating system. A digest, because the
    machine id is confidential (machine-id(5)). Without a machine id it is the digest of the host name."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            name = file.read().strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    return hashlib.sha256(b"undivided machine " + (name or os.uname().nodename).encode()).hexdigest()[:16]
