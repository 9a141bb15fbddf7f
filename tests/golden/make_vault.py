"""Makes the golden vault anew: only when the format changes on purpose, with a new version number.

python tests/golden/make_vault.py
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Entry, Kind, Layout
from undivided.testing.vaults import pieces
from undivided.vault import recipients
from undivided.vault.divide import cutter
from undivided.vault.seal import derive
from undivided.vault.stores.directory import DirectoryStore
from undivided.vault.vault import Segment, Vault

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


def main() -> None:
    recipients._ITERATIONS, recipients._LANES, recipients._MEMORY_KIB = 2, 1, 256
    target = HERE / "vault-1"
    shutil.rmtree(target, ignore_errors=True)
    vault = Vault.create(DirectoryStore(target), PASSPHRASE)
    points = []
    for point, files, drop in (("first", FIRST, []), ("second", SECOND, [b"empty"]), ("third", {}, [])):
        with vault.writer() as writer:
            layout = Layout.BLOCKS if b"pages" in files else Layout.CONTENT
            content = writer.store(pieces(files), len(files), layout) if files else Ragged.empty(0)
            rows = [
                Entry(p, Kind.FILE, 0o640, 1000, 1000, 1_700_000_000_123_456_789, len(d))
                for p, d in files.items()
            ]
            added = Segment(Entries.of(rows, content.tolist()), Ragged.of(drop))
            body = {"point": {"id": point, "components": {"site": {"timeline": TIMELINE}}}}
            points.append(writer.commit("point", {TIMELINE: added}, body))
    shutil.rmtree(target / ".tmp")
    session = bytes(range(16))
    vectors = {
        "passphrase": PASSPHRASE,
        "private": vault._unlock().private_bytes_raw().hex(),
        "writer_keys": vault.keys.encode().decode(),
        "timeline": TIMELINE,
        "points": {p.body["point"]["id"]: p.number for p in points},
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
