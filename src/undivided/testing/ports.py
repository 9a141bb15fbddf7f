"""Free ports for servers that tests start.

A server takes its port some time after it was chosen, and until then nothing holds it. So no port comes from
the range that the kernel gives to outgoing connections, and test processes that run in parallel choose from
ranges that do not overlap.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket

_FIRST, _END = 10_000, 22_000


def free_ports(count: int, *, above: int = 0) -> list[int]:
    """Ports on 127.0.0.1 that are free now, all different. above: `port + above` is free as well."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = random.randrange(_FIRST + worker, _END, workers)  # noqa: S311
            with contextlib.suppress(OSError):
                for number in {port, port + above}:
                    held.enter_context(socket.create_server(("127.0.0.1", number)))
                found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]
