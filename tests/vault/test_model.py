"""The commit protocol, tried: writers, prunes, crashes, lost answers, a jumping clock, in any order.

The writers and prunes are the real ones, on tiny data; only who runs when, and what goes wrong, comes from a
seed (undivided/testing/interleaving.py). Whatever happened, at the end:

    every point that is in the log and was not expired reads back to the byte
    every point that was acknowledged, and was not to be expired, is in the log
    after some quiet prunes the store holds what is needed and nothing else
    the log is one chain

UNDIVIDED_MODEL_RUNS sets how many seeds are tried, UNDIVIDED_MODEL_SEED the first of them. That the model can
fail is shown by taking single rules out of the protocol.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from blake3 import blake3

from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Entry
from undivided.model.errors import DamageError
from undivided.model.log_kinds import LogKind
from undivided.testing.interleaving import HOUR_NS, Scheduler, SteppedStore
from undivided.vault import ballast
from undivided.vault.crypto import keys
from undivided.vault.format.log_entry import LogEntry, decode_entry
from undivided.vault.format.pack import OpenPack
from undivided.vault.index import load as known
from undivided.vault.index.load import index_links, load_index
from undivided.vault.keys import WriterKeys
from undivided.vault.log import log as logs
from undivided.vault.log.log import Log
from undivided.vault.prune import plan_prune
from undivided.vault.prune.execute import Pruning, execute
from undivided.vault.stores.base import Store, StoreError
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import CommitPlace, ConflictError, FencedError, TimelineSegment, Vault, Writer

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("UNDIVIDED_MODEL_RUNS", "2000"))
FIRST = int(os.environ.get("UNDIVIDED_MODEL_SEED", "0"))
DAY_NS = 24 * HOUR_NS
CONTENTS = [bytes([i]) * (40 + i) for i in range(12)]
"""What files hold: few enough for writers to share and to bring back what was dead."""
PATHS = [b"a", b"b", b"c", b"d"]


Decode = Callable[[WriterKeys, int, bytes], LogEntry]


class OpenSuite:
    """In place of sealing to a public key, which draws randomness that no seed decides."""

    def encrypt(self, secret: bytes, key: object, info: bytes) -> bytes:
        return secret + bytes(keys.SEALED_KEY_BYTES - keys.KEY_BYTES)

    def decrypt(self, sealed: bytes, key: object, info: bytes) -> bytes:
        return sealed[: keys.KEY_BYTES - keys.SEALED_KEY_BYTES]


chance = random.Random(0)
"""What os.urandom gives in a run: a seed replays it to the byte."""


@pytest.fixture(autouse=True, scope="module")
def replayable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", lambda size: chance.randbytes(size))
        patch.setattr(keys, "_SUITE", OpenSuite())
        patch.setattr(known, "_READERS", 1)
        patch.setattr(ballast, "SIZE", 10)
        patch.setattr(logs, "decode_entry", decoded_once(decode_entry))
        # Only one actor ever runs: with a second core each change of turns waits for the other to wake.
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores)})
        yield
        os.sched_setaffinity(0, cores)


def decoded_once(decode: Decode) -> Decode:
    """The same function with a memory: every actor reads the same entries again and again, and a third of the
    time went there. Equal bytes under the same number and keys are the same entry."""
    memory: dict[tuple[int, bytes], LogEntry] = {}

    def remembered(own: WriterKeys, number: int, data: bytes) -> LogEntry:
        if len(memory) > 4096:
            memory.clear()
        if (number, data) not in memory:
            memory[number, data] = decode(own, number, data)
        return memory[number, data]

    return remembered


@functools.cache
def empty() -> tuple[Vault, dict[str, bytes]]:
    """A vault as it was made, to begin every run with."""
    store = MemoryStore()
    vault = Vault.create(store, "correct horse")
    return vault, dict(store.objects)


@dataclass
class World:
    """What the actors and the judge know. acknowledged: point → whether it was to be expired."""

    scheduler: Scheduler
    random: random.Random
    acknowledged: dict[str, bool] = field(default_factory=dict)
    commits: int = 0
    prunes: int = 0
    refused: int = 0

    def vault(self, store: Store) -> Vault:
        made, _ = empty()
        log = Log(store, made.keys, None, self.scheduler.now)
        return Vault(store, made.keys, made._config, log, made._ring)


def store_chunks(writer: Writer, contents: list[bytes]) -> list[bytes]:
    """As the pipeline does it, without its threads: what is not known goes into one pack."""
    ids = [blake3(data, key=writer._keys.id).digest() for data in contents]
    fresh = writer._chunks.claim(b"".join(ids))
    if fresh:
        pack, session = OpenPack(bytearray(10_000)), writer._session  # type: ignore[arg-type]
        frames = session.content.frames
        for i in fresh:
            counter = frames.count()
            place = pack.allocate(len(contents[i]), len(contents[i]), 0, counter, ids[i], [len(contents[i])])
            frames.seal_into(counter, contents[i], session.id, place)
        writer._packs.upload(pack)
    return ids


class Source:
    """Takes points of one timeline after another: when it cannot know how it stands, it begins a new one."""

    def __init__(self, world: World, name: str, rounds: int) -> None:
        self.world, self.name, self.rounds = world, name, rounds
        self.points = 0

    def __call__(self, store: SteppedStore) -> None:
        self._begin()
        self.store = store
        for _ in range(self.rounds):
            try:
                vault = self.world.vault(store)
                with vault.writer() as writer:
                    for _ in range(self.world.random.choice([1, 1, 2])):
                        self._point(writer)
            except (ConflictError, FencedError):
                self.world.refused += 1
                self._begin()
            except (StoreError, DamageError):
                # A listing or a segment may disappear under a sleeper. Its point fails, and nothing is lost.
                self._begin()

    def _begin(self) -> None:
        self.timeline = f"{self.world.random.getrandbits(64):016x}"
        self.files: dict[bytes, int] = {}
        self.digest = ""

    def _point(self, writer: Writer) -> None:
        chance = self.world.random
        changed = {
            path: chance.randrange(len(CONTENTS)) for path in chance.sample(PATHS, chance.randint(0, 3))
        }
        gone = [path for path in self.files if path not in changed and chance.random() < 0.3]
        ids = store_chunks(writer, [CONTENTS[number] for number in changed.values()]) if changed else []
        if chance.random() < 0.3:
            self.store.sleep()
        rows = [Entry(path, size=len(CONTENTS[number])) for path, number in changed.items()]
        segment = TimelineSegment(Entries.of(rows, ids), Ragged.of(gone))
        files = {path: n for path, n in {**self.files, **changed}.items() if path not in gone}
        self.points += 1
        point = f"{self.name}-{self.points}"

        def body(place: CommitPlace) -> dict[str, object]:
            manifest = {path.decode(): number for path, number in files.items()}
            components = {"site": {"timeline": self.timeline}}
            return {
                "point": {"id": point, "components": components},
                "files": manifest,
                "digests": dict(place.digests),
            }

        entry = writer.commit("point", {self.timeline: segment}, body, {self.timeline: self.digest})
        self.files, self.digest = files, entry.body["digests"][self.timeline]
        self.world.acknowledged.setdefault(point, False)
        self.world.commits += 1


class Maintenance:
    """Forgets some points, with grace and session ages from rash to patient."""

    def __init__(self, world: World, rounds: int) -> None:
        self.world, self.rounds = world, rounds

    def __call__(self, store: SteppedStore) -> None:
        chance, now = self.world.random, self.world.scheduler.now
        for _ in range(self.rounds):
            try:
                vault = self.world.vault(store)
                points = [e.body["point"]["id"] for e in vault.log() if e.kind == "point"]
                forget = {point for point in points if chance.random() < 0.7}
                for point in forget:
                    self.world.acknowledged[point] = True
                plan = plan_prune(
                    vault,
                    forget,
                    now=now,
                    session_age=chance.choice([0, 60, 3600, 86400]),
                    grace=chance.choice([0, 0, 3600, 86400]),
                    threshold=chance.choice([0.3, 0.8, 1.0]),
                    many=chance.choice([2, 4, 64]),
                )
                execute(vault, plan, now=now)
                self.world.prunes += 1
            except (ConflictError, FencedError):
                self.world.refused += 1
            except (StoreError, DamageError):
                continue


def play(seed: int) -> World:
    """One run, judged."""
    _, objects = empty()
    chance.seed(seed)
    store = MemoryStore()
    store.objects.update(objects)
    scheduler = Scheduler(store, seed)
    world = World(scheduler, random.Random(seed + 1))
    for number in range(world.random.randint(1, 3)):
        scheduler.add(f"source {number}", Source(world, f"p{number}", world.random.randint(2, 5)))
    for number in range(world.random.randint(1, 2)):
        scheduler.add(f"maintenance {number}", Maintenance(world, world.random.randint(2, 4)))
    try:
        scheduler.run()
        scheduler.calm = True
        for _ in range(2):
            vault = world.vault(store)
            scheduler.now_ns = max([scheduler.now_ns, *(e.time_ns for e in vault.log())]) + DAY_NS
            execute(
                vault,
                plan_prune(vault, now=scheduler.now, session_age=1, grace=0, threshold=1.0),
                now=scheduler.now,
            )
        judge(world, store)
        judge_store(world, store)
    except BaseException as error:
        story = "\n".join(scheduler.trace)
        raise AssertionError(f"seed {seed} fails: {error!r}\n{story}") from error
    return world


def judge(world: World, store: MemoryStore) -> None:
    """No point is lost."""
    vault = world.vault(store)
    entries = list(vault.log())
    expired = {point for e in entries if e.kind == LogKind.PRUNE for point in e.body["expired_points"]}
    points = {e.body["point"]["id"]: e for e in entries if e.kind == "point"}
    asked = {point for point, was_requested in world.acknowledged.items() if was_requested}
    assert expired <= asked
    for point, was_requested in world.acknowledged.items():
        assert point in points or was_requested, f"{point} was acknowledged and is not in the log"
    reader = vault.reader()
    for point, entry in points.items():
        if point in expired:
            continue
        (timeline,) = entry.links["heads"]
        state = reader.state(timeline, entry.number)
        found = {
            path.decode(): b"".join(reader.read(state.chunks(row)))
            for row, path in enumerate(state.path.tolist())
        }
        assert found == {path: CONTENTS[n] for path, n in entry.body["files"].items()}, f"{point} differs"


def judge_store(world: World, store: MemoryStore) -> None:
    """Every object that is left is needed."""
    vault = world.vault(store)
    plan = plan_prune(vault, now=world.scheduler.now, grace=0, threshold=1.0)
    assert plan.idle, plan
    assert not any(plan.orphans.unknown.values())
    index = load_index(store, vault.keys, vault.commits)
    links = index_links(vault.commits)
    packs = set(index.packs) - links.pending_deletion
    needed = {f"packs/{name[:2]}/{name}" for name in packs} | {f"index/{n}" for n in links.segments}
    needed |= {f"timeline/{s.changes[-1].head.segment}" for steps in plan.steps.values() for s in steps}
    assert {name for name in store.objects if name.startswith(("packs/", "index/", "timeline/"))} == needed


@pytest.mark.timeout(300 + RUNS)
def test_no_interleaving_loses_a_point_or_leaves_a_pack_for_ever() -> None:
    worlds = [play(seed) for seed in range(FIRST, FIRST + RUNS)]
    assert sum(world.commits for world in worlds) > RUNS
    assert sum(world.prunes for world in worlds) > RUNS // 2
    assert RUNS < 100 or sum(world.refused for world in worlds) > RUNS // 50


def test_a_seed_replays_its_run_to_the_call() -> None:
    assert play(7).scheduler.trace == play(7).scheduler.trace


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("_refuse_gone", Writer),
        ("_refuse_pending_deletion", Writer),
        ("_rescue", Pruning),
    ],
)
def test_without_a_single_rule_of_the_protocol_points_are_lost(
    monkeypatch: pytest.MonkeyPatch, rule: str, kind: type
) -> None:
    monkeypatch.setattr(kind, rule, lambda *arguments: None)
    with pytest.raises(AssertionError, match=r"seed \d+ fails"):
        for seed in range(300):
            play(seed)
