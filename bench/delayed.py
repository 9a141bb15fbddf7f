"""`python -m bench.delayed SECONDS COMMAND …`: the program itself, with every request to its store that
much later.

The delay is slept through, as one waits for a distant server: it costs no processor, which a proxy in
between would.
"""

from __future__ import annotations

import sys

from undivided.__main__ import program
from undivided.testing.stores import Slow
from undivided.vault.stores.address import Address
from undivided.vault.stores.base import Store
from undivided.vault.stores.registry import STORES

if __name__ == "__main__":
    delay = float(sys.argv.pop(1))
    for scheme, kind in list(STORES.items()):

        def later(address: Address, near=kind.open) -> Store:  # type: ignore[no-untyped-def]
            return Slow(near(address), delay)

        STORES[scheme] = kind._replace(open=later)
    program()
