"""Examines the portal from outside, like its customers and auditors: over HTTP and in the journal."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STORES = ("row", "audit", "cache")


@dataclass(frozen=True)
class Promise:
    """An order as the portal acknowledged it. acknowledged: nanoseconds since the epoch."""

    order: int
    sha256: str
    acknowledged: int


def promises(journal: Path) -> list[Promise]:
    """Every whole line of the customers' journal."""
    if not journal.exists():
        return []
    lines = journal.read_text().split("\n")[:-1]
    parsed = (json.loads(line) for line in lines)
    return [Promise(t["order"], t["sha256"], t["acknowledged"]) for t in parsed]


def examine(url: str) -> dict[str, Any]:
    """The portal's own report on all its references."""
    try:
        with urllib.request.urlopen(f"{url}/check", timeout=60) as reply:
            report: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        report = json.load(error)
        report.setdefault("broken", [report.get("error", f"the portal answers {error.code}")])
    return report


def missing(url: str, promised: list[Promise]) -> list[str]:
    """The promises that the portal does not keep: each order is fetched, its file hashed, and the hash
    compared with the customer's hash and with the one in every store."""
    broken = []
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for promise in promised:
        connection.request("GET", f"/orders/{promise.order}")
        reply = connection.getresponse()
        upload = reply.read()
        if reply.status != 200:
            broken.append(f"order {promise.order} is missing")
        elif hashlib.sha256(upload).hexdigest() != promise.sha256:
            broken.append(f"the file of order {promise.order} has the wrong content")
        else:
            broken += [
                f"order {promise.order} is missing in the {store}"
                for store in STORES
                if reply.getheader(f"X-Hash-{store}") != promise.sha256
            ]
    connection.close()
    return broken


def served_again(journal: Path, since: int, timeout: float = 20.0) -> bool:
    """Whether customers are acknowledged orders again after `since` (nanoseconds since the epoch)."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        known = promises(journal)
        if known and known[-1].acknowledged > since:
            return True
        time.sleep(0.1)
    return False
