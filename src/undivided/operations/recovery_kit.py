"""vault kit: one printed page with which a stranger can recover on a machine that has nothing else.

It holds a key of its own. So the key of a lost page can be removed without touching others, and the page
still opens the vault after the keys were rotated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..config.main_file import NEAR
from ..model.times import iso_utc
from .workspace import Workspace

_PAGE = """\
UNDIVIDED RECOVERY KIT

This page lets its holder read everything in the vault. Keep it locked away,
and not where the protected machines are.

    vault      {vault}
    at         {url}
    created    {made}
    key        {id}  ({label})

To recover on a machine that has nothing else:

 1. Install Undivided, and make the vault reachable: attach its disk or share,
    or give access to its bucket.
 2. Type this page, or only the five lines of the key, into a file kit.txt
    that only you can read. Undivided names each line with a typing error.
 3. In a shell:

    export UNDIVIDED_KEY_FILE="$PWD/kit.txt"
    undivided init --vault "{url}"
    undivided points
    undivided recover SERVICE --at latest --to /a/new/directory

    If the vault was moved, use its new place. `undivided recover --help`
    explains how to start a service again, in its old place or a new one.
 4. Set a passphrase of your own: undivided vault key add

{key}
If this page was lost or seen by others, run on a machine with a passphrase:

    undivided vault key remove {id}
    undivided vault key rotate

Then print a new one: undivided vault kit > kit.txt
"""


@dataclass(frozen=True)
class RecoveryKit:
    """id: of the key on the page, which opens the vault from now on. text: the page; it is secret."""

    id: str
    label: str
    text: str

    def as_record(self) -> dict[str, Any]:
        return {"id": self.id, "label": self.label, "text": self.text}


def recovery_kit(workspace: Workspace, *, label: str) -> RecoveryKit:
    """A new page, with a new key. Needs a secret that opens the vault already."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ..vault.keys import encode_key

    vault, private = workspace.vault, X25519PrivateKey.generate()
    id = vault.add_recipient(private, label)
    text = _PAGE.format(
        vault=vault.id,
        url=workspace.config.vaults[NEAR],
        made=iso_utc(time.time_ns()),
        id=id,
        label=label,
        key=encode_key(private),
    )
    return RecoveryKit(id, label, text)
