"""The program with cheap new passphrases: `python -m undivided.testing.cheap_passphrases init`.

Each recipient of a vault records the costs of its passphrase. So every later command, which is the program
itself, opens such a vault quickly. A test of anything but passphrases saves half of its time.
"""

from __future__ import annotations

from undivided.__main__ import program
from undivided.vault.crypto import recipients


def make_cheap() -> None:
    """In this process, uses the lowest costs that the format allows."""
    recipients._ITERATIONS, recipients._LANES, recipients._MEMORY_KIB = 1, 1, 64


if __name__ == "__main__":
    make_cheap()
    program()
