"""Errors of an S3 server, translated into errors of a store, each with a hint.

The client's message holds the HTTP status and the server's answer with a <Code>. Only these two are used. The
rest of the message never reaches a user: it may hold request headers or debugging output.
"""

from __future__ import annotations

import re

from .base import ExistsError, FullError, MissingError, StoreError, TransientError

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_PROVIDER = re.compile(r"External AWS credential provider: StoreError: (.*)")
"""An error from s3_credentials.py in the client's message."""

_KEYS = "Check the access key and its secret. Both must belong to this server."
_HINTS = {
    "NoSuchBucket": "Create the bucket first, or correct its name in the address.",
    "AccessDenied": "The keys must be allowed to list the bucket, to get and put objects; pruning deletes.",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": "The keys have expired: get new ones.",
    "RequestTimeTooSkewed": "This machine's clock differs from the server's: correct it, best by NTP.",
    "PermanentRedirect": "The bucket is in another region: add region=… to the address.",
    "AuthorizationHeaderMalformed": "The bucket is in another region: add region=… to the address.",
    "EntityTooLarge": "The server does not accept objects of this size.",
    "NotImplemented": "The server lacks this function: use another one for vaults.",
}
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials, or name such a "
    "file in the address: credentials=FILE."
)
_NETWORK = (
    "Check that the endpoint in the address is right, and that the server runs and can be reached from here."
)
_FULL = {"QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "XMinioStorageFull"}
_PASSING = {
    "SlowDown",
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestTimeout",
    "InternalError",
    "BadDigest",  # the body was damaged on the way; our copy is intact
    "IncompleteBody",
}


def exists_error(error: Exception, doing: str) -> StoreError:
    """A conditional PUT was refused."""
    if _found(_CODE, str(error)) == "ConditionalRequestConflict":
        return TransientError("another client is creating the object, and may still fail", doing=doing)
    return ExistsError("the object exists already", doing=doing)


def missing_error(error: Exception, doing: str) -> StoreError:
    """404: the object, or the whole bucket."""
    if _found(_CODE, str(error)) == "NoSuchBucket":
        return store_error(error, doing)
    return MissingError("the object does not exist", doing=doing)


def short_error(doing: str) -> StoreError:
    return StoreError("the object is shorter than the requested range", doing=doing)


def store_error(error: Exception, doing: str) -> StoreError:
    """The client's exception as a StoreError; a TransientError when a repetition may help."""
    text = str(error)
    code, status = _found(_CODE, text), int(_found(_STATUS, text) or 0)
    if "169.254." in text or "Missing AccessKeyId" in text or "Missing SecretAccessKey" in text:
        return StoreError("there are no keys for the bucket", doing=doing, hint=_CREDENTIALS)
    if cause := _found(_PROVIDER, text):
        return StoreError(cause, doing=doing, hint="Run the credential_process by hand to see the cause.")
    if code == "InvalidRange":
        return short_error(doing)
    if not status:
        return _unanswered(text, doing)
    cause = _found(_MESSAGE, text).rstrip(".") or f"the server answered {status}"
    cause = f"{cause[0].lower()}{cause[1:]}" + (f" ({code})" if code else "")
    if code in _FULL or status == 507:
        return FullError(
            cause, doing=doing, hint="Make room there, then run the command again. Stored objects are intact."
        )
    if code in _PASSING or status in (408, 429) or (status >= 500 and status != 501):
        return TransientError(
            cause, doing=doing, hint="The server or the network has a problem: try again later."
        )
    hint = _HINTS.get(code, "")
    if not hint and status in (401, 403):
        hint = _HINTS["AccessDenied"]
    return StoreError(cause, doing=doing, hint=hint)


def _unanswered(text: str, doing: str) -> StoreError:
    """There was no complete answer."""
    lower = text.lower()
    if "certificate" in lower:
        return StoreError(
            "the server's certificate is not trusted",
            doing=doing,
            hint="Add the file of its root certificate to the address: ca=FILE.",
        )
    for sign, cause in (
        ("connectionrefused", "the connection was refused"),
        ("dns error", "the host's name cannot be resolved"),
        ("timedout", "the server did not answer in time"),
        ("timed out", "the server did not answer in time"),
    ):
        if sign in lower:
            return TransientError(cause, doing=doing, hint=_NETWORK)
    first = text.partition("\n")[0].rpartition("error: ")[2]
    return TransientError(first or "the connection broke", doing=doing, hint=_NETWORK)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
