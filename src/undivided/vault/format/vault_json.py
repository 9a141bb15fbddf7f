"""vault.json: what one needs to begin. It never changes; keys that came later lie in epochs/ (vault/crypto/key_epochs.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...model.errors import NoVaultError, UsageError
from ..crypto.aead import VAULT_BYTES, damaged
from ..crypto.key_epochs import EpochRecord
from ..crypto.keys import WriterKeys
from ..stores.base import MissingError, Store

FORMAT = 1
CONFIG = "vault.json"


@dataclass(frozen=True)
class VaultConfig:
    """vault: 32 hex digits. created_ns: UTC. first: the record of the first epoch. required_features: what a
    program must know, per operation."""

    vault: str
    created_ns: int
    first: EpochRecord
    required_features: Mapping[str, list[str]]

    @staticmethod
    def new(keys: WriterKeys, recipients: Mapping[str, str]) -> VaultConfig:
        """recipients: id → public key (hex)."""
        first = EpochRecord.seal(keys, (), recipients)
        return VaultConfig(keys.vault, time.time_ns(), first, {"read": [], "write": []})

    @property
    def vault_bytes(self) -> bytes:
        return bytes.fromhex(self.vault)

    def is_of(self, keys: WriterKeys) -> bool:
        """Whether these keys are this vault's."""
        first = keys.epochs[0]
        theirs, ours = (
            (keys.vault, first.public, first.signing_key),
            (self.first.public, self.first.signing_key),
        )
        return theirs == (self.vault, *ours)

    def encode(self) -> bytes:
        record = {
            "format": FORMAT,
            "vault": self.vault,
            "created_ns": self.created_ns,
            "required_features": self.required_features,
            **self.first.record(),
        }
        return json.dumps(record, indent=1).encode() + b"\n"


def read_config(store: Store) -> VaultConfig:
    """Raises NoVaultError; UsageError for a format or feature unknown here; DamageError."""
    try:
        raw = store.read(CONFIG)
    except MissingError as error:
        raise NoVaultError(
            f"there is no vault in {store.url}",
            hint="Is its disk mounted? If there never was one, `undivided init --vault DIR` makes one.",
        ) from error
    try:
        record = json.loads(raw)
        version = record["format"]
        if version != FORMAT:
            raise UsageError(
                f"the vault has format {version}, this program reads {FORMAT}", hint="Use a newer one."
            )
        vault = bytes.fromhex(record["vault"])
        if len(vault) != VAULT_BYTES:
            raise ValueError("an id of another length")
        first = EpochRecord.of(0, record)
        config = VaultConfig(vault.hex(), int(record["created_ns"]), first, record["required_features"])
        unknown = sorted({f for features in config.required_features.values() for f in features})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(CONFIG, "it is not readable") from error
    if unknown:
        raise UsageError(
            f"the vault needs features unknown here: {', '.join(unknown)}", hint="Use a newer program."
        )
    return config
