"""A deterministic scheduler: several actors on one store, interleaved call by call from a seed.

At every call to the store another actor may continue. Actors are threads, but only one runs at a time: the
scheduler picks the next one and decides the fate of each call. So a seed replays a run exactly, with all
faults between a program and its store:

    lost      the create takes effect, and an error is reported
    failed    the create has no effect, and an error is reported
    late      an error is reported, and the create takes effect some time later
    crash     the actor dies in this call, before or after the effect
    sleep     the actor waits for a long time, like a suspended machine
    jump      the clock jumps forward or back
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..vault.stores.base import Buffer, Store, StoreError

HOUR_NS = 3600 * 10**9


class Crash(BaseException):
    """The actor's process has died. It is not an Exception, so that no code handles it."""


@dataclass
class Chances:
    """The probability of each fault, per call."""

    lost: float = 0.01
    failed: float = 0.003
    late: float = 0.01
    crash: float = 0.003
    sleep: float = 0.02
    jump: float = 0.01


@dataclass
class Actor:
    """name: for messages. turn: a lock that is free while the actor may run. asleep: for so many more
    steps."""

    name: str
    work: Callable[[SteppedStore], None]
    turn: threading.Lock = field(default_factory=threading.Lock)
    asleep: int = 0
    ended: bool = False
    failure: BaseException | None = None


class Scheduler:
    """One run. trace: all steps in order, to explain a failure."""

    def __init__(self, store: Store, seed: int, chances: Chances | None = None) -> None:
        self.store = store
        self.random = random.Random(seed)  # noqa: S311  a schedule is no secret
        self.chances = chances or Chances()
        self.now_ns = 1_800_000_000 * 10**9
        self.trace: list[str] = []
        self.calm = False
        """When set, there are no more faults."""
        self._actors: list[Actor] = []
        self._late: list[tuple[str, bytes]] = []
        self._done = threading.Lock()

    def now(self) -> int:
        return self.now_ns

    def add(self, name: str, work: Callable[[SteppedStore], None]) -> None:
        """work: gets its own view of the store. It handles StoreErrors; any other exception becomes the
        actor's failure."""
        self._actors.append(Actor(name, work))

    def run(self) -> None:
        """Returns when every actor has ended. Raises the first failure."""
        threads = [threading.Thread(target=self._act, args=(actor,), daemon=True) for actor in self._actors]
        self._done.acquire()
        for actor in self._actors:
            actor.turn.acquire()
        for thread in threads:
            thread.start()
        self._next().turn.release()
        self._done.acquire()
        self._done.release()
        for thread in threads:
            thread.join()
        self.land()
        for actor in self._actors:
            if actor.failure:
                raise actor.failure
        self._actors.clear()

    def land(self) -> None:
        """Lets every late create take effect."""
        while self._late:
            self._land(*self._late.pop())

    def _next(self) -> Actor:
        """The next actor, after a little time has passed."""
        waiting = [actor for actor in self._actors if not actor.ended]
        awake = [actor for actor in waiting if not actor.asleep] or waiting
        for actor in waiting:
            actor.asleep = max(0, actor.asleep - 1)
        self._elapse()
        return self.random.choice(awake)

    def _elapse(self) -> None:
        self.now_ns += self.random.randrange(60) * 10**9
        if not self.calm and self.random.random() < self.chances.jump:
            self.now_ns += self.random.choice([-48, -2, 2, 30, 200, 9000]) * HOUR_NS
        if self._late and self.random.random() < 0.1:
            self._land(*self._late.pop(self.random.randrange(len(self._late))))

    def _land(self, name: str, data: bytes) -> None:
        try:
            self.store.create(name, [data])
            self.trace.append(f"landed late: {name}")
        except StoreError:
            self.trace.append(f"too late: {name}")

    def _act(self, actor: Actor) -> None:
        actor.turn.acquire()
        try:
            actor.work(SteppedStore(self, actor))
        except Crash:
            self.trace.append(f"{actor.name} died")
        except BaseException as error:  # noqa: BLE001  it is raised again by `run`
            actor.failure = error
        actor.ended = True
        if all(other.ended for other in self._actors):
            self._done.release()
        else:
            self._next().turn.release()

    def step(self, actor: Actor, call: str) -> str:
        """Passes the turn on and waits for it. Returns the fault of the call, "" for none."""
        following = self._next()
        if following is not actor:
            following.turn.release()
            actor.turn.acquire()
        if self.calm:
            return ""
        place, roll = 0.0, self.random.random()
        for fate in ("lost", "failed", "late", "crash", "sleep"):
            place += getattr(self.chances, fate)
            if roll < place:
                self.trace.append(f"{actor.name}: {call}: {fate}")
                return fate
        self.trace.append(f"{actor.name}: {call}")
        return ""

    def postpone(self, name: str, data: bytes) -> None:
        self._late.append((name, data))


class SteppedStore:
    """One actor's view of the store. Calls run one after another, so that a seed replays."""

    def __init__(self, scheduler: Scheduler, actor: Actor) -> None:
        self.url = scheduler.store.url
        self.parallel = 1
        self._scheduler, self._actor = scheduler, actor
        self._dead = False

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        fate = self._step(f"create {name}")
        beneath, data = self._scheduler.store, b"".join(parts)
        if fate == "crash" and self._scheduler.random.random() < 0.5:
            raise self._die()
        if fate == "failed":
            raise StoreError("the connection was lost before", doing=f"create {name}")
        if fate == "late":
            self._scheduler.postpone(name, data)
            raise StoreError("the connection was lost", doing=f"create {name}")
        beneath.create(name, [data])
        if fate == "crash":
            raise self._die()
        if fate == "lost":
            raise StoreError("the answer was lost", doing=f"create {name}")

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._simple(f"read {name}")
        return self._scheduler.store.read(name, start, length)

    def size(self, name: str) -> int:
        self._simple(f"size {name}")
        return self._scheduler.store.size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        self._simple(f"list {prefix}")
        return self._scheduler.store.list(prefix)

    def delete(self, name: str) -> None:
        self._simple(f"delete {name}")
        self._scheduler.store.delete(name)

    def _simple(self, call: str) -> None:
        fate = self._step(call)
        if fate == "crash":
            raise self._die()
        if fate in ("failed", "lost"):
            raise StoreError("the connection was lost", doing=call)

    def _step(self, call: str) -> str:
        if self._dead:
            raise Crash
        fate = self._scheduler.step(self._actor, call)
        if fate == "sleep":
            self.sleep()
        return fate

    def sleep(self) -> None:
        """Lets the other actors continue for a while."""
        self._actor.asleep = self._scheduler.random.randrange(10, 200)
        self._scheduler.step(self._actor, "wakes up")

    def _die(self) -> Crash:
        self._dead = True
        return Crash()
