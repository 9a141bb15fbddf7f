"""The index of a large vault: opening it, its memory, and finding unused packs.

A vault of ten million chunks in a directory, made by the code that makes any other: index segments and
timelines are sealed and committed, only the packs that they speak of are not there. Their ids are random, so
nothing compresses or repeats by luck. Four chunks make a frame, 32 frames a pack; thirty million references
go to seven tenths of the chunks. Each measurement is a process of its own: its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from undivided.model.columns import Array, Ragged
from undivided.model.entries import Entries, Entry
from undivided.model.log_kinds import LogKind
from undivided.vault.crypto.aead import Sealer
from undivided.vault.crypto.envelope import digest_of
from undivided.vault.format.index_segment import PURPOSE, StoredPack, name_of, segments_of
from undivided.vault.format.pack_header import PackHeader
from undivided.vault.index.load import load_index
from undivided.vault.keys import WriterKeys
from undivided.vault.prune.reachability import pack_usage
from undivided.vault.read.histories import ContentKeys, Histories
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import TimelineSegment, Vault

CHUNKS, REFERENCES = 10_000_000, 30_000_000
PASSPHRASE = "bench"
TIMELINE = "b" * 16
_PER_FRAME, _PER_PACK = 4, 128
_CHUNK = 256 << 10
_ALIVE = 0.7
_PER_COMMIT = 1_000_000
_PER_ROW = 10_000


def build(home: Path, chunks: int, references: int) -> None:
    """A vault, and next to it some of its ids."""
    random = np.random.default_rng(1)
    vault = Vault.create(DirectoryStore(home / "vault"), PASSPHRASE)
    ids = np.frombuffer(random.bytes(chunks * 32), np.uint8).reshape(-1, 32)
    packs = [_pack(random, ids[at : at + _PER_PACK]) for at in range(0, chunks, _PER_PACK)]
    session = vault.keys.new_session()
    sealer = Sealer(vault.keys.structure, vault.keys.vault_bytes, session, PURPOSE)
    names = []
    for segment in segments_of(packs):
        data = segment.seal(sealer, session)
        names.append(digest_of(data))
        vault.store.create(name_of(names[-1]), [data])
    vault.commits.append(LogKind.POINT, {}, {"index": names})
    alive = ids[: int(chunks * _ALIVE)]
    for start in range(0, references, _PER_COMMIT):
        chosen = alive[random.integers(len(alive), size=min(_PER_COMMIT, references - start))]
        rows = [Entry(b"%d" % (start + at), size=_PER_ROW * _CHUNK) for at in range(0, len(chosen), _PER_ROW)]
        contents = [chosen[at : at + _PER_ROW].tobytes() for at in range(0, len(chosen), _PER_ROW)]
        with vault.writer() as writer:
            writer.commit(
                LogKind.POINT, {TIMELINE: TimelineSegment(Entries.of(rows, contents), Ragged.empty(0))}, {}
            )
    (home / "keys").write_bytes(vault.keys.encode())
    (home / "ids").write_bytes(ids[:: max(1, chunks // 1000)].tobytes())


def _pack(random: np.random.Generator, ids: Array) -> StoredPack:
    frames = len(ids) // _PER_FRAME
    table = PackHeader(
        stored=np.full(frames, _PER_FRAME * _CHUNK // 2, "<u4"),
        plain=np.full(frames, _PER_FRAME * _CHUNK, "<u4"),
        codec=np.ones(frames, "u1"),
        counter=np.arange(1, frames + 1, dtype="<u8"),
        session=np.zeros(frames, "<u2"),
        chunks=np.full(frames, _PER_FRAME, "<u4"),
        id=ids.ravel(),
        length=np.full(len(ids), _CHUNK, "<u4"),
    )
    size = int(table.stored.sum()) + 5000
    return StoredPack(random.bytes(32).hex(), size, table, [(bytes(16), bytes(80))])


def _opened(home: Path) -> Vault:
    keys = WriterKeys.decode((home / "keys").read_bytes())
    return Vault.open(DirectoryStore(home / "vault"), keys=keys, passphrase=lambda: PASSPHRASE)


def first_lookup(home: Path) -> dict[str, float]:
    """Opening a vault until the first chunk is found, and what the index then takes."""
    some = np.frombuffer((home / "ids").read_bytes(), np.uint8)
    before, begun = _resident("VmRSS"), time.perf_counter()
    vault = _opened(home)
    index = load_index(vault.store, vault.keys, vault.commits)
    if index.find(some[:32])[0] < 0:
        raise SystemExit("the first chunk was not found")
    seconds = time.perf_counter() - begun
    if (index.find(some) < 0).any():
        raise SystemExit("a chunk was not found")
    grown = _resident("VmRSS") - before
    return {"seconds": seconds, "peak": _resident("VmHWM"), "per chunk": grown / len(index)}


def collect(home: Path) -> dict[str, float]:
    """What a prune does before it destroys: the index, every reference of the timelines, the join."""
    begun = time.perf_counter()
    vault = _opened(home)
    index = load_index(vault.store, vault.keys, vault.commits)
    read = time.perf_counter()
    spent = [0.0]

    def references() -> Iterator[Array]:
        at = time.perf_counter()
        histories = Histories(vault.store, vault.commits, ContentKeys(vault.keys, vault.private_keys))
        for _, _, segment in histories.each(TIMELINE):
            spent[0] += time.perf_counter() - at
            yield segment.puts.content.blob
            at = time.perf_counter()

    found = pack_usage(index, references())
    done = time.perf_counter()
    return {
        "seconds": done - begun,
        "index": read - begun,
        "references": spent[0],
        "join": done - read - spent[0],
        "peak": _resident("VmHWM"),
        "live": int(found.chunks.sum()) / len(index),
    }


def _resident(which: str) -> float:
    """Bytes of this process, as the kernel counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"the kernel does not tell {which}")


def _alone(step: str, home: Path, *more: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.index", step, str(home), *map(str, more)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def main(chunks: int = CHUNKS, references: int = REFERENCES, scratch: Path | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="undivided-bench-", dir=scratch) as directory:
        home = Path(directory)
        _alone("build", home, chunks, references)
        opened, collected = _alone("open", home), _alone("collect", home)
    print(f"## An index of {chunks / 1e6:.0f} M chunks, {references / 1e6:.0f} M references\n")
    print("| | measured | limit | of the limit |\n|---|---|---|---|")
    _row("open the vault and find the first chunk", opened["seconds"], 1.0, "s")
    _row("memory per indexed chunk", opened["per chunk"], 50.0, "bytes")
    _row("find unused packs", collected["seconds"], 10.0, "s")
    _row("the same, peak memory", collected["peak"] / 1e6, 1000.0, "MB")
    parts = ", ".join(f"{name} {collected[name]:.2f} s" for name in ("index", "references", "join"))
    print(f"\nOf the third row: {parts}. {collected['live']:.0%} of the chunks are alive.\n", flush=True)


def _row(title: str, found: float, limit: float, unit: str) -> None:
    print(f"| {title} | {found:.2f} {unit} | {limit:.0f} {unit} | {found / limit:.2f}× |")


def _step() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["build", "open", "collect"])
    parser.add_argument("home", type=Path)
    parser.add_argument("counts", type=int, nargs="*")
    options = parser.parse_args()
    if options.step == "build":
        build(options.home, *options.counts)
        print("{}")
    else:
        print(json.dumps({"open": first_lookup, "collect": collect}[options.step](options.home)))


if __name__ == "__main__":
    _step() if len(sys.argv) > 1 else main()
