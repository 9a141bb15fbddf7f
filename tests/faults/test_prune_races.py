"""Pruning while others work: a sleeper that wakes up behind its fence, a point whose content goes under it,
several prunes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from undivided.capture.protect import protect
from undivided.config.service_file import parse_service
from undivided.testing.stores import Rival
from undivided.testing.vaults import TIMELINE, contents
from undivided.testing.vaults import protect as point
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import ConflictError, Vault
from undivided.vault.verify import Scope, verify

DAYS_NS = 86400 * 10**9
SLEEPER = """
import os, signal, sys
from undivided.testing.vaults import segment
from undivided.vault.vault import FencedError
from undivided.vault.keys import WriterKeys
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Vault

vault = Vault.open(DirectoryStore(sys.argv[1]), keys=WriterKeys.decode(open(sys.argv[2], "rb").read()))
with vault.writer() as writer:
    added = segment(writer, {b"a": os.urandom(5000)})
    writer._pipeline.drain()
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        writer.commit("point", {"t": added}, {})
    except FencedError as error:
        print(error.hint)
        sys.exit(77)
"""


pytestmark = pytest.mark.usefixtures("cheap_passphrases")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.create(DirectoryStore(tmp_path / "vault"), "correct horse")


def opened(vault: Vault) -> Vault:
    return Vault.open(DirectoryStore(vault.store.url), passphrase=lambda: "correct horse")


def test_a_process_that_was_stopped_and_fenced_is_refused_when_it_goes_on(
    vault: Vault, tmp_path: Path
) -> None:
    keys = tmp_path / "writer.key"
    keys.write_bytes(vault.keys.encode())
    sleeper = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, vault.store.url, str(keys)], stdout=subprocess.PIPE, text=True
    )
    try:
        _, status = os.waitpid(sleeper.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        before = {name for name, _ in vault.store.list("packs/")}
        assert before
        later = time.time_ns() + 2 * DAYS_NS
        vault.refresh()
        execute(vault, plan_prune(vault, now=lambda: later, grace=0))
        assert not list(vault.store.list("packs/"))
        os.kill(sleeper.pid, signal.SIGCONT)
        said, _ = sleeper.communicate(timeout=60)
        assert sleeper.returncode == 77
        assert "again" in said
    finally:
        sleeper.kill()
        sleeper.wait()
    assert [e.kind for e in opened(vault).log()] == ["session", "prune"]


def test_a_point_with_a_conflict_is_taken_again_at_once(vault: Vault, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    point(vault, "p1", {b"a": data})
    point(vault, "p2", {b"a": b"2"})
    site = tmp_path / "site"
    site.mkdir()
    (site / "copy").write_bytes(data)
    service = parse_service(f"service: web\ncomponents:\n  site: {{kind: files, path: {site}}}\n", "web.yaml")
    other = opened(vault)
    conflicting = Vault.open(
        Rival(vault.store, "timeline/", lambda: execute(other, plan_prune(other, ["p1"], grace=0))),
        keys=vault.keys,
        passphrase=lambda: "correct horse",
    )
    made = protect(service, conflicting, tmp_path / "state", last=None)
    part = made.components["site"]
    reader = opened(vault).reader()
    state = reader.state(part.timeline, part.sequence)
    row = state.path.tolist().index(b"copy")
    assert b"".join(reader.read(state.chunks(row))) == data
    kinds = [e.kind for e in opened(vault).log()]
    assert kinds.count("prune") == 1 and kinds[-1] == "point"


def test_a_history_that_another_writer_continued_is_begun_again(vault: Vault, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "a").write_bytes(b"a" * 1000)
    service = parse_service(f"service: web\ncomponents:\n  site: {{kind: files, path: {site}}}\n", "web.yaml")
    first = protect(service, vault, tmp_path / "state", last=None)
    timeline = first.components["site"].timeline
    point(vault, "another machine", {b"b": b"b"}, timeline=timeline)
    (site / "a").write_bytes(b"changed")
    second = protect(service, vault, tmp_path / "state", last=first)
    part = second.components["site"]
    assert part.timeline != timeline
    state = vault.reader().state(part.timeline, part.sequence)
    assert b"a" in state.path.tolist() and b"b" not in state.path.tolist()


def test_of_many_prunes_at_once_the_vault_stays_whole(vault: Vault) -> None:
    files = {}
    for number in range(6):
        files = {b"a": os.urandom(3000), b"b%d" % number: os.urandom(3000)}
        point(vault, f"p{number}", files)
    won: list[object] = []

    def prune() -> None:
        own = opened(vault)
        try:
            won.append(execute(own, plan_prune(own, ["p0", "p2"], grace=0, threshold=1.0)).entry)
        except ConflictError:
            won.append(None)

    threads = [threading.Thread(target=prune) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 4 and any(won)
    fresh = opened(vault)
    assert verify(fresh, Scope(read_data=True)).damaged == []
    last = [e for e in fresh.log() if e.kind == "point"][-1]
    assert contents(fresh, last.number, TIMELINE)[b"a"] == files[b"a"]
