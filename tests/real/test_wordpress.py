"""A live WordPress site is protected, lost entirely, and recovered to other directories and ports.

Nothing is quiet while points are taken: editors publish posts with media through HTTP. What the site
acknowledged before the point must be served by the recovered one, and whatever it serves must be whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo.command import Undivided
from rigs import servers
from rigs.servers import MariaDB, Redis
from rigs.wordpress import DEBIAN, WordPress, reader

from undivided.testing.ports import free_ports

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

EDITORS = 3
POSTS_BETWEEN_POINTS = 30
POINTS = 3


@pytest.fixture
def place() -> Iterator[Path]:
    servers.needs("mariadbd", "mariadb-backup", "redis-server", "apache2", "php")
    if not DEBIAN.exists():
        pytest.skip("needs Debian's package wordpress")
    with servers.scratch() as place:
        yield place


def blog_at(home: Path, password: str) -> WordPress:
    db, cache, web = free_ports(3)
    return WordPress(home / "site", web, MariaDB(home / "db", db), Redis(home / "cache", cache), password)


@contextlib.contextmanager
def editors_at_work(site: WordPress, journal: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "rigs.wordpress.editor", site.url, journal, str(EDITORS)],
        cwd=Path(__file__).parent,
        env={**os.environ, "RIG_PASSWORD": site.password},
    ) as editors:
        try:
            yield
        finally:
            editors.terminate()


def await_posts(journal: Path, count: int) -> None:
    def published() -> bool:
        return journal.exists() and len(reader.promises(journal)) >= count

    servers.until(published, f"{count} acknowledged posts", seconds=120)


def where(site: WordPress) -> dict[str, dict[str, Any]]:
    """The paths, ports and commands of a site: a service file's and a target's."""
    return {
        "db": {
            "path": str(site.mariadb.data),
            "socket": str(site.mariadb.socket),
            "port": site.mariadb.port,
            "defaults": str(site.mariadb.defaults),
        },
        "cache": {"path": str(site.redis.data), "port": site.redis.port, "config": str(site.redis.config)},
        "site": {
            "path": str(site.root),
            "writers": {"pidfile": str(site.pidfile), "freeze": "stop"},
            "start": [*site.apache, "start"],
            "stop": [*site.apache, "stop"],
        },
    }


def service_of(site: WordPress) -> dict[str, Any]:
    kinds = {"db": "mariadb", "cache": "redis", "site": "files"}
    return {
        "service": "blog",
        "components": {name: {"kind": kinds[name], **options} for name, options in where(site).items()},
        "needs": {"site": ["db", "cache"]},
    }


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_lost_site_comes_back_elsewhere_with_every_post_it_acknowledged(place: Path) -> None:
    site = blog_at(place / "here", secrets.token_urlsafe(12))
    site.mariadb.create()
    site.redis.create()
    site.mariadb.start()
    site.redis.start()
    site.create()
    site.start()

    undivided = Undivided(place / "undivided")
    undivided("init", "--vault", undivided.vault)
    undivided("service", "apply", written(place / "blog.yaml", service_of(site)))
    journal = place / "journal"
    with servers.family(), editors_at_work(site, journal):
        for number in range(1, POINTS + 1):
            await_posts(journal, number * POSTS_BETWEEN_POINTS)
            point = undivided("protect", "blog")
        await_posts(journal, len(reader.promises(journal)) + POSTS_BETWEEN_POINTS)

    settings = site.settings()
    # Not by `apache2 -k stop`: it returns before the server has ended, and the server removes its own files.
    for server in (site.pidfile, site.mariadb.home / "mysqld.pid", site.redis.home / "redis.pid"):
        servers.stop(int(server.read_text()))
    shutil.rmtree(place / "here")

    other = blog_at(place / "there", site.password)
    other.mariadb.configure()
    other.redis.configure()
    other.configure(settings["password"], settings["salt"])
    target = written(place / "target.yaml", where(other))
    undivided("recover", "blog", "--at", point["point"], "--target", target, "--start")

    instant = datetime.fromisoformat(point["time"]).timestamp() * 1e9
    promised = [p for p in reader.promises(journal) if p.acknowledged < instant]
    assert len(promised) >= POINTS * POSTS_BETWEEN_POINTS
    assert reader.broken_promises(other, promised) == []
    assert reader.broken_references(other) == []
    assert reader.logs_in(other)
