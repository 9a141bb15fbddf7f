"""A vault opened as far as possible: for verification and repair, which must look where other commands
refuse.

Junk behind the last log entry that opens is passed over as if it did not exist. Nothing can be appended
behind such junk; repair takes it away first.
"""

from __future__ import annotations

from ..crypto.keys import WriterKeys
from ..format.vault_json import read_config
from ..log.keyring import Keyring, SecretProvider
from ..log.log import Log
from ..stores.base import Store, uncached
from ..stores.hiding import Hiding
from ..vault import Vault
from ..verify.log_scan import scan_log
from .plan import config_to_use


def open_damaged(
    store: Store, keys: WriterKeys, passphrase: SecretProvider | None, other: Store | None = None
) -> Vault:
    """other: the store of a copy; its vault.json and keys/ are used where those here are lost. Raises
    NoVaultError, WrongKeyError, DamageError when vault.json itself is damaged, and UsageError when `other` is
    not a copy."""
    config, _ = config_to_use(store, keys, other)
    config = config or read_config(store)
    config.refuse_other_keys(keys, store)
    return Vault(store, keys, config, _readable_log(store, keys), Keyring(store, config, passphrase, other))


def rescanned(vault: Vault) -> Vault:
    """The same vault, after its log was repaired."""
    return vault.with_log(_readable_log(uncached(vault.store), vault.keys))


def _readable_log(store: Store, keys: WriterKeys) -> Log:
    scan = scan_log(store, keys)
    return Log(Hiding(store, scan.hidden), keys, scan.head)
