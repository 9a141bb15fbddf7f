"""A real OpenSSH server with its own keys, its own port and one login."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil

from .ports import free_port

_TIMEOUT = 30.0
PROGRAM = "/usr/sbin/sshd"


class SshServer:
    """A running sshd. The end of the context ends it with its sessions and removes its directory."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="und-sftp-", dir="/tmp"))
        self.key, self.known_hosts = self.directory / "key", self.directory / "known_hosts"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._configure()
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, path: str | os.PathLike[str]) -> str:
        login = f"{getpass.getuser()}@127.0.0.1:{self.port}"
        return f"sftp://{login}{os.fspath(path)}?key={self.key}&known_hosts={self.known_hosts}"

    def start(self) -> None:
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # its empty place to change root to
        self._process = subprocess.Popen(
            [PROGRAM, "-D", "-e", "-f", self.directory / "config"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.directory / "log", "ab"),  # noqa: SIM115  the child's
            start_new_session=True,
        )
        until = time.monotonic() + _TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                log = (self.directory / "log").read_text()
                assert time.monotonic() < until and self._process.poll() is None, log
                time.sleep(0.02)

    def kill(self) -> None:
        """Kills the server and all its sessions at once."""
        if self._process is not None:
            sessions = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            self._process.wait()
            for session in sessions:
                with contextlib.suppress(psutil.NoSuchProcess):
                    session.kill()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> SshServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _configure(self) -> None:
        for name in ("key", "host"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.directory / name]
            subprocess.run(command, check=True)
        (self.directory / "authorized").write_text((self.directory / "key.pub").read_text())
        host = (self.directory / "host.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host}")
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.directory}/host",
            f"AuthorizedKeysFile {self.directory}/authorized",
            f"PidFile {self.directory}/pid",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
        ]
        (self.directory / "config").write_text("\n".join(lines) + "\n")
