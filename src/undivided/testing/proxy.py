"""A man in the middle of a real S3 server: it delays, drops, truncates and falsifies, one fault at a time.

It forwards every request unchanged, so the server sees the client's own signature. `fault` chooses a fault
for each request; all other requests pass unchanged.
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
    REFUSED = auto()  # 503, without any effect
    LOST = auto()  # it takes effect, and the connection breaks before the answer
    INTERRUPTED = auto()  # the connection breaks in the middle of the body, as when the client is killed
    CUT_ON_THE_WAY = auto()  # the server gets half of the body, correctly framed
    CHANGED_ON_THE_WAY = auto()  # the server gets a body with one flipped bit
    KEPT_HALF = auto()  # the answer is "stored", but only half of the body is
    ANSWER_CUT = auto()  # the connection breaks in the middle of the answer
    ANSWER_CHANGED = auto()  # one bit of the answer is flipped
    ANSWER_SHORT = auto()  # the answer has half of the body, and a matching length


Choice = Callable[[str, str, int], Fault]
"""From method, path with query, and length of the body."""
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length")


class Proxy:
    """Listens until the context ends. delay: seconds before each request is forwarded."""

    def __init__(self, server: S3Server, fault: Choice = lambda *_: Fault.NONE, delay: float = 0) -> None:
        self.fault, self.delay = fault, delay
        self.requests: list[tuple[str, str]] = []
        self._server = server
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._listener.daemon_threads = True
        self._thread = threading.Thread(target=self._listener.serve_forever, daemon=True)
        self._thread.start()

    def url(self, prefix: str) -> str:
        """The address of a store behind the proxy."""
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

    def _one(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.requests.append((request.command, request.path))
        time.sleep(self.delay)
        fault = self.fault(request.command, request.path, len(body))
        if fault is Fault.REFUSED:
            _answer(request, 503, {}, b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>")
            return
        if fault is Fault.KEPT_HALF:
            self._keep_half(request.path, body)
            _answer(request, 200, {"ETag": '"0"'}, b"")
            return
        if fault is Fault.CUT_ON_THE_WAY:
            body = body[: len(body) // 2]
        if fault is Fault.CHANGED_ON_THE_WAY:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if fault is Fault.INTERRUPTED:
            self._interrupted(request, body)
            request.close_connection = True
            return
        status, headers, data = self._forwarded(request, body)
        if fault is Fault.LOST:
            request.close_connection = True
            return
        if fault is Fault.ANSWER_CHANGED and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault is Fault.ANSWER_SHORT:
            data = data[: len(data) // 2]
        _answer(request, status, headers, data, cut=fault is Fault.ANSWER_CUT)

    def _forwarded(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        try:
            headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
            if body or "Content-Length" in request.headers:
                headers["Content-Length"] = str(len(body))
            connection.request(request.command, request.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name not in _HOP_BY_HOP}
            if request.command == "HEAD":
                kept["Content-Length"] = answer.getheader("Content-Length") or "0"
            return answer.status, kept, data
        finally:
            connection.close()

    def _interrupted(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Declares the whole length, sends half of it, and closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
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
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        request.send_header(name, value)
    if "Content-Length" not in headers:
        request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data[: len(data) // 2] if cut else data)
    if cut:
        request.close_connection = True
