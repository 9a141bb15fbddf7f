"""Key files: a recipient's private key as text, in a file or on paper.

    undivided vault key, version 1
    key 1: 7kq2-m0dv-x3fp-9s1c  8wza
    key 2: …

A key file holds these five lines among any others, so a printed recovery kit that was scanned or typed again
is a key file too. Each line holds 10 bytes in Crockford's base 32, which has no letters that look like
digits, and a checksum that covers the line's number: an error message can name the mistyped line. The four
lines together hold the 32 bytes of the key and the first 8 bytes of its SHA-256.
"""

from __future__ import annotations

import hashlib
import re

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ...model.errors import WrongKeyError
from .aead import PREFIX
from .keys import KEY_BYTES

TITLE = "undivided vault key, version 1"
_LINES, _LINE_BYTES, _CHECK_DIGITS = 4, 10, 4
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_ALIASES = str.maketrans({"o": "0", "i": "1", "l": "1", "-": "", " ": "", "\t": ""})
_LINE = re.compile(r"^\W*key\s+([1-4])\s*[:.;]?(.*)$", re.IGNORECASE)


def encode_key(private: X25519PrivateKey) -> str:
    """The lines, each with a newline at its end. They are secret."""
    raw = private.private_bytes_raw()
    whole = raw + _digest(raw)
    lines = [TITLE]
    for number in range(1, _LINES + 1):
        digits = _encoded(whole[(number - 1) * _LINE_BYTES : number * _LINE_BYTES])
        groups = "-".join(digits[i : i + 4] for i in range(0, len(digits), 4))
        lines.append(f"key {number}: {groups}  {_check(number, digits)}")
    return "\n".join([*lines, ""])


def decode_key(text: str) -> X25519PrivateKey:
    """Raises WrongKeyError naming the lines that are missing or mistyped."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            found[int(match[1])] = match[2].lower().translate(_ALIASES)
    if not found:
        raise WrongKeyError(
            "the file holds no key of a vault",
            hint="A key file has four lines that begin with `key 1:` to `key 4:`.",
        )
    wrong = [n for n in range(1, _LINES + 1) if not _is_whole(n, found.get(n, ""))]
    if wrong:
        names = ", ".join(f"`key {number}:`" for number in wrong)
        raise WrongKeyError(
            f"{'a line is' if len(wrong) == 1 else 'some lines are'} missing or mistyped: {names}",
            hint="Compare them with the original, character by character.",
        )
    whole = b"".join(_decoded(found[number][:-_CHECK_DIGITS]) for number in range(1, _LINES + 1))
    raw = whole[:KEY_BYTES]
    if whole[KEY_BYTES:] != _digest(raw):
        raise WrongKeyError(
            "the four lines are of different keys", hint="Copy all four lines from one original."
        )
    return X25519PrivateKey.from_private_bytes(raw)


def _is_whole(number: int, digits: str) -> bool:
    line, check = digits[:-_CHECK_DIGITS], digits[-_CHECK_DIGITS:]
    right = len(line) == _LINE_BYTES * 8 // 5 and not set(line) - set(_DIGITS)
    return right and check == _check(number, line)


def _check(number: int, digits: str) -> str:
    digest = hashlib.sha256(PREFIX + f"key line {number} {digits}".encode()).digest()
    return _encoded(digest[:5])[:_CHECK_DIGITS]


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(PREFIX + b"vault key" + raw).digest()[: _LINES * _LINE_BYTES - KEY_BYTES]


def _encoded(data: bytes) -> str:
    """Base 32; data: a multiple of 5 bytes."""
    value, count = int.from_bytes(data, "big"), len(data) * 8 // 5
    return "".join(_DIGITS[value >> 5 * place & 31] for place in reversed(range(count)))


def _decoded(digits: str) -> bytes:
    value = 0
    for digit in digits:
        value = value << 5 | _DIGITS.index(digit)
    return value.to_bytes(len(digits) * 5 // 8, "big")
