"""A man in the middle: stands before a real S3 server and delays, drops, cuts and lies, one fault at a time.

It passes every request on as it came, so the server sees the client's own signature. `fault` is asked per
request and answers what should go wrong with it; everything else goes through untouched.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import obstore
from obstore.store import S3Store as Bucket

from .s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server


class Fault(Enum):
    NONE = auto()
    REFUSED = auto()  # 503 before anything was done
    LOST = auto()  # done, and the connection breaks before the answer
    INTERRUPTED = auto()  # the connection breaks in the middle of the body, as when the client is killed
    CUT_ON_THE_WAY = auto()  # the server gets half of the body, correctly framed
    CHANGED_ON_THE_WAY = auto()  # the server gets a body of which one bit is another
    KEPT_HALF = auto()  # "stored", says the answer, and half of the body is
    ANSWER_CUT = auto()  # the connection breaks in the middle of the answer
    ANSWER_CHANGED = auto()  # one bit of the answer is another
    ANSWER_SHORT = auto()  # the answer is half as long, and says so


Choice = Callable[[str, str, int], Fault]
"""From method, path with query, and length of the body."""
_PASSED = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length")


class Proxy:
    """Listens until the context is left. delay: seconds before each request is passed on."""

    def __init__(self, server: S3Server, fault: Choice = lambda *_: Fault.NONE, delay: float = 0) -> None:
        self.fault, self.delay = fault, delay
        self.requests: list[tuple[str, str]] = []
        self._server = server
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._listener.daemon_threads = True
        self._thread = threading.Thread(target=self._listener.serve_forever, daemon=True)
        self._thread.start()

    def url(self, prefix: str) -> str:
        """The address of a store behind it."""
        port = self._listener.server_address[1]
        return self._server.url(prefix, endpoint=f"http://127.0.0.1:{port}")

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy._one(self, body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _one(self, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        self.requests.append((asked.command, asked.path))
        time.sleep(self.delay)
        fault = self.fault(asked.command, asked.path, len(body))
        if fault is Fault.REFUSED:
            _answer(asked, 503, {}, b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>")
            return
        if fault is Fault.KEPT_HALF:
            self._keep_half(asked.path, body)
            _answer(asked, 200, {"ETag": '"0"'}, b"")
            return
        if fault is Fault.CUT_ON_THE_WAY:
            body = body[: len(body) // 2]
        if fault is Fault.CHANGED_ON_THE_WAY:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if fault is Fault.INTERRUPTED:
            self._broken_off(asked, body)
            asked.close_connection = True
            return
        status, headers, data = self._passed_on(asked, body)
        if fault is Fault.LOST:
            asked.close_connection = True
            return
        if fault is Fault.ANSWER_CHANGED and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault is Fault.ANSWER_SHORT:
            data = data[: len(data) // 2]
        _answer(asked, status, headers, data, cut=fault is Fault.ANSWER_CUT)

    def _passed_on(self, asked: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        try:
            headers = {name: value for name, value in asked.headers.items() if name not in _PASSED}
            if body or "Content-Length" in asked.headers:
                headers["Content-Length"] = str(len(body))
            connection.request(asked.command, asked.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name not in _PASSED}
            if asked.command == "HEAD":
                kept["Content-Length"] = answer.getheader("Content-Length") or "0"
            return answer.status, kept, data
        finally:
            connection.close()

    def _broken_off(self, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        """Promises the whole body, sends half of it, and hangs up."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        connection.putrequest(asked.command, asked.path, skip_host=True, skip_accept_encoding=True)
        for name, value in asked.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[: len(body) // 2])
        connection.close()

    def _keep_half(self, path: str, body: bytes) -> None:
        bucket = Bucket(
            BUCKET,
            endpoint=self._server.endpoint,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            client_options={"allow_http": True},
        )
        key = path.partition("?")[0].removeprefix(f"/{BUCKET}/")
        obstore.put(bucket, key, body[: len(body) // 2], mode="create")


def _answer(
    asked: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
) -> None:
    asked.send_response_only(status)
    for name, value in headers.items():
        asked.send_header(name, value)
    if "Content-Length" not in headers:
        asked.send_header("Content-Length", str(len(data)))
    asked.end_headers()
    asked.wfile.write(data[: len(data) // 2] if cut else data)
    if cut:
        asked.close_connection = True
