"""The story: a live portal is protected, wrecked, recovered in place, examined, and every number measured.

Ends with code 0 only when the recovered portal is whole and every order that was acknowledged before the
point is there. KEEP=1 keeps the scratch directory.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from datetime import datetime
from typing import Any

from . import witness
from .command import CommandFailed, Undivided
from .scene import Scene, Vandal
from .telling import Telling, seconds, size

POINTS = 8
EVERY = 2.5
"""Seconds between points."""


def story(scene: Scene, tell: Telling) -> bool:
    tell.chapter("A portal opens")
    scene.build()
    undivided = Undivided(scene.root / "undivided")
    versions = " · ".join(f"{name} {version}" for name, version in scene.versions().items())
    tell.says(f"{versions} · an upload tree · a web application")
    tell.says(
        "An order is a row, an uploaded file, an audit entry and a cache entry that refer to each other."
    )
    tell.says("Four customers order without a pause, and write down what they were promised.")
    tell.says(f"Look at it at {scene.site.url}, or at its check at {scene.site.url}/check")
    scene.open_doors()

    tell.chapter("Undivided protects it while they order")
    tell.command("undivided init")
    undivided("init", "--vault", undivided.vault)
    tell.command("undivided service apply portal.yaml")
    undivided("service", "apply", scene.service_file())
    tell.command(f"undivided protect portal      # every {EVERY:g} s")
    taken = protect_for_a_while(scene, undivided, tell)

    tell.chapter("Then something goes wrong")
    damaged_at = time.time_ns()
    deleted, before = Vandal(scene.site).strike()
    tell.damage(f"DROP TABLE orders; and {deleted} of {before} uploads deleted")
    report = witness.examine(scene.site.url)
    tell.says(f"The portal examines itself: {len(report['broken'])} broken references, first of all:")
    for finding in report["broken"][:3]:
        tell.says(f"  {finding}")
    wreck = undivided("protect", "portal")
    tell.says(f"The schedule does not know, and protects the wreck too: point {wreck['point']}.")

    tell.chapter("The whole service comes back")
    good = last_before(undivided("points", "portal")["points"], damaged_at)
    tell.says(f"The last point before the damage is {good['id']}.")
    tell.command(f"undivided recover portal --at {good['id']} --in-place --dry-run")
    plan = undivided("recover", "portal", "--at", good["id"], "--in-place", "--dry-run")
    tell.plan([step["text"].replace(str(scene.site.root), "…") for step in plan["steps"]])
    tell.command(f"undivided recover portal --at {good['id']} --in-place")
    asked = time.monotonic()
    recovered = undivided("recover", "portal", "--at", good["id"], "--in-place")
    recovery = time.monotonic() - asked

    tell.chapter("Is it whole?")
    instant = nanoseconds(good["time"])
    promised = witness.promises(scene.journal)
    kept = [p for p in promised if p.acknowledged < instant]
    lost = [p for p in promised if instant <= p.acknowledged <= damaged_at]
    report = witness.examine(scene.site.url)
    broken = witness.missing(scene.site.url, kept)
    again = witness.served_again(scene.journal, time.time_ns())
    whole = tell.verdict(
        not report["broken"],
        f"every one of {report.get('orders', 0)} orders has its row, its file with the right hash, its audit "
        "entry and its cache entry, and none of these is without its order",
        report["broken"],
    )
    whole &= tell.verdict(
        not broken, f"all {len(kept)} orders acknowledged before the point are there, byte for byte", broken
    )
    whole &= tell.verdict(again, "customers are served again", ["no order was acknowledged since"])

    tell.chapter("In numbers")
    protected = sum(p["bytes_seen"] for p in taken)
    moved = sum(p["bytes_stored"] for p in taken)
    tell.numbers(
        {
            "consistency": ", ".join(sorted({p["consistency"] for p in taken})),
            "pause": middle_and_most([p["pause_ms"] for p in taken]),
            "skew": middle_and_most([p["skew_ms"] for p in taken]),
            "protected": f"{size(protected)} in {len(taken)} points of {len(good['components'])} components",
            "moved": f"{size(moved)}, {moved / protected:.0%} of it; uploads are random, so none compresses",
            "data loss": f"{seconds((damaged_at - instant) / 1e9)}: the {len(lost)} orders acknowledged "
            "between the point and the damage",
            "recovery": f"{seconds(recovery)} from the command to a checked service, of which it was down "
            f"{seconds(recovered['down_seconds'])}",
        }
    )
    return whole


def protect_for_a_while(scene: Scene, undivided: Undivided, tell: Telling) -> list[dict[str, Any]]:
    tell.heading()
    taken = []
    for _ in range(POINTS):
        due = time.monotonic() + EVERY
        point = undivided("protect", "portal")
        taken.append(point)
        tell.point(point, orders=len(witness.promises(scene.journal)))
        time.sleep(max(0.0, due - time.monotonic()))
    return taken


def last_before(points: list[dict[str, Any]], damaged_at: int) -> dict[str, Any]:
    return max(
        (p for p in points if nanoseconds(p["time"]) < damaged_at), key=lambda p: nanoseconds(p["time"])
    )


def nanoseconds(time_: str) -> int:
    return round(datetime.fromisoformat(time_).timestamp() * 1e9)


def middle_and_most(milliseconds: list[float]) -> str:
    return f"{statistics.median(milliseconds):.1f} ms in the middle, {max(milliseconds):.1f} ms at most"


def main() -> int:
    tell = Telling()
    begun = time.monotonic()
    try:
        with Scene(keep=os.environ.get("KEEP", "") not in ("", "0")) as scene:
            tell.title(scene.root)
            try:
                whole = story(scene, tell)
            finally:
                scene.close_doors()
                if scene.keep:
                    tell.says(f"Everything is kept in {scene.root}, and nothing runs any more.")
    except KeyboardInterrupt:
        tell.says("Interrupted; everything that ran has ended.")
        return 130
    except (CommandFailed, RuntimeError, OSError) as error:
        tell.verdict(False, "", [str(error)])
        return 1
    tell.end(whole, time.monotonic() - begun)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
