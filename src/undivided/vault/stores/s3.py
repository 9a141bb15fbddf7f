"""A store in a bucket of any S3 server that honours `If-None-Match: *`; probe.py finds out whether it does.

    s3://BUCKET/PREFIX?endpoint=https://s3.example.org&region=eu-central-1

Each object is one conditional PUT. An upload in several parts would not be faster (several packs go out
side by side), needs twice the requests, leaves parts behind when it is cut short, and cannot be made
create-only on every server. Up to 5 GiB an object fits, and no object of a vault comes near that.

A checksum goes with every body (CRC-64/NVME, a few milliseconds for a pack), so the server refuses what was
damaged on the way; a signature over the body costs more than all the rest of an upload, and not every server
looks at it. Of large objects the size is asked for after the upload: what a proxy or a server cut short is
not called stored. Whether an object is what was stored is never left to the server: readers authenticate
every byte.

No request is repeated here, that is retry.py's business; and none waits for ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...model.errors import UsageError
from .base import Buffer, MissingError, StoreError
from .names import checked, checked_prefix
from .s3_credentials import provider
from .s3_errors import missing, short, taken, translated

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket

_LARGEST = 5 << 30
_LARGE = 1 << 20
_SILENCE = "60s"
"""How long nothing may be heard of a request."""
_UPLOAD = "30min"
"""How long a large upload may take, during which nothing is heard either."""


class S3Store:
    """Objects below `prefix` of a bucket. Nothing is read or asked before the first request.

    options: endpoint (URL), region, style ("path", or "virtual" where the bucket is part of the host's
    name), credentials (a file as the AWS tools have it), profile (of that file), ca (a file of certificates
    to trust), checksum ("crc64nvme", "sha256", or "none" for a server that refuses both).
    """

    parallel = 6
    """Packs in flight: one connection to a distant server carries far less than a backup makes."""

    def __init__(self, url: str, bucket: str, prefix: str, options: dict[str, str]) -> None:
        self.url = url
        self._bucket, self._prefix, self._options = bucket, checked_prefix(prefix.strip("/")), options

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        doing = f"create {checked(name)} in {self.url}"
        body = [memoryview(part).cast("B") for part in parts if len(part)]
        size = sum(len(part) for part in body)
        if size > _LARGEST:
            raise StoreError(f"an object of {size} bytes is more than S3 takes at once", doing=doing)
        client = self._uploads if size > _LARGE else self._client
        with self._asking(doing):
            self._api.put(client, name, body or b"", mode="create", use_multipart=False)
        if size > _LARGE and (kept := self.size(name)) != size:
            raise StoreError(
                f"the server says that it is stored, and kept {kept} of {size} bytes",
                doing=doing,
                hint="Something between here and the disk of the server cuts uploads short. Do not trust it.",
            )

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        doing = f"read {checked(name)} in {self.url}"
        if not length and (start or length == 0):
            # HTTP has no words for an empty range.
            left = self.size(name) - start
            if left < 0:
                raise short(doing)
            length = left if length is None else 0
            if not length:
                return b""
        with self._asking(doing):
            if length is None:
                answer = self._api.get(self._client, name)
                data, length = bytes(answer.bytes()), int(answer.meta["size"])
            else:
                data = bytes(self._api.get_range(self._client, name, start=start, length=length))
        if len(data) != length:
            raise short(doing)
        return data

    def size(self, name: str) -> int:
        with self._asking(f"look at {checked(name)} in {self.url}"):
            return int(self._api.head(self._client, name)["size"])

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        with self._asking(f"list {prefix or 'all objects'} in {self.url}"):
            pages = self._api.list(self._client, folder or None)
            found = [(m["path"], m["size"]) for page in pages for m in page if m["path"].startswith(prefix)]
        # Servers that keep folders list them as folders, which is another order.
        found.sort()
        yield from found

    def delete(self, name: str) -> None:
        with contextlib.suppress(MissingError), self._asking(f"delete {checked(name)} in {self.url}"):
            self._api.delete(self._client, name)

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """What the client raises, as errors of the contract."""
        known = self._api.exceptions
        try:
            yield
        except known.AlreadyExistsError as error:
            raise taken(error, doing) from None
        except FileNotFoundError as error:
            raise missing(error, doing) from None
        except (known.BaseError, OSError) as error:
            raise translated(error, doing) from None

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

    def _opened(self, patience: dict[str, str]) -> Bucket:
        known = self._api.exceptions
        from obstore.store import S3Store as Bucket

        said = self._options
        keys = provider(said.get("credentials"), said.get("profile"))
        config: dict[str, Any] = {"unsigned_payload": True}
        if (checksum := said.get("checksum", "crc64nvme")) != "none":
            config["checksum_algorithm"] = checksum
        endpoint = said.get("endpoint", "")
        if said.get("style") == "virtual":
            config["virtual_hosted_style_request"] = True
            scheme, separator, host = endpoint.partition("://")
            endpoint = f"{scheme}{separator}{self._bucket}.{host}" if endpoint else ""
        if endpoint:
            config["endpoint"] = endpoint
        if region := said.get("region"):
            config["region"] = region
        client: dict[str, Any] = {**patience, "connect_timeout": "10s", "user_agent": "undivided"}
        if endpoint.startswith("http://"):
            client["allow_http"] = True
        try:
            if signing_key := said.get("ca"):
                with open(signing_key, "rb") as file:
                    client["root_certificate"] = file.read()
            return Bucket(
                self._bucket,
                prefix=self._prefix or None,
                config=config,  # type: ignore[arg-type]
                client_options=client,  # type: ignore[arg-type]
                retry_config={"max_retries": 0},
                credential_provider=keys,  # type: ignore[arg-type]
            )
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                cause.lower(), doing=f"open {self.url}", hint="Check the store's address."
            ) from None
        except known.BaseError as error:
            raise translated(error, f"open {self.url}") from None
