"""Keys as text: every typing error is found, and the message names its line."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from undivided.model.errors import WrongKeyError
from undivided.vault.keys import decode_key, encode_key

PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(100, 132)))
TEXT = encode_key(PRIVATE)


def _raw(text: str) -> bytes:
    return decode_key(text).private_bytes_raw()


def test_a_key_survives_its_file() -> None:
    for _ in range(100):
        private = X25519PrivateKey.generate()
        assert _raw(encode_key(private)) == private.private_bytes_raw()


@pytest.mark.parametrize(
    "written",
    [
        TEXT.upper(),
        TEXT.replace("-", " "),
        TEXT.replace("-", ""),
        TEXT.replace("\n", "\r\n"),
        "Dear reader,\n\n" + TEXT.replace("key ", "   Key ") + "\nkeep this safe\n",
        "\n".join(reversed(TEXT.splitlines())),
        "\n".join(f"> {line}" for line in TEXT.splitlines()),
    ],
)
def test_case_hyphens_and_blanks_do_not_matter(written: str) -> None:
    assert _raw(written) == PRIVATE.private_bytes_raw()


def test_letters_that_look_like_digits_are_read_as_digits() -> None:
    lines = [line.partition(":") for line in TEXT.splitlines()[1:]]
    typed = "\n".join(f"{head}:{tail.replace('0', 'O').replace('1', 'l')}" for head, _, tail in lines)
    assert typed != "\n".join(TEXT.splitlines()[1:])
    assert _raw(typed) == PRIVATE.private_bytes_raw()


def test_every_single_typing_error_is_reported_with_its_line() -> None:
    lines = TEXT.splitlines()
    for number in range(1, 5):
        head, _, tail = lines[number].partition(":")
        for at, digit in enumerate(tail):
            if digit in " -":
                continue
            wrong = f"{head}:{tail[:at]}{'z' if digit != 'z' else 'y'}{tail[at + 1 :]}"
            with pytest.raises(WrongKeyError, match=f"mistyped: `key {number}:`\n"):
                decode_key("\n".join([*lines[:number], wrong, *lines[number + 1 :]]))


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "a", lambda t: "", lambda t: t.replace("-", "é")]
)
def test_a_line_of_wrong_length_or_alphabet_is_reported(change) -> None:
    lines = TEXT.splitlines()
    head, _, tail = lines[2].partition(":")
    with pytest.raises(WrongKeyError, match="mistyped: `key 2:`\n"):
        decode_key("\n".join([*lines[:2], f"{head}:{change(tail)}", *lines[3:]]))


def test_swapped_lines_and_lines_of_another_key_are_refused() -> None:
    lines, other = TEXT.splitlines(), encode_key(X25519PrivateKey.generate()).splitlines()
    exchanged = [lines[1].replace("key 1", "key 2"), lines[2].replace("key 2", "key 1"), *lines[3:]]
    with pytest.raises(WrongKeyError, match="mistyped: `key 1:`, `key 2:`\n"):
        decode_key("\n".join(exchanged))
    with pytest.raises(WrongKeyError, match="different keys"):
        decode_key("\n".join([*lines[:3], *other[3:]]))


@pytest.mark.parametrize("text", ["", "a passphrase", "key to the cellar", "undivided vault key, version 1"])
def test_a_text_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(WrongKeyError, match="no key"):
        decode_key(text)
