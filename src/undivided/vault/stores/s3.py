"""A store in a bucket of any S3 server that honours `If-None-Match: *`; probe.py tests whether it does.

    s3://BUCKET/PREFIX?endpoint=https://s3.example.org&region=eu-central-1

Each object is one conditional PUT. A multipart upload would not be faster (several packs are uploaded in
parallel). It needs twice the requests, leaves parts behind when it is interrupted, and is not create-only on
every server. A PUT takes objects of up to 5 GiB, and those of a vault are far smaller.

Each body has a checksum (CRC-64/NVME, a few milliseconds for a pack), so the server refuses a body that was
damaged on the way. A signature over the body costs more than the rest of the upload, and not every server
checks it. After the upload of a large object its size is requested: an object that a proxy or the server
truncated does not count as stored. Readers never rely on the server: they authenticate every byte.

Requests are not repeated here (retry.py does that), and each has a timeout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...model.errors import UsageError
from .base import Buffer, MissingError, StoreError
from .names import checked, checked_prefix
from .s3_credentials import credential_provider
from .s3_errors import exists_error, missing_error, short_error, store_error

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket

_LARGEST = 5 << 30
_LARGE = 1 << 20
_SILENCE = "60s"
"""Timeout of a request without any answer."""
_UPLOAD = "30min"
"""Timeout of a large upload, during which the server does not answer either."""


class S3Store:
    """Objects below `prefix` of a bucket. Nothing is opened before the first request.

    options: endpoint (URL), region, style ("path", or "virtual" for a bucket in the host's name), credentials
    (a file in the format of the AWS tools), profile (of that file), ca (a file of certificates to trust),
    checksum ("crc64nvme", "sha256", or "none" for a server that refuses both).
    """

    parallel = 6
    """Packs in flight: one connection to a distant server is much slower than a backup."""

    def __init__(self, url: str, bucket: str, prefix: str, options: dict[str, str]) -> None:
        self.url = url
        self._bucket, self._prefix, self._options = bucket, checked_prefix(prefix.strip("/")), options

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        doing = f"create {checked(name)} in {self.url}"
        body = [memoryview(part).cast("B") for part in parts if len(part)]
        size = sum(len(part) for part in body)
        if size > _LARGEST:
            raise StoreError(f"the object has {size} bytes, more than one PUT of S3 takes", doing=doing)
        client = self._uploads if size > _LARGE else self._client
        with self._request(doing):
            self._api.put(client, name, body or b"", mode="create", use_multipart=False)
        if size > _LARGE and (kept := self.size(name)) != size:
            raise StoreError(
                f"the server reported success, but kept only {kept} of {size} bytes",
                doing=doing,
                hint="The server, or a proxy in front of it, truncates uploads. Do not use it for a vault.",
            )

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        doing = f"read {checked(name)} in {self.url}"
        if not length and (start or length == 0):
            # HTTP cannot express an empty range.
            left = self.size(name) - start
            if left < 0:
                raise short_error(doing)
            length = left if length is None else 0
            if not length:
                return b""
        with self._request(doing):
            if length is None:
                answer = self._api.get(self._client, name)
                data, length = bytes(answer.bytes()), int(answer.meta["size"])
            else:
                data = bytes(self._api.get_range(self._client, name, start=start, length=length))
        if len(data) != length:
            raise short_error(doing)
        return data

    def size(self, name: str) -> int:
        with self._request(f"look at {checked(name)} in {self.url}"):
            return int(self._api.head(self._client, name)["size"])

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        with self._request(f"list {prefix or 'all objects'} in {self.url}"):
            pages = self._api.list(self._client, folder or None)
            found = [(m["path"], m["size"]) for page in pages for m in page if m["path"].startswith(prefix)]
        # Servers with real folders list in another order.
        found.sort()
        yield from found

    def delete(self, name: str) -> None:
        with contextlib.suppress(MissingError), self._request(f"delete {checked(name)} in {self.url}"):
            self._api.delete(self._client, name)

    @contextlib.contextmanager
    def _request(self, doing: str) -> Iterator[None]:
        """Translates the client's exceptions into errors of the contract."""
        known = self._api.exceptions
        try:
            yield
        except known.AlreadyExistsError as error:
            raise exists_error(error, doing) from None
        except FileNotFoundError as error:
            raise missing_error(error, doing) from None
        except (known.BaseError, OSError) as error:
            raise store_error(error, doing) from None

    @cached_property
    def _api(self) -> Any:
        try:
            import obstore
            import obstore.exceptions
        except ImportError as error:
            raise UsageError(
                "the client for S3 is not installed",
                doing=f"open {self.url}",
                hint="Install it: pip install 'undivided[s3]'.",
            ) from error
        return obstore

    @cached_property
    def _client(self) -> Bucket:
        return self._opened({"timeout": _UPLOAD, "read_timeout": _SILENCE})

    @cached_property
    def _uploads(self) -> Bucket:
        return self._opened({"timeout": _UPLOAD})

    def _opened(self, timeouts: dict[str, str]) -> Bucket:
        known = self._api.exceptions
        from obstore.store import S3Store as Bucket

        options = self._options
        credentials = credential_provider(options.get("credentials"), options.get("profile"))
        config: dict[str, Any] = {"unsigned_payload": True}
        if (checksum := options.get("checksum", "crc64nvme")) != "none":
            config["checksum_algorithm"] = checksum
        endpoint = options.get("endpoint", "")
        if options.get("style") == "virtual":
            config["virtual_hosted_style_request"] = True
            scheme, separator, host = endpoint.partition("://")
            endpoint = f"{scheme}{separator}{self._bucket}.{host}" if endpoint else ""
        if endpoint:
            config["endpoint"] = endpoint
        if region := options.get("region"):
            config["region"] = region
        client: dict[str, Any] = {**timeouts, "connect_timeout": "10s", "user_agent": "undivided"}
        if endpoint.startswith("http://"):
            client["allow_http"] = True
        try:
            if certificates := options.get("ca"):
                with open(certificates, "rb") as file:
                    client["root_certificate"] = file.read()
            return Bucket(
                self._bucket,
                prefix=self._prefix or None,
                config=config,  # type: ignore[arg-type]
                client_options=client,  # type: ignore[arg-type]
                retry_config={"max_retries": 0},
                credential_provider=credentials,  # type: ignore[arg-type]
            )
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                cause.lower(), doing=f"open {self.url}", hint="Check the store's address."
            ) from None
        except known.BaseError as error:
            raise store_error(error, f"open {self.url}") from None
