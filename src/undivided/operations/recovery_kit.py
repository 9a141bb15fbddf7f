"""The recovery kit: one printed page with which a stranger can recover on a machine that has nothing else.

It holds a key of its own. So the key of a lost page can be removed without touching others, and the page
still opens the vault after the keys were rotated.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..model.times import iso_utc

if TYPE_CHECKING:
    from ..vault.vault import Vault

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


def make_kit(vault: Vault, url: str, label: str) -> tuple[str, str]:
    """The page, which is secret, and the id of its key, which opens the vault from now on."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ..vault.keys import encode_key

    private = X25519PrivateKey.generate()
    id = vault.add_recipient(private, label)
    made, key = iso_utc(time.time_ns()), encode_key(private)
    return _PAGE.format(vault=vault.id, url=url, made=made, id=id, label=label, key=key), id
