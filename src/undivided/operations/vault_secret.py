"""What opens the vault: a key file, the output of a program, or a passphrase.

    UNDIVIDED_KEY_FILE      a key file or a recovery kit
    UNDIVIDED_KEY_COMMAND   a program that prints a secret: from a TPM, a KMS, a password manager
    UNDIVIDED_PASSPHRASE…   see passphrase.py; a human is asked when none of these is set

The first one that is set counts. The command itself stays in the environment: the vault never holds it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.files import file_errors
from ..model.errors import UsageError, WrongKeyError
from .passphrase import Ask, from_command, new_passphrase, passphrase

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ..vault.keys import Secret

_NAME, _NEW = "UNDIVIDED_KEY", "UNDIVIDED_NEW_KEY"


def secret(ask: Ask | None) -> Secret:
    """Opens an existing vault. Raises UsageError when there is no way to get a secret."""
    return given_key() or from_command(f"{_NAME}_COMMAND") or passphrase(ask)


def given_key() -> X25519PrivateKey | None:
    """The key in the file that UNDIVIDED_KEY_FILE names; None when it is not set."""
    file = os.environ.get(f"{_NAME}_FILE")
    return read_key(Path(file)) if file else None


def new_secret(key_file: Path | None, ask: Ask | None) -> tuple[Secret, str]:
    """A further secret to open the vault, and its kind. key_file: comes before the environment."""
    from ..vault.keys import COMMAND, KEY_FILE, PASSPHRASE

    file = key_file or os.environ.get(f"{_NEW}_FILE")
    if file:
        return read_key(Path(file)), KEY_FILE
    if printed := from_command(f"{_NEW}_COMMAND"):
        return printed, COMMAND
    return new_passphrase(ask, "UNDIVIDED_NEW_PASSPHRASE"), PASSPHRASE


def read_key(path: Path) -> X25519PrivateKey:
    """Raises UsageError when the file cannot be read, WrongKeyError when it holds no key or a mistyped
    one."""
    from ..vault.keys import decode_key

    doing = f"read the key file {path}"
    try:
        with file_errors(doing, raises=UsageError):
            return decode_key(path.read_text())
    except WrongKeyError as error:
        raise WrongKeyError(error.cause, doing=doing, hint=error.hint) from None
