"""The site's editors, their own process: they publish posts with media through HTTP without a rest.

They use XML-RPC, as WordPress's own applications do: log in, upload a file, publish a post that shows it. The
journal has one JSON line per acknowledged post: its id, title, media address, hash, and when it was
acknowledged (nanoseconds since the epoch).

`python -m rigs.wordpress.editor URL JOURNAL EDITORS`, the password in RIG_PASSWORD, ended by SIGTERM.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import xmlrpc.client
from pathlib import Path
from typing import IO, Any

BLOG = 0
SIZES = (1_000, 150_000)


def publish(site: xmlrpc.client.ServerProxy, title: str, media: bytes) -> dict[str, object]:
    """One post with its media. Returns the journal's line, once the site has acknowledged it."""
    password = os.environ["RIG_PASSWORD"]
    sha256 = hashlib.sha256(media).hexdigest()
    upload = {"name": f"{sha256[:20]}.jpg", "type": "image/jpeg", "bits": xmlrpc.client.Binary(media)}
    stored: Any = site.wp.uploadFile(BLOG, "editor", password, upload)
    post = {
        "post_type": "post",
        "post_status": "publish",
        "post_title": title,
        "post_content": f'<img src="{stored["url"]}"> sha256:{sha256}',
        "post_thumbnail": int(stored["id"]),
        "custom_fields": [
            {"key": "media_file", "value": stored["file"]},
            {"key": "media_sha256", "value": sha256},
        ],
    }
    post_id: Any = site.wp.newPost(BLOG, "editor", password, post)
    return {
        "post": int(post_id),
        "title": title,
        "media": stored["url"],
        "sha256": sha256,
        "acknowledged": time.time_ns(),
    }


def edit(name: str, url: str, journal: IO[str], lock: threading.Lock, closing: threading.Event) -> None:
    chance = random.Random(name)
    number = 0
    site = xmlrpc.client.ServerProxy(f"{url}/xmlrpc.php")
    while not closing.is_set():
        number += 1
        media = os.urandom(chance.randint(*SIZES))
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
            line = publish(site, f"Post {number} by {name}", media)
            with lock:
                journal.write(json.dumps(line) + "\n")
                journal.flush()


def main() -> None:
    url, path, editors = sys.argv[1:]
    closing = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: closing.set())
    lock = threading.Lock()
    with Path(path).open("a") as journal:
        threads = [
            threading.Thread(target=edit, args=(f"editor {n}", url, journal, lock, closing))
            for n in range(int(editors))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
