"""vault.json: where a reader begins. It never changes; later keys lie in epochs/
(vault/crypto/key_epochs.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...model.errors import NoVaultError, UsageError, WrongKeyError
from ..crypto.aead import VAULT_BYTES, damaged
from ..crypto.key_epochs import EpochRecord
from ..crypto.keys import WriterKeys
from ..stores.base import MissingError, Store

FORMAT = 1
CONFIG = "vault.json"


@dataclass(frozen=True)
class VaultConfig:
    """vault: 32 hex digits. created_ns: UTC. first: the record of the first epoch. required_features:
    operation → features that a program must know."""

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
        """Whether these keys belong to this vault."""
        first = keys.epochs[0]
        theirs, ours = (
            (keys.vault, first.public, first.signing_key),
            (self.first.public, self.first.signing_key),
        )
        return theirs == (self.vault, *ours)

    def refuse_other_keys(self, keys: WriterKeys, store: Store) -> None:
        """Raises WrongKeyError unless these keys belong to this vault. store: where it is."""
        if not self.is_of(keys):
            raise WrongKeyError(
                f"the writer keys do not belong to the vault at {store.url}",
                hint="Check which vault and which configuration are used.",
            )

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
    """Raises NoVaultError; UsageError for an unknown format or feature; DamageError."""
    try:
        raw = store.read(CONFIG)
    except MissingError as error:
        raise NoVaultError(
            f"there is no vault in {store.url}",
            hint="Is its disk mounted? To make a new vault, run `undivided init --vault DIR`.",
        ) from error
    try:
        record = json.loads(raw)
        version = record["format"]
        if version != FORMAT:
            raise UsageError(
                f"the vault has format {version}, this program reads format {FORMAT}",
                hint="Use a newer version of the program.",
            )
        vault = bytes.fromhex(record["vault"])
        if len(vault) != VAULT_BYTES:
            raise ValueError("the id has the wrong length")
        first = EpochRecord.of(0, record)
        config = VaultConfig(vault.hex(), int(record["created_ns"]), first, record["required_features"])
        unknown = sorted({f for features in config.required_features.values() for f in features})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(CONFIG, "it cannot be decoded") from error
    if unknown:
        raise UsageError(
            f"the vault requires features that this program does not know: {', '.join(unknown)}",
            hint="Use a newer version of the program.",
        )
    return config
