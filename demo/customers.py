"""Customers, a process of their own: they place orders without a pause and record each acknowledgement.

The journal has one JSON line per order that the portal acknowledged: its number, its hash, when it was sent
and when the acknowledgement came (nanoseconds since the epoch). It lies outside the service, and the
recovered portal is compared with it. While the portal is down the customers try again.

`python -m demo.customers URL JOURNAL`, ended by SIGTERM.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

NAMES = ("Ada", "Grace", "Edsger", "Barbara")
UPLOAD = (2_000, 200_000)
"""Bytes of an upload, from and to. Small ones are much more frequent, as in life."""
LEISURE = (0.01, 0.12)
"""Seconds a customer waits between two orders, from and to."""


class Journal:
    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.lock = threading.Lock()

    def note(self, **line: Any) -> None:
        with self.lock:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


def shop(name: str, address: str, journal: Journal, closing: threading.Event) -> None:
    chance = random.Random(name)
    connection = http.client.HTTPConnection(address, timeout=30)
    while not closing.wait(chance.uniform(*LEISURE)):
        low, high = UPLOAD
        upload = os.urandom(int(low + (high - low) * chance.random() ** 3))
        sha256 = hashlib.sha256(upload).hexdigest()
        sent = time.time_ns()
        try:
            connection.request("POST", "/orders", body=upload, headers={"X-Customer": name})
            reply = connection.getresponse()
            answer = json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            continue
        if reply.status == 201 and answer["sha256"] == sha256:
            journal.note(order=answer["order"], sha256=sha256, sent=sent, acknowledged=time.time_ns())


def main() -> None:
    url, path = sys.argv[1:]
    closing = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: closing.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(path).open("a") as file:
        journal = Journal(file)
        address = urlsplit(url).netloc
        threads = [threading.Thread(target=shop, args=(n, address, journal, closing)) for n in NAMES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
