"""The one process that writes the tree, so that stopping it holds the tree.

A client sends lines `token cause` over a UNIX socket and gets one byte back per line once the token is
written: as a file of its own, or as a line of the connection's log, which grows from point to point.

`python -m rigs.torture.scribe TREE SOCKET PIDFILE`
"""

from __future__ import annotations

import itertools
import os
import socketserver
import sys
from pathlib import Path
from typing import IO

OWN_FILES = 100
"""Directories that tokens with a file of their own are skew over."""

numbers = itertools.count(1)


class Scribe(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    tree: Path


class Client(socketserver.StreamRequestHandler):
    server: Scribe

    def handle(self) -> None:
        with (self.server.tree / f"client-{next(numbers)}.log").open("ab", buffering=0) as log:
            for line in self.rfile:
                token, cause = line.decode().strip().split(" ", 1)
                if int(token) % 2:
                    self.write_file(int(token), cause)
                else:
                    write_line(log, token, cause)
                self.wfile.write(b".")

    def write_file(self, token: int, cause: str) -> None:
        directory = self.server.tree / f"{token % OWN_FILES:02d}"
        directory.mkdir(exist_ok=True)
        part = directory / f"{token}.part"
        part.write_text(cause)
        part.rename(directory / f"{token}.token")


def write_line(log: IO[bytes], token: str, cause: str) -> None:
    log.write(f"{token} {cause}\n".encode())


def main() -> None:
    tree, socket, pidfile = (Path(word) for word in sys.argv[1:])
    with Scribe(str(socket), Client) as server:
        server.tree = tree
        pidfile.write_text(f"{os.getpid()}\n")
        server.serve_forever()


if __name__ == "__main__":
    main()
