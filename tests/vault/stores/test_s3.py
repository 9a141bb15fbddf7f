"""A bucket: errors with their causes and hints, and the sources of the credentials."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from undivided.model.errors import UndividedError, UsageError
from undivided.testing.s3 import ACCESS_KEY, SECRET_KEY, SeaweedFS
from undivided.vault.stores.address import Address
from undivided.vault.stores.base import ExistsError, FullError, MissingError, StoreError, TransientError
from undivided.vault.stores.s3 import S3Store
from undivided.vault.stores.s3_credentials import credential_provider
from undivided.vault.stores.s3_errors import exists_error, missing_error, store_error

_count = itertools.count()
Opened = Callable[..., S3Store]


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only the credentials that a test sets."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def opened(seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A store with its own prefix, and the right keys unless the test passes others."""

    def open_(
        bucket: str = "vault", key: str = ACCESS_KEY, secret: str = SECRET_KEY, **options: str
    ) -> S3Store:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        address = Address.of(seaweed.url(f"s3/{next(_count)}", bucket, **options))
        return S3Store(address.text, address.host, address.path, address.options)

    return open_


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────


def failure(attempt: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as error:
        attempt()
    return error.value


def test_a_wrong_secret_and_an_unknown_key_are_reported_and_not_shown(opened: Opened) -> None:
    for store in (opened(secret="hush"), opened(key="unknown")):
        error = failure(partial(store.create, "a", [b"x"]))
        assert "Check the access key" in error.hint
        assert "hush" not in str(error)
        assert "HINT" in str(error)


def test_a_missing_bucket_is_not_an_empty_one(opened: Opened) -> None:
    store = opened(bucket="nowhere")
    attempts: list[Callable[[], object]] = [lambda: store.read("a"), lambda: list(store.list())]
    for attempt in attempts:
        error = failure(attempt)
        assert not isinstance(error, MissingError)
        assert "Create the bucket first" in error.hint


def test_an_unreachable_server_is_an_error_that_may_pass(seaweed: SeaweedFS, opened: Opened) -> None:
    for endpoint, cause in (
        ("http://127.0.0.1:1", "refused"),
        ("http://nowhere.invalid", "cannot be resolved"),
    ):
        error = failure(partial(opened(endpoint=endpoint).read, "a"))
        assert isinstance(error, TransientError)
        assert cause in error.cause
        assert "endpoint" in error.hint


def _answer(status: int, code: str, message: str) -> Exception:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return RuntimeError(f"Error performing GET http://s3/ in 1ms - status code: {status} Whatever: {body}")


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "AccessDenied", "allowed to list"),
        (403, "SomethingElse", "allowed to list"),
        (400, "ExpiredToken", "expired"),
        (301, "PermanentRedirect", "region="),
        (400, "AuthorizationHeaderMalformed", "region="),
        (501, "NotImplemented", "another one"),
    ],
)
def test_an_error_that_a_retry_cannot_change_is_final(status: int, code: str, hint: str) -> None:
    error = store_error(_answer(status, code, "No."), "read a")
    assert not isinstance(error, TransientError)
    assert hint in error.hint
    assert error.cause == f"no ({code})"


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, ""), (502, "")]
)
def test_an_overloaded_server_is_an_error_that_may_pass(status: int, code: str) -> None:
    assert isinstance(store_error(_answer(status, code, "Later."), "read a"), TransientError)


@pytest.mark.parametrize(("status", "code"), [(507, ""), (403, "QuotaExceeded"), (507, "XMinioStorageFull")])
def test_a_full_server_is_reported_as_full(status: int, code: str) -> None:
    assert isinstance(store_error(_answer(status, code, "No room."), "create a"), FullError)


def test_concurrent_creators_and_a_late_one_get_different_errors() -> None:
    assert isinstance(
        exists_error(_answer(409, "ConditionalRequestConflict", ""), "create a"), TransientError
    )
    assert isinstance(exists_error(_answer(412, "PreconditionFailed", ""), "create a"), ExistsError)
    assert isinstance(missing_error(_answer(404, "NoSuchKey", ""), "read a"), MissingError)
    assert not isinstance(missing_error(_answer(404, "NoSuchBucket", ""), "read a"), MissingError)


def test_a_missing_file_of_certificates_is_reported(opened: Opened) -> None:
    with pytest.raises(UsageError, match="no such file"):
        opened(ca="/nonexistent").read("a")


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────


def used_with(seaweed: SeaweedFS, **options: str) -> None:
    """Stores and reads an object with the credentials that the store finds."""
    address = Address.of(seaweed.url(f"s3/{next(_count)}", **options))
    store = S3Store(address.text, address.host, address.path, address.options)
    store.create("a", [b"mine"])
    assert store.read("a") == b"mine"


def credentials(path: Path, section: str = "default", **values: str) -> Path:
    lines = [f"[{section}]", *(f"{name} = {value}" for name, value in values.items())]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


GOOD = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}


def test_keys_come_from_the_environment(seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    used_with(seaweed)


def test_keys_come_from_the_shared_file_and_its_profile(
    seaweed: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(tmp_path / ".aws" / "credentials", **GOOD)
    used_with(seaweed)
    credentials(tmp_path / ".aws" / "credentials", "backup", **GOOD)
    used_with(seaweed, profile="backup")
    monkeypatch.setenv("AWS_PROFILE", "backup")
    used_with(seaweed)


def test_the_file_that_the_address_names_comes_first(
    seaweed: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of something else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of something else")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of something else")
    file = credentials(tmp_path / "bucket.keys", **GOOD)
    used_with(seaweed, credentials=str(file))


def test_keys_come_from_a_program_that_runs_again_when_they_expire(
    seaweed: SeaweedFS, tmp_path: Path
) -> None:
    answer = {"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY}
    answer["Expiration"] = "2001-01-01T00:00:00Z"
    program = tmp_path / "program.py"
    program.write_text(f"open({str(tmp_path / 'runs')!r}, 'a').write('x')\nprint({json.dumps(answer)!r})\n")
    file = credentials(tmp_path / "bucket.keys", credential_process=f"{sys.executable} '{program}'")
    used_with(seaweed, credentials=str(file))
    assert len((tmp_path / "runs").read_text()) >= 2


def test_a_failing_credential_program_is_named(seaweed: SeaweedFS, tmp_path: Path) -> None:
    file = credentials(tmp_path / "bucket.keys", credential_process="false")
    error = failure(lambda: used_with(seaweed, credentials=str(file)))
    assert "credential_process" in error.cause
    assert "the program failed with exit code 1" in error.cause
    assert "by hand" in error.hint


def test_without_keys_the_hint_explains_how_to_set_them(
    seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "only half")
    error = failure(lambda: used_with(seaweed))
    assert "there are no keys" in error.cause
    assert "AWS_ACCESS_KEY_ID" in error.hint


def test_a_file_without_the_profile_or_its_keys_is_reported_without_a_quotation(tmp_path: Path) -> None:
    file = credentials(tmp_path / "keys", aws_secret_access_key="hush")
    for profile in (None, "other"):
        with pytest.raises(UsageError) as error:
            credential_provider(str(file), profile)
        assert str(file) in str(error.value)
        assert "hush" not in str(error.value)
    file.write_text("hush, this is no such file\n")
    with pytest.raises(UsageError) as error:
        credential_provider(str(file), None)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("program", ["false", "echo hush", "/nonexistent", "echo [1]"])
def test_a_program_without_keys_is_reported_without_a_quotation(tmp_path: Path, program: str) -> None:
    give = credential_provider(str(credentials(tmp_path / "keys", credential_process=program)), None)
    assert give
    with pytest.raises(UndividedError) as error:
        give()
    assert "credential_process" in str(error.value)
    assert "hush" not in str(error.value)
