"""Fault: the protecting process is killed. At every step the application continues, the vault holds the old
points or these and the new one, and the next protection works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from undivided.host.crashpoints import PROTECT
from undivided.testing.kiosk import Kiosk

pytestmark = pytest.mark.slow

SIGKILLED = -9
COMMITTED = PROTECT[PROTECT.index("vault.committed") :]


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    with Kiosk(tmp_path_factory.mktemp("kiosk")) as made:
        yield made.protected()


@pytest.mark.parametrize("name", PROTECT)
def test_killed_at_any_step_there_are_only_whole_points_and_the_next_one_works(
    name: str, kiosk: Kiosk
) -> None:
    before = kiosk.cataloged()
    kiosk.work()
    kiosk.run("protect", kiosk.service, code=SIGKILLED, UNDIVIDED_CRASH_AT=name)
    kiosk.rest()
    kiosk.order()  # is acknowledged: no component is held
    after = kiosk.points()
    new = after[len(before) :]
    assert after == [*before, *new]
    assert len(new) == (name in COMMITTED)
    for point in new:
        kiosk.recovered(point)
    last = kiosk("protect", kiosk.service)
    assert kiosk.recovered(last["point"]) == kiosk.orders()
    assert kiosk.damaged() == []
    # It continued from the last point, also after a kill between the commit and the promotion of the cache.
    db = last["components"]["db"]
    assert db["image"] == "continued", db["notes"]
    assert len(kiosk.histories("db")) == len(kiosk.histories("site")) == 1
