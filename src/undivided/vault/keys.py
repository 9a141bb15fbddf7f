"""The keys of a vault, as other packages handle them: read from a file, asked for, written to a file.

A door: what the keys are and how they are sealed stays in vault/crypto. Opening a vault with them, and
changing who can open it, are methods of `Vault`.
"""

from .crypto.key_file import decode_key, encode_key
from .crypto.keys import WriterKeys
from .crypto.recipients import COMMAND, KEY_FILE, PASSPHRASE, Secret

__all__ = ["COMMAND", "KEY_FILE", "PASSPHRASE", "Secret", "WriterKeys", "decode_key", "encode_key"]
