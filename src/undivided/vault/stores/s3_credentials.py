"""Credentials for a bucket, from the usual places of the AWS tools, never from the address or an argument.

In this order: the file and the profile that the address names; AWS_ACCESS_KEY_ID and its companions; the
shared credentials file (AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials) with AWS_PROFILE; the machine's
identity in its cloud (web identity, container, instance), which the client requests by itself.

    [default]
    aws_access_key_id = …               either the keys
    aws_secret_access_key = …
    credential_process = program …      or a program that prints them as JSON
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...model.errors import UsageError
from .base import StoreError

Credentials = dict[str, Any]
"""access_key_id, secret_access_key, token or None, expires_at (aware) or None."""
_TIMEOUT = 30.0


def credential_provider(file: str | None, profile: str | None) -> Callable[[], Credentials] | None:
    """A function that returns the credentials when they are needed, and again when they have expired. None:
    the client takes them from the environment or the cloud. Raises UsageError when the address names a
    profile that does not exist."""
    if not (file or profile) and os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    path = file or os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.expanduser("~/.aws/credentials")
    section = profile or os.environ.get("AWS_PROFILE") or "default"
    values = _section(path, section)
    if values is None:
        if file or profile:
            raise UsageError(
                f"there is no profile {section!r} in {path}",
                doing="read the keys of the bucket",
                hint="The file has the format of the AWS tools: [profile], aws_access_key_id, "
                "aws_secret_access_key.",
            )
        return None
    if program := values.get("credential_process"):
        return lambda: _from_program(program, path)
    try:
        credentials: Credentials = {
            "access_key_id": values["aws_access_key_id"],
            "secret_access_key": values["aws_secret_access_key"],
            "token": values.get("aws_session_token"),
            "expires_at": None,
        }
    except KeyError as missing:
        raise UsageError(
            f"profile {section!r} in {path} lacks {missing.args[0]}", doing="read the keys of the bucket"
        ) from None
    return lambda: credentials


def _section(path: str, name: str) -> Mapping[str, str] | None:
    parser = configparser.RawConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # The parser's message quotes the line, which may hold a key.
        cause = error.strerror if isinstance(error, OSError) else "the file is not a credentials file"
        raise UsageError(f"{cause}", doing=f"read {path}") from None
    return parser[name] if parser.has_section(name) else None


def _from_program(command: str, path: str) -> Credentials:
    """The answer of a `credential_process`. No message quotes its output."""
    doing = f"run the credential_process of {path}"
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StoreError(f"the program did not answer within {_TIMEOUT:g} s", doing=doing) from None
    except (OSError, ValueError) as error:
        raise StoreError(
            getattr(error, "strerror", None) or "the program cannot be run", doing=doing
        ) from None
    if done.returncode:
        raise StoreError(
            f"the program failed with exit code {done.returncode}",
            doing=doing,
            hint="Run it by hand to see the cause.",
        )
    try:
        answer = json.loads(done.stdout)
        until = answer.get("Expiration")
        return {
            "access_key_id": answer["AccessKeyId"],
            "secret_access_key": answer["SecretAccessKey"],
            "token": answer.get("SessionToken"),
            "expires_at": datetime.fromisoformat(until).astimezone(UTC) if until else None,
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(
            "the output of the program is not valid",
            doing=doing,
            hint="It must print JSON: Version, AccessKeyId, SecretAccessKey, and Expiration if they expire.",
        ) from None
