"""Readers of the site: what must be true of it, seen through HTTP; and through Redis, which has no page."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
import xmlrpc.client
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from . import WordPress

EVERYTHING = {"number": 1_000_000}
MEDIA = re.compile(r'<img src="([^"]+)"> sha256:([0-9a-f]{64})')


@dataclass(frozen=True)
class Promise:
    """A post as the site acknowledged it. acknowledged: nanoseconds since the epoch."""

    post: int
    title: str
    media: str
    sha256: str
    acknowledged: int


def promises(journal: Path) -> list[Promise]:
    return [Promise(**json.loads(line)) for line in journal.read_text().split("\n")[:-1]]


def broken_promises(site: WordPress, promised: list[Promise]) -> list[str]:
    """Acknowledged posts that the site does not show, whole, with their media and their hash from Redis."""
    broken = []
    for promise in promised:
        try:
            page = fetch(f"{site.url}/?p={promise.post}").decode()
        except urllib.error.HTTPError as error:
            broken.append(f"post {promise.post}: {error}")
            continue
        wanted = (promise.title, f"sha256:{promise.sha256}", f"cached:{promise.sha256}")
        broken += [f"post {promise.post}: its page has no {words!r}" for words in wanted if words not in page]
        broken += media_trouble(site, promise.post, promise.media, promise.sha256)
    return broken


def broken_references(site: WordPress) -> list[str]:
    """Whatever is there has its cause: posts their media, attachments their files, and what Redis knows the
    row after which it was written. (The post of that row may still be a draft: it is published last.)"""
    wp = xmlrpc.client.ServerProxy(f"{site.url}/xmlrpc.php").wp
    posts: Any = wp.getPosts(0, "editor", site.password, {**EVERYTHING, "post_type": "post"})
    broken = []
    for post in posts:
        for url, sha256 in MEDIA.findall(post["post_content"]):
            broken += media_trouble(site, post["post_id"], url, sha256)
    media: Any = wp.getMediaLibrary(0, "editor", site.password, EVERYTHING)
    for item in media:
        broken += media_trouble(site, f"attachment {item['attachment_id']}", item["link"], None)
    with site.mariadb.connect("wordpress") as connection, connection.cursor() as sql:
        sql.execute("SELECT post_id, meta_value FROM wp_postmeta WHERE meta_key = 'media_sha256'")
        hashes = {str(post_id): sha256 for post_id, sha256 in sql.fetchall()}
    for post_id, sha256 in site.redis.connect().hgetall("media").items():
        if hashes.get(post_id) != sha256:
            broken.append(f"Redis knows media of post {post_id}, and the database does not")
    return broken


def media_trouble(site: WordPress, whose: object, url: str, sha256: str | None) -> list[str]:
    """Posts keep the address their media had; the site may have moved to another port since."""
    try:
        media = fetch(site.url + urllib.parse.urlsplit(url).path)
    except urllib.error.HTTPError as error:
        return [f"{whose}: its media {url}: {error}"]
    if sha256 is not None and hashlib.sha256(media).hexdigest() != sha256:
        return [f"{whose}: its media {url} has another content"]
    return []


def logs_in(site: WordPress) -> bool:
    """Through the login page, as a person does, to the dashboard."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    browser.open(f"{site.url}/wp-login.php", timeout=30).read()
    form = {"log": "editor", "pwd": site.password, "testcookie": "1", "redirect_to": f"{site.url}/wp-admin/"}
    browser.open(f"{site.url}/wp-login.php", urllib.parse.urlencode(form).encode(), timeout=30).read()
    with browser.open(f"{site.url}/wp-admin/profile.php", timeout=30) as reply:
        return "wp-login.php" not in reply.url and b'value="editor"' in reply.read()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as reply:
        data: bytes = reply.read()
    return data
