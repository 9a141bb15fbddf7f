"""The demo: a live portal is protected, wrecked, recovered in place and examined, and every number measured.

Ends with code 0 only when the recovered portal is whole and has every order that was acknowledged before the
point. KEEP=1 keeps the scratch directory.
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
from .narration import Narration, seconds, size
from .scene import Scene, Vandal

POINTS = 8
EVERY = 2.5
"""Seconds between points."""


def run(scene: Scene, out: Narration) -> bool:
    out.chapter("A portal opens")
    scene.build()
    undivided = Undivided(scene.root / "undivided")
    versions = " · ".join(f"{name} {version}" for name, version in scene.versions().items())
    out.text(f"{versions} · an upload tree · a web application")
    out.text(
        "An order is a row, an uploaded file, an audit entry and a cache entry that refer to each other."
    )
    out.text("Four customers order without a pause, and keep a journal of every acknowledged order.")
    out.text(f"The portal is at {scene.site.url}, its check of all references at {scene.site.url}/check")
    scene.open_doors()

    out.chapter("Undivided protects it while they order")
    out.command("undivided init")
    undivided("init", "--vault", undivided.vault)
    out.command("undivided service apply portal.yaml")
    undivided("service", "apply", scene.service_file())
    out.command(f"undivided protect portal      # every {EVERY:g} s")
    taken = protect_for_a_while(scene, undivided, out)

    out.chapter("Then something goes wrong")
    damaged_at = time.time_ns()
    deleted, before = Vandal(scene.site).strike()
    out.damage(f"DROP TABLE orders; and {deleted} of {before} uploads deleted")
    report = witness.examine(scene.site.url)
    out.text(f"The portal examines itself and finds {len(report['broken'])} broken references, for example:")
    for finding in report["broken"][:3]:
        out.text(f"  {finding}")
    wreck = undivided("protect", "portal")
    out.text(f"The schedule does not notice and protects the wreck, too: point {wreck['point']}.")

    out.chapter("The whole service comes back")
    good = last_before(undivided("points", "portal")["points"], damaged_at)
    out.text(f"The last point before the damage is {good['id']}.")
    out.command(f"undivided recover portal --at {good['id']} --in-place --dry-run")
    plan = undivided("recover", "portal", "--at", good["id"], "--in-place", "--dry-run")
    out.plan([step["text"].replace(str(scene.site.root), "…") for step in plan["steps"]])
    out.command(f"undivided recover portal --at {good['id']} --in-place")
    started = time.monotonic()
    recovered = undivided("recover", "portal", "--at", good["id"], "--in-place")
    recovery = time.monotonic() - started

    out.chapter("Is it whole?")
    instant = nanoseconds(good["time"])
    promised = witness.promises(scene.journal)
    kept = [p for p in promised if p.acknowledged < instant]
    lost = [p for p in promised if instant <= p.acknowledged <= damaged_at]
    report = witness.examine(scene.site.url)
    broken = witness.missing(scene.site.url, kept)
    again = witness.served_again(scene.journal, time.time_ns())
    whole = out.verdict(
        not report["broken"],
        f"each of {report.get('orders', 0)} orders has its row, its file with the right hash, its audit "
        "entry and its cache entry, and none of these exists without its order",
        report["broken"],
    )
    whole &= out.verdict(
        not broken, f"all {len(kept)} orders acknowledged before the point are there, byte for byte", broken
    )
    whole &= out.verdict(
        again, "customers are served again", ["no order was acknowledged since the recovery"]
    )

    out.chapter("In numbers")
    protected = sum(p["bytes_seen"] for p in taken)
    moved = sum(p["bytes_stored"] for p in taken)
    out.numbers(
        {
            "consistency": ", ".join(sorted({p["consistency"] for p in taken})),
            "pause": median_and_maximum([p["pause_ms"] for p in taken]),
            "skew": median_and_maximum([p["skew_ms"] for p in taken]),
            "protected": f"{size(protected)} in {len(taken)} points of {len(good['components'])} components",
            "moved": f"{size(moved)}, {moved / protected:.0%} of it; uploads are random and do not compress",
            "data loss": f"{seconds((damaged_at - instant) / 1e9)}: {len(lost)} orders, acknowledged between "
            "the point and the damage",
            "recovery": f"{seconds(recovery)} from the command to a checked service; it was down for "
            f"{seconds(recovered['down_seconds'])} of them",
        }
    )
    return whole


def protect_for_a_while(scene: Scene, undivided: Undivided, out: Narration) -> list[dict[str, Any]]:
    out.heading()
    taken = []
    for _ in range(POINTS):
        due = time.monotonic() + EVERY
        point = undivided("protect", "portal")
        taken.append(point)
        out.point(point, orders=len(witness.promises(scene.journal)))
        time.sleep(max(0.0, due - time.monotonic()))
    return taken


def last_before(points: list[dict[str, Any]], damaged_at: int) -> dict[str, Any]:
    return max(
        (p for p in points if nanoseconds(p["time"]) < damaged_at), key=lambda p: nanoseconds(p["time"])
    )


def nanoseconds(time_: str) -> int:
    return round(datetime.fromisoformat(time_).timestamp() * 1e9)


def median_and_maximum(milliseconds: list[float]) -> str:
    return f"{statistics.median(milliseconds):.1f} ms median, {max(milliseconds):.1f} ms at most"


def main() -> int:
    out = Narration()
    begun = time.monotonic()
    try:
        with Scene(keep=os.environ.get("KEEP", "") not in ("", "0")) as scene:
            out.title(scene.root)
            try:
                whole = run(scene, out)
            finally:
                scene.close_doors()
                if scene.keep:
                    out.text(f"All files are kept in {scene.root}. No process is left running.")
    except KeyboardInterrupt:
        out.text("Interrupted. No process is left running.")
        return 130
    except (CommandFailed, RuntimeError, OSError) as error:
        out.verdict(False, "", [str(error)])
        return 1
    out.end(whole, time.monotonic() - begun)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
