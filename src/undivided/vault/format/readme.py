"""The README in every vault: for a reader who finds one in twenty years."""

from __future__ import annotations

README = """\
This directory is an Undivided vault: backups of whole services, deduplicated and encrypted.

    vault.json          format version, vault id, public key, and the writer keys sealed to it
    keys/<id>           a key that opens the vault, wrapped by a passphrase (Argon2id, AES-256-GCM)
    keys/<id>.<epoch>   the vault's private key, sealed to that recipient
    epochs/             the keys of later rotations, sealed in the same way
    log/<n>             the commit log: one sealed entry per event, each with the SHA-256 of the one before it
    packs/xx/<sha256>   chunks of content: zstd, AES-256-GCM; named by the SHA-256 of the file
    index/<sha256>      which chunk is in which pack
    timeline/<sha256>   names, attributes and chunk lists of files, one segment per commit
    quarantine/         damaged objects that a repair set aside
    ballast             no data: space that is freed when the disk is full, so that a prune can run

To read it, install Undivided and use the passphrase (or the recovery kit, UNDIVIDED_KEY_FILE=kit.txt):

    undivided init --vault THIS_DIRECTORY
    undivided points
    undivided recover SERVICE --to ANOTHER_DIRECTORY

Without the program: tools/read_vault.py in its source is one file that lists and extracts points. It needs
Python and the packages cryptography, zstandard and blake3. Without that too: the document "The vault's
format" (docs/vault-format.md) describes every byte, with test vectors. A reader needs AES-256-GCM, HPKE
(RFC 9180), Argon2id (RFC 9106), HKDF-SHA-256, Ed25519, BLAKE3 and zstd, and nothing else.

Files here are never overwritten. Do not rename, edit or delete them by hand. The name of a file under
packs, index or timeline is its `sha256sum`: this can be checked without any key.
"""
