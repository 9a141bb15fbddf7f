"""Reading a vault's content: the type of `Vault.reader()`.

A door of its own: `protect` never reads content, and must not load the reader with vault.py.
"""

from .read.reader import Reader

__all__ = ["Reader"]
