"""A deterministic scheduler: several actors on one store, interleaved call by call from a seed.

Every call to the store is a place where another actor may go on. Actors are threads, but only one ever runs:
the scheduler picks who is next, and decides what becomes of each call. So a seed replays a run exactly, with
everything that can go wrong between a program and its store:

    lost      the create took effect, and an error is reported
    failed    it did not, and an error is reported
    late      an error is reported, and it takes effect some time afterwards
    crash     the actor dies there and then, before or after the effect
    sleep     nothing happens for a long time, as when a machine was suspended
    jump      the clock leaps, and may leap back
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..vault.stores.base import Buffer, Store, StoreError

HOUR_NS = 3600 * 10**9


class Crash(BaseException):
    """The actor's process is gone. Not an Exception: no code may handle it."""


@dataclass
class Chances:
    """Per call, how likely each is."""

    lost: float = 0.01
    failed: float = 0.003
    late: float = 0.01
    crash: float = 0.003
    sleep: float = 0.02
    jump: float = 0.01


@dataclass
class Actor:
    """name: for messages. turn: a lock that is free when it may run. asleep: for how many steps still."""

    name: str
    work: Callable[[Stepped], None]
    turn: threading.Lock = field(default_factory=threading.Lock)
    asleep: int = 0
    ended: bool = False
    failure: BaseException | None = None


class Scheduler:
    """One run. trace: what was done in order, for who wants to see how it failed."""

    def __init__(self, store: Store, seed: int, chances: Chances | None = None) -> None:
        self.store = store
        self.random = random.Random(seed)  # noqa: S311  a schedule is no secret
        self.chances = chances or Chances()
        self.now_ns = 1_800_000_000 * 10**9
        self.trace: list[str] = []
        self.calm = False
        """When set, nothing goes wrong any more."""
        self._actors: list[Actor] = []
        self._late: list[tuple[str, bytes]] = []
        self._done = threading.Lock()

    def now(self) -> int:
        return self.now_ns

    def add(self, name: str, work: Callable[[Stepped], None]) -> None:
        """work: gets a store of its own. What it raises is kept as the actor's failure; StoreErrors and the
        like are for it to handle."""
        self._actors.append(Actor(name, work))

    def run(self) -> None:
        """Until every actor has ended. Raises the first failure of one."""
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
        """Everything that is still under way takes effect."""
        while self._late:
            self._land(*self._late.pop())

    def _next(self) -> Actor:
        """Whose turn it is, after the world has gone on a little."""
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
            actor.work(Stepped(self, actor))
        except Crash:
            self.trace.append(f"{actor.name} died")
        except BaseException as error:  # noqa: BLE001  it is raised again by `run`
            actor.failure = error
        actor.ended = True
        if all(other.ended for other in self._actors):
            self._done.release()
        else:
            self._next().turn.release()

    def step(self, actor: Actor, what: str) -> str:
        """Gives the turn away and waits for it. What is to go wrong with the call, "" for nothing."""
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
                self.trace.append(f"{actor.name}: {what}: {fate}")
                return fate
        self.trace.append(f"{actor.name}: {what}")
        return ""

    def postpone(self, name: str, data: bytes) -> None:
        self._late.append((name, data))


class Stepped:
    """The store as one actor sees it, one call after another: a seed must replay."""

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

    def _simple(self, what: str) -> None:
        fate = self._step(what)
        if fate == "crash":
            raise self._die()
        if fate in ("failed", "lost"):
            raise StoreError("the connection was lost", doing=what)

    def _step(self, what: str) -> str:
        if self._dead:
            raise Crash
        fate = self._scheduler.step(self._actor, what)
        if fate == "sleep":
            self.sleep()
        return fate

    def sleep(self) -> None:
        """For an actor that lets the others go on for a while."""
        self._actor.asleep = self._scheduler.random.randrange(10, 200)
        self._scheduler.step(self._actor, "wakes up")

    def _die(self) -> Crash:
        self._dead = True
        return Crash()
