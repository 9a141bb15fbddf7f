"""Real S3 servers, each in its own directory and on its own free ports: SeaweedFS, which honours create-only,
and nanio, which silently ignores it and must be refused.

Both come from wheels and need neither root nor a network.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import obstore
import psutil
from obstore.exceptions import BaseError
from obstore.store import S3Store as Bucket

from .ports import free_port, free_ports

ACCESS_KEY = "undivided-test"
SECRET_KEY = "a secret that is nowhere to be found"  # noqa: S105
BUCKET = "vault"
_TIMEOUT = 60.0


class S3Server:
    """A running server with one bucket. The end of the context stops it and removes its directory."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="und-s3-", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = self._started()
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def processor_seconds(self) -> float:
        """Processor time of the server so far."""
        assert self._process
        spent = psutil.Process(self._process.pid).cpu_times()
        return float(spent.user + spent.system)

    @property
    def environment(self) -> Mapping[str, str]:
        """The credentials, as the AWS variables."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

    def url(self, prefix: str, bucket: str = BUCKET, **options: object) -> str:
        """The address of a store in the bucket."""
        values = {"endpoint": self.endpoint, "region": "us-east-1", **options}
        return f"s3://{bucket}/{prefix}?" + "&".join(f"{key}={value}" for key, value in values.items())

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _wait(self) -> None:
        """Waits until the server accepts an object: an open port is not enough."""
        bucket = Bucket(
            BUCKET,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )
        until = time.monotonic() + _TIMEOUT
        while True:
            assert self._process and self._process.poll() is None, self._log()
            try:
                obstore.put(bucket, "ready", b"?", mode="overwrite")
                obstore.delete(bucket, "ready")
                return
            except (BaseError, OSError) as error:
                assert time.monotonic() < until, f"{error}\n{self._log()}"
                time.sleep(0.05)

    def _run(self, command: Sequence[object], **environment: str) -> subprocess.Popen[bytes]:
        with open(self.directory / "output", "wb") as output:
            return subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={"HOME": str(self.directory), "PATH": "/usr/bin:/bin", **environment},
            )

    def _log(self) -> str:
        return (self.directory / "output").read_text(errors="replace")[-4000:]


class SeaweedFS(S3Server):
    """`weed mini`: master, volume server, filer and S3 in one process. Its telemetry is off."""

    def _started(self) -> subprocess.Popen[bytes]:
        keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        identity = {"name": "test", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
        (self.directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.directory / "data").mkdir()
        # Each answers gRPC 10,000 above.
        self.port, master, volume, filer = free_ports(4, above=10_000)
        weed = Path(sys.executable).with_name("weed")
        options = {
            "dir": self.directory / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.port": self.port,
            "s3.config": self.directory / "s3.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.port": master,
            "master.telemetry": "false",
            "volume.port": volume,
            "filer.port": filer,
            "filer.localSocket": self.directory / "filer.sock",
            "webdav": "false",
            "admin.ui": "false",
            "bucket": BUCKET,
        }
        return self._run([weed, "mini", *(f"-{name}={value}" for name, value in options.items())])


class Nanio(S3Server):
    """Accepts `If-None-Match: *`, and still overwrites."""

    def _started(self) -> subprocess.Popen[bytes]:
        nanio = Path(sys.executable).with_name("nanio")
        (self.directory / "data" / BUCKET).mkdir(parents=True)
        command = [nanio, "serve", "--data-dir", self.directory / "data"]
        where = ["--host", "127.0.0.1", "--port", self.port]
        return self._run([*command, *where], NANIO_ACCESS_KEY=ACCESS_KEY, NANIO_SECRET_KEY=SECRET_KEY)
