"""The address of a store: a path or a URL, with options after the question mark, so that one line of a
configuration is enough. It never holds a secret.

    /mnt/backup/undivided
    file:///mnt/backup/undivided?upload=20M
    s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-central-1&cache=4G
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ...model.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")


class Address(NamedTuple):
    """scheme: "" for a path. host: the bucket or the server. text: the address as messages may show it."""

    scheme: str
    host: str
    path: str
    options: dict[str, str]
    text: str
    user: str = ""
    port: int | None = None

    @staticmethod
    def of(text: str) -> Address:
        """Raises UsageError when the text is no address, or holds a password."""
        scheme, colon, _ = text.partition(":")
        if not colon or "/" in scheme:
            return Address("", "", text, {}, text)
        try:
            parts = urlsplit(text)
            options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
            port = parts.port
        except ValueError:
            raise UsageError(f"the address of the {scheme} store is not a valid URL", hint=_FORM) from None
        if parts.password is not None or (parts.username and scheme == "s3"):
            raise UsageError(
                f"the address of the {scheme} store holds a password",
                hint="Remove it: addresses are shown and stored. docs/operations.md has the place for keys.",
            )
        if len({name for name, _ in options}) < len(options):
            raise UsageError("the address gives an option twice", doing=f"open {text}", hint=_FORM)
        path = unquote(parts.path)
        return Address(scheme, parts.hostname or "", path, dict(options), text, parts.username or "", port)

    def check(self, known: Collection[str]) -> None:
        """Raises UsageError for an option that is not among `known`."""
        for name in self.options:
            if name not in known:
                raise UsageError(
                    f"{name!r} is not an option of this address",
                    doing=f"open {self.text}",
                    hint=f"Its options are: {', '.join(sorted(known))}.",
                )

    def size(self, option: str) -> float | None:
        """A number such as 500K, 20M or 4G (of 1024) from an option; None without the option.
        Raises UsageError for anything else."""
        text = self.options.get(option)
        if text is None:
            return None
        match = _SIZE.fullmatch(text)
        if not match:
            raise UsageError(
                f"{option}={text} is not a number",
                doing=f"open {self.text}",
                hint="Write it as 500K, 20M or 4G.",
            )
        return float(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


_FORM = "Write a path, or a URL such as s3://bucket/prefix?endpoint=URL&region=NAME."
