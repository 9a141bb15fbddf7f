"""The portal's web application, its own process: takes orders and examines itself, over HTTP.

    POST /orders        an order; its body is the upload. 201 once every store has it durably
    GET  /orders/N      the order's file, with its hash as each of the other stores has it
    GET  /              number of orders and the latest of them
    GET  /check         every reference of every order: 200 when whole, else 500 and the broken references

`python -m demo.web ROOT start|stop|serve`: start returns once it answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg2
import valkey

from .books import Books, Site

TIMEOUT = 20.0
"""Seconds to wait for a start or a stop."""


class Portal(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, site: Site) -> None:
        self.site = site
        super().__init__(("127.0.0.1", site.web), Request)


class Request(BaseHTTPRequestHandler):
    """One customer's connection. It keeps its own connections to the stores until it ends."""

    server: Portal
    protocol_version = "HTTP/1.1"
    books: Books | None = None

    def do_POST(self) -> None:
        upload = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/orders":
            self.reply(404, {"error": "no such page"})
            return
        with self.failing_softly():
            order, sha256 = self.open_books().place(self.headers.get("X-Customer", "unknown"), upload)
            self.reply(201, {"order": order, "sha256": sha256})

    def do_GET(self) -> None:
        with self.failing_softly():
            books = self.open_books()
            if self.path == "/":
                self.reply(200, books.front_page())
            elif self.path == "/check":
                report = books.examine()
                self.reply(500 if report["broken"] else 200, report)
            elif self.path.startswith("/orders/") and self.path[8:].isdigit():
                self.show(int(self.path[8:]))
            else:
                self.reply(404, {"error": "no such page"})

    def show(self, order: int) -> None:
        try:
            upload, hashes = self.open_books().fetch(order)
        except (KeyError, FileNotFoundError):
            self.reply(404, {"error": f"no order {order}"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(upload)))
        for store, sha256 in hashes.items():
            self.send_header(f"X-Hash-{store}", sha256)
        self.end_headers()
        self.wfile.write(upload)

    def open_books(self) -> Books:
        if self.books is None:
            self.books = Books(self.server.site)
        return self.books

    @contextlib.contextmanager
    def failing_softly(self) -> Any:
        """An error of a store is the customer's 503, and the next order makes new connections."""
        try:
            yield
        except (psycopg2.Error, sqlite3.Error, valkey.ValkeyError, OSError) as error:
            if self.books is not None:
                self.books.close()
                self.books = None
            self.reply(503, {"error": str(error).strip()})

    def reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def finish(self) -> None:
        if self.books is not None:
            self.books.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """The customers keep the journal."""


def serve(site: Site) -> None:
    server = Portal(site)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pidfile = site.root / "run/web.pid"
    pidfile.write_text(f"{os.getpid()}\n")
    try:
        server.serve_forever(poll_interval=0.05)
    finally:
        pidfile.unlink(missing_ok=True)


def start(site: Site) -> None:
    if running(site):
        return
    log = (site.root / "run/web.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.web", str(site.root), "serve"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(site.url, timeout=5):
            return
        time.sleep(0.02)
    process.terminate()
    sys.exit(f"the portal does not answer at {site.url}; see {log.name}")


def stop(site: Site) -> None:
    pid = running(site)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + TIMEOUT
    while running(site) == pid:
        if time.monotonic() > deadline:
            sys.exit(f"the portal (process {pid}) does not stop")
        time.sleep(0.02)


def running(site: Site) -> int | None:
    """The pid of the portal's process, if that process still runs."""
    try:
        pid = int((site.root / "run/web.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(site.root) in command else None


def main() -> None:
    root, action = sys.argv[1:]
    {"start": start, "stop": stop, "serve": serve}[action](Site.load(Path(root)))


if __name__ == "__main__":
    main()
