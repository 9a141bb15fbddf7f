"""What opens the vault: a key file, what a program prints, or a passphrase.

    UNDIVIDED_KEY_FILE      a key file or a recovery kit
    UNDIVIDED_KEY_COMMAND   a program that prints a secret: from a TPM, a KMS, a password manager
    UNDIVIDED_PASSPHRASE…   see passphrase.py; asked for when nothing is said at all

The first that is said counts. How to call the program stays in the environment: the vault never holds it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.paths import file_error
from ..model.errors import UndividedError, UsageError, WrongKeyError
from .passphrase import from_command, new_passphrase, passphrase

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ..vault.keys import Secret

_NAME, _NEW = "UNDIVIDED_KEY", "UNDIVIDED_NEW_KEY"


def secret() -> Secret:
    """Of an existing vault. Raises UsageError when nobody can say it."""
    return given_key() or from_command(f"{_NAME}_COMMAND") or passphrase()


def given_key() -> X25519PrivateKey | None:
    """Of the key file that the environment names."""
    file = os.environ.get(f"{_NAME}_FILE")
    return read_key(Path(file)) if file else None


def new_secret(key_file: Path | None) -> tuple[Secret, str]:
    """What shall open the vault, too, and its kind. key_file: as the command line has it."""
    from ..vault.keys import COMMAND, KEY_FILE, PASSPHRASE

    file = key_file or os.environ.get(f"{_NEW}_FILE")
    if file:
        return read_key(Path(file)), KEY_FILE
    if printed := from_command(f"{_NEW}_COMMAND"):
        return printed, COMMAND
    return new_passphrase("UNDIVIDED_NEW_PASSPHRASE"), PASSPHRASE


def read_key(path: Path) -> X25519PrivateKey:
    """Raises UsageError when it cannot be read, WrongKeyError when it holds no key, or a mistyped one."""
    from ..vault.keys import decode_key

    try:
        return decode_key(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        told: UndividedError = file_error(error, f"read the key file {path}")
        raise UsageError(told.cause, doing=told.doing, hint=told.hint) from None
    except WrongKeyError as error:
        raise WrongKeyError(error.cause, doing=f"read the key file {path}", hint=error.hint) from None
