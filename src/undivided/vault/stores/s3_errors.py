"""What an S3 server's refusal means, and what to do about it.

The client tells everything in its message: the HTTP status, and the server's answer with a <Code>. Both are
read here and nothing else of it is passed on: neither request headers nor the client's own debugging
output.
"""

from __future__ import annotations

import re

from .base import ExistsError, FullError, MissingError, StoreError, TransientError

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_PROVIDER = re.compile(r"External AWS credential provider: StoreError: (.*)")
"""What s3_credentials.py raised, as the client passes it on."""

_KEYS = "Check the access key and its secret, and that both are of this server."
_HINTS = {
    "NoSuchBucket": "Make the bucket first, or correct its name in the address.",
    "AccessDenied": "The keys must be allowed to list the bucket, to get and put objects; pruning deletes.",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": "The keys have expired: get new ones.",
    "RequestTimeTooSkewed": "This machine's clock differs from the server's: set it right, best by NTP.",
    "PermanentRedirect": "The bucket is in another region: say region=… in the address.",
    "AuthorizationHeaderMalformed": "The bucket is in another region: say region=… in the address.",
    "EntityTooLarge": "The server takes no objects of this size.",
    "NotImplemented": "The server cannot do this: use another one for vaults.",
}
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials, or name such a "
    "file in the address: credentials=FILE."
)
_NETWORK = "Is the endpoint in the address right, does the server run, and can it be reached from here?"
_FULL = {"QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "XMinioStorageFull"}
_PASSING = {
    "SlowDown",
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestTimeout",
    "InternalError",
    "BadDigest",  # the body was damaged on the way: it is still whole here
    "IncompleteBody",
}


def taken(error: Exception, doing: str) -> StoreError:
    """A conditional PUT was refused."""
    if _found(_CODE, str(error)) == "ConditionalRequestConflict":
        return TransientError("another creator of it is at work, and may yet fail", doing=doing)
    return ExistsError("it is there already", doing=doing)


def missing(error: Exception, doing: str) -> StoreError:
    """404: of the object, or of the whole bucket."""
    if _found(_CODE, str(error)) == "NoSuchBucket":
        return translated(error, doing)
    return MissingError("there is no such object", doing=doing)


def short(doing: str) -> StoreError:
    return StoreError("the object ends before the bytes that were asked for", doing=doing)


def translated(error: Exception, doing: str) -> StoreError:
    """The client's exception as a StoreError: a TransientError when asking again may help."""
    text = str(error)
    code, status = _found(_CODE, text), int(_found(_STATUS, text) or 0)
    if "169.254." in text or "Missing AccessKeyId" in text or "Missing SecretAccessKey" in text:
        return StoreError("there are no keys for the bucket", doing=doing, hint=_CREDENTIALS)
    if ours := _found(_PROVIDER, text):
        return StoreError(ours, doing=doing, hint="Run it by hand to see why.")
    if code == "InvalidRange":
        return short(doing)
    if not status:
        return _unanswered(text, doing)
    cause = _found(_MESSAGE, text).rstrip(".") or f"the server answered {status}"
    cause = f"{cause[0].lower()}{cause[1:]}" + (f" ({code})" if code else "")
    if code in _FULL or status == 507:
        return FullError(
            cause, doing=doing, hint="What is stored already is intact; make room, then run it again."
        )
    if code in _PASSING or status in (408, 429) or (status >= 500 and status != 501):
        return TransientError(
            cause, doing=doing, hint="The server or the way to it is in trouble: try again later."
        )
    hint = _HINTS.get(code, "")
    if not hint and status in (401, 403):
        hint = _HINTS["AccessDenied"]
    return StoreError(cause, doing=doing, hint=hint)


def _unanswered(text: str, doing: str) -> StoreError:
    """There was no answer, or not a whole one."""
    lower = text.lower()
    if "certificate" in lower:
        return StoreError(
            "the server's certificate is not trusted",
            doing=doing,
            hint="Name the signing key's certificate in the address: ca=FILE.",
        )
    for sign, cause in (
        ("connectionrefused", "the connection was refused"),
        ("dns error", "the host's name is not known"),
        ("timedout", "it took too long"),
        ("timed out", "it took too long"),
    ):
        if sign in lower:
            return TransientError(cause, doing=doing, hint=_NETWORK)
    first = text.partition("\n")[0].rpartition("error: ")[2]
    return TransientError(first or "the connection broke", doing=doing, hint=_NETWORK)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
