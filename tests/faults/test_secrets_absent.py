"""Fault: an intruder reads our files, processes and messages. Passwords, the passphrase and the keys are in
no file but their own, in no argument, in no environment, and in no message."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from undivided.testing.kiosk import Kiosk
from undivided.testing.program import PASSPHRASE
from undivided.testing.redis import RedisServer
from undivided.vault.keys import WriterKeys

PASSWORD = "wirbelwind-der-vergangenheit"


class Shoulder:
    """Watches the programs that we start: their arguments and environments, while they run."""

    def __init__(self) -> None:
        self.seen = b""
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        ourselves = psutil.Process()
        while not self._over.is_set():
            for child in ourselves.children(recursive=True):
                for file in ("cmdline", "environ"):
                    try:
                        self.seen += Path(f"/proc/{child.pid}/{file}").read_bytes() + b"\n"
                        self.looks += 1
                    except OSError:
                        continue  # it has ended
            time.sleep(0.01)

    def __enter__(self) -> Shoulder:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    """With a Redis that wants a password; passphrase and password are in files of their own."""
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server")
    with RedisServer({"requirepass": PASSWORD}) as redis, Kiosk(tmp_path / "kiosk") as made:
        redis.call("SET", "orders", "1")
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        (private / "password").write_text(PASSWORD)
        (private / "passphrase").write_text(PASSPHRASE)
        made.environment["UNDIVIDED_PASSPHRASE"] = ""
        made.environment["UNDIVIDED_PASSPHRASE_FILE"] = str(private / "passphrase")
        cache = f"  cache: {{kind: redis, socket: {redis.socket}, password: {{file: {private}/password}}}}\n"
        made.file.write_text(made.file.read_text().replace("needs:", cache + "needs:"))
        made.order()
        yield made


def keys_of(kiosk: Kiosk) -> WriterKeys:
    return WriterKeys.decode((kiosk.config / "keys" / "near.key").read_bytes())


def secrets_of(kiosk: Kiosk) -> dict[str, bytes]:
    """Every secret, in each form in which it could appear."""
    keys = keys_of(kiosk)
    found = {"password": PASSWORD.encode(), "passphrase": PASSPHRASE.encode()}
    for name, key in (("structure", keys.structure), ("id", keys.id)):
        found |= {f"{name} key": key, f"{name} key in hex": key.hex().encode()}
    return found


def absent(secrets: dict[str, bytes], data: bytes, where: object) -> None:
    for name, secret in secrets.items():
        assert secret not in data, f"the {name} is in {where}"


def output_of(kiosk: Kiosk, *words: object, **environment: str) -> bytes:
    merged = {k: v for k, v in {**kiosk.environment, **environment}.items() if v}
    done = subprocess.run(
        [sys.executable, "-m", "undivided", *map(str, words)],
        env=merged,
        capture_output=True,
        timeout=60,
    )
    return done.stdout + done.stderr


@pytest.mark.real
def test_no_secret_is_left_behind_or_printed(kiosk: Kiosk) -> None:
    into = kiosk.home / "there"
    with Shoulder() as shoulder:
        said = [
            output_of(kiosk, *words)
            for words in (
                ["init"],
                ["service", "apply", kiosk.file],
                ["service", "show", kiosk.service],
                ["protect", kiosk.service],
                ["protect", kiosk.service, "--json"],
                ["points", "--json"],
                ["status", "--json"],
                ["vault", "info"],
                ["find", "*.txt", "--json"],
                ["recover", kiosk.service, "--to", into],
                ["verify", "--read-data"],
            )
        ]
    assert kiosk.orders(into) == kiosk.orders() and (into / "cache").is_dir()
    secrets = secrets_of(kiosk)
    absent(secrets, b"\n".join(said), "what was said")
    assert shoulder.looks > 100
    absent(secrets, shoulder.seen, "arguments or environments")
    keys = kiosk.config / "keys" / "near.key"
    assert keys.stat().st_mode & 0o077 == 0
    for file in (p for p in kiosk.home.rglob("*") if p.is_file() and p != keys):
        absent(secrets, file.read_bytes(), file)


@pytest.mark.real
def test_no_secret_is_in_any_failure_even_with_a_traceback(kiosk: Kiosk, tmp_path: Path) -> None:
    for words in (["init"], ["service", "apply", kiosk.file], ["protect", kiosk.service]):
        output_of(kiosk, *words)
    secrets = secrets_of(kiosk)
    debug = {"UNDIVIDED_DEBUG": "1"}
    wrong = tmp_path / "private" / "wrong"
    wrong.write_text("not " + PASSPHRASE)
    password = tmp_path / "private" / "password"
    recover = ["recover", kiosk.service, "--to", kiosk.home / "x"]
    said = [output_of(kiosk, *recover, UNDIVIDED_PASSPHRASE_FILE=str(wrong), **debug)]
    password.write_text("not " + PASSWORD)  # the server refuses it
    said.append(output_of(kiosk, "protect", kiosk.service, **debug))
    password.write_text(PASSWORD)
    kiosk.order()
    shutil.rmtree(kiosk.vault / "index")
    shutil.rmtree(kiosk.vault / "packs")
    said += [output_of(kiosk, *words, **debug) for words in (recover, ["verify"], ["protect", kiosk.service])]
    keys = kiosk.config / "keys" / "near.key"
    keys.write_bytes(keys.read_bytes()[:-9])
    said.append(output_of(kiosk, "points", **debug))
    assert sum(b"undivided: " in each for each in said) >= 4, said
    absent(secrets, b"\n".join(said), "a failure")


def test_a_bug_shows_no_secret_in_its_traceback(kiosk: Kiosk, tmp_path: Path) -> None:
    """The worst case: an unforeseen error while everything is open."""
    for words in (["init"], ["service", "apply", kiosk.file]):
        output_of(kiosk, *words)
    script = (
        "import sys\n"
        "from undivided.capture import protect\n"
        "from undivided.cli.run import run\n"
        "def broken(*_, **__):\n    raise ZeroDivisionError('an unforeseen error')\n"
        "protect.cut = broken\n"
        "sys.exit(run(['protect', sys.argv[1]]))\n"
    )
    environment = {**{k: v for k, v in kiosk.environment.items() if v}, "UNDIVIDED_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, kiosk.service], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert b"Traceback" in done.stderr and b"an unforeseen error" in done.stderr
    absent(secrets_of(kiosk), done.stdout + done.stderr, "a traceback")


def test_private_files_are_for_root_only(kiosk: Kiosk) -> None:
    kiosk.protected()
    for path in (kiosk.config, *kiosk.config.rglob("*")):
        if path.is_dir() or path.is_relative_to(kiosk.vault) or path.suffix == ".key":
            assert path.stat().st_mode & 0o077 == 0, path
