"""A WordPress site as Debian ships it: Apache with mod_php, MariaDB, and a Redis that a plugin writes to.

Each post has media. The plugin writes the media's hash to Redis while the post is being made, so one
acknowledged post is rows in MariaDB, a file below wp-content/uploads and a field in Redis, and they name each
other.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import string
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from ..servers import MariaDB, Redis, run, until

HERE = Path(__file__).parent
DEBIAN = Path("/usr/share/wordpress")
MODULES = Path("/usr/lib/apache2/modules")


@dataclass(frozen=True)
class WordPress:
    """home: www/ (the document root), settings.json and apache.conf. `password` is the editor's."""

    home: Path
    port: int
    mariadb: MariaDB
    redis: Redis
    password: str

    @property
    def root(self) -> Path:
        return self.home / "www"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pidfile(self) -> Path:
        return self.home / "apache.pid"

    @property
    def apache(self) -> list[str]:
        return ["/usr/sbin/apache2", "-f", str(self.home / "apache.conf"), "-k"]

    def configure(self, database_password: str, salt: str) -> None:
        """Everything but the document root: what a host has before a site is recovered to it."""
        self.home.mkdir(parents=True, exist_ok=True)
        # The account www-data reads the settings and passes through to the document root.
        self.home.chmod(0o755)
        settings = {
            "port": self.port,
            "socket": str(self.mariadb.socket),
            "redis": self.redis.port,
            "password": database_password,
            "salt": salt,
        }
        (self.home / "settings.json").write_text(json.dumps(settings))
        (php,) = [m.stem.removeprefix("libphp") for m in MODULES.glob("libphp*.so")]
        template = string.Template((HERE / "apache.conf").read_text())
        (self.home / "apache.conf").write_text(template.substitute(PORT=self.port, HOME=self.home, PHP=php))

    def settings(self) -> dict[str, str]:
        known: dict[str, str] = json.loads((self.home / "settings.json").read_text())
        return known

    def create(self) -> None:
        """A new site: document root, database, administrator. MariaDB and Redis run."""
        database_password = secrets.token_hex(12)
        self.configure(database_password, secrets.token_hex(16))
        # Debian links parts of the site to /etc and /var/lib; a site of our own has no links out of it.
        run(["cp", "-rL", "--no-preserve=mode", DEBIAN, self.root])
        shutil.copy(HERE / "wp-config.php", self.root)
        (self.root / "wp-content/mu-plugins").mkdir()
        shutil.copy(HERE / "rig-plugin.php", self.root / "wp-content/mu-plugins")
        uploads = self.root / "wp-content/uploads"
        uploads.mkdir(exist_ok=True)
        shutil.chown(uploads, "www-data", "www-data")
        with self.mariadb.connect() as connection, connection.cursor() as sql:
            sql.execute("CREATE DATABASE wordpress CHARACTER SET utf8mb4")
            sql.execute("CREATE USER wordpress@localhost IDENTIFIED BY %s", (database_password,))
            sql.execute("GRANT ALL ON wordpress.* TO wordpress@localhost")
        run(
            ["php", HERE / "install.php", self.root],
            env={"PATH": os.environ["PATH"], "RIG_PASSWORD": self.password},
        )

    def start(self) -> None:
        run([*self.apache, "start"])
        until(self.answers, f"Apache on port {self.port}")

    def answers(self) -> bool:
        with urllib.request.urlopen(self.url, timeout=10) as reply:
            return bool(reply.status == 200)
