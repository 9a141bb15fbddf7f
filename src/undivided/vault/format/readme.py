"""The README that lies in every vault: for whoever finds one in twenty years."""

from __future__ import annotations

README = """\
This directory is an Undivided vault: backups of whole services, deduplicated and encrypted.

    vault.json          format version, vault id, public key, and the writer keys sealed to it
    keys/<id>           who can open it: a key wrapped by a passphrase (Argon2id, AES-256-GCM)
    keys/<id>.<epoch>   the vault's private key, sealed to that key
    epochs/             keys that were exchanged later, sealed to the private key
    log/<n>             the commit log: one sealed entry per event, each holding its predecessor's SHA-256
    packs/xx/<sha256>   chunks of content: zstd, AES-256-GCM; named by the SHA-256 of the file
    index/<sha256>      which chunk lies in which pack
    timeline/<sha256>   names, attributes and chunk lists of files, as of each commit
    quarantine/         damaged objects, set aside by a repair
    ballast             nothing: space that is given up when the disk is full, so that a prune can go on

To read it, install Undivided and use the passphrase (or the recovery kit, UNDIVIDED_KEY_FILE=kit.txt):

    undivided init --vault THIS_DIRECTORY
    undivided points
    undivided recover SERVICE --to ANOTHER_DIRECTORY

Without the program: tools/read_vault.py of its source is one file that lists and extracts points; it needs
Python and the packages cryptography, zstandard and blake3. Without that, too: the document "The vault's
format" (docs/vault-format.md) describes every byte, with test vectors. AES-256-GCM, HPKE (RFC 9180), Argon2id
(RFC 9106), HKDF-SHA-256, Ed25519, BLAKE3 and zstd are all one needs.

Nothing here is ever overwritten. Do not rename, edit or delete files by hand. `sha256sum` of a file under
packs, index or timeline must be its name: that much can be checked without any key.
"""
