"""The program, with new passphrases that cost little to stretch.

    python -m undivided.testing.cheap_passphrases init

Each recipient of a vault records what stretching its passphrase costs. So a vault that was initialized this
way is opened cheaply by every later command, and those are the program itself. A test of something else
than passphrases saves half of its time.
"""

from __future__ import annotations

from undivided.__main__ import program
from undivided.vault.crypto import recipients


def make_cheap() -> None:
    """For this process, the least that the format allows."""
    recipients._ITERATIONS, recipients._LANES, recipients._MEMORY_KIB = 1, 1, 64


if __name__ == "__main__":
    make_cheap()
    program()
