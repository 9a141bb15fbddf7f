"""Makes the golden vault again: only when the format changes on purpose, with a new version number.

It has every feature of the format: two recipients, a rotation of the keys, points before and after it, a
pinned and an expired point, a compacted timeline, a pack with frames of two sessions, and a pack that is
marked damaged.

python tests/golden/make_vault.py
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Entry, Kind, Layout
from undivided.testing.vaults import pieces
from undivided.vault.crypto import recipients
from undivided.vault.crypto.aead import derive
from undivided.vault.damage import mark_damaged
from undivided.vault.keys import encode_key
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import LogEntry, TimelineSegment, Vault
from undivided.vault.write.chunker import cutter

HERE = Path(__file__).parent
PASSPHRASE = "golden passphrase: ½"
TIMELINE = "00112233445566778899aabbccddeeff"
FIRST = {
    b"data/large": bytes(i * i % 251 for i in range(300_000)),
    b"data/text": b"an order, a file, an audit entry\n" * 100,
    b"empty": b"",
    "grüße".encode("latin-1"): b"a name that is not UTF-8",
}
CUT = b"".join(i.to_bytes(4, "big") * (i % 7 + 1) for i in range(1_500_000))
SECOND = {b"data/text": b"changed\n", b"pages": bytes(70_000)}
FOURTH = {b"data/large": bytes(i * i % 241 for i in range(200_000)), b"data/late": b"after the rotation"}

PASSING = {
    b"passing/%d" % n: b"".join(i.to_bytes(4, "big") * 8 for i in range(n, n + 50_000)) for n in (1, 90_000)
}
"""Content that no remaining point has, large enough to have frames of its own."""


def add(vault: Vault, point: str, files: dict[bytes, bytes], drop: list[bytes]) -> LogEntry:
    with vault.writer() as writer:
        layout = Layout.BLOCKS if b"pages" in files else Layout.CONTENT
        content = writer.store(pieces(files), len(files), layout) if files else Ragged.empty(0)
        rows = [
            Entry(p, Kind.FILE, 0o640, 1000, 1000, 1_700_000_000_123_456_789, len(d))
            for p, d in files.items()
        ]
        added = TimelineSegment(Entries.of(rows, content.tolist()), Ragged.of(drop))
        part = {"timeline": TIMELINE, "kind": "files", "position": {"text": "the end", "order": []}}
        body = {"id": point, "time_ns": 1_700_000_000_000_000_000, "service": "golden"}
        return writer.commit("point", {TIMELINE: added}, {"point": {**body, "components": {"site": part}}})


def main() -> None:
    recipients._ITERATIONS, recipients._LANES, recipients._MEMORY_KIB = 2, 1, 256
    target = HERE / "vault-1"
    shutil.rmtree(target, ignore_errors=True)
    vault = Vault.create(DirectoryStore(target), PASSPHRASE)
    one, two = PASSING
    made = [add(vault, "first", FIRST, [])]
    made.append(add(vault, "second", {**SECOND, one: PASSING[one]}, [b"empty"]))
    vault.append("pin", {"point": "first", "pinned": True})
    key = X25519PrivateKey.generate()
    vault.add_recipient(key, "a key file", recipients.KEY_FILE)
    made.append(add(vault, "third", {}, [one]))
    keys = vault.rotate()
    vault = Vault.open(DirectoryStore(target), keys=keys, passphrase=lambda: PASSPHRASE)
    late = {two: PASSING[two], b"data/late": FOURTH[b"data/late"]}
    made.append(add(vault, "expired", late, []))
    made.append(add(vault, "fourth", {b"data/large": FOURTH[b"data/large"]}, [two]))
    execute(vault, plan_prune(vault, ["second", "expired"], grace=0, threshold=1.0))
    mark_damaged(vault, [next((target / "packs").glob("*/*")).name])
    shutil.rmtree(target / ".tmp", ignore_errors=True)
    (target / "ballast").unlink()
    session = bytes(range(16))
    vectors = {
        "passphrase": PASSPHRASE,
        "key_file": encode_key(key),
        "private": [private.private_bytes_raw().hex() for private in vault.private_keys()],
        "writer_keys": vault.keys.encode().decode(),
        "timeline": TIMELINE,
        "points": {p.body["point"]["id"]: p.number for p in made},
        "head": [vault.head.number, vault.head.digest],
        "derived": {
            purpose: derive(vault.keys.structure, session, purpose).hex()
            for purpose in ("log", "footer", "index")
        },
        "derived_session": session.hex(),
        "cuts": [c.length for c in cutter().cut_buf(CUT)][:6],
    }
    (HERE / "vault-1.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
