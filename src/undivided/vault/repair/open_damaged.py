"""A vault opened as far as it can be: for verification and repair, which must look where others refuse.

Entries behind the last one of the log that opens are passed over, as if they were not there. Nothing can be
appended behind such junk; repair takes it away first.
"""

from __future__ import annotations

from ...model.errors import WrongKeyError
from ..crypto.keys import WriterKeys
from ..format.vault_json import VaultConfig, read_config
from ..log.keyring import Ask, Keyring
from ..log.log import Log
from ..stores.base import Store
from ..stores.hiding import Hiding
from ..vault import Vault
from ..verify.log_scan import scan_log


def open_damaged(
    store: Store, keys: WriterKeys, passphrase: Ask | None, config: VaultConfig | None = None
) -> Vault:
    """config: vault.json of another place, where the one here is lost. Raises NoVaultError, WrongKeyError,
    and DamageError when vault.json itself is damaged."""
    config = config or read_config(store)
    if not config.is_of(keys):
        raise WrongKeyError(
            f"the writer keys are of another vault than {store.url}",
            hint="Check which vault and which configuration are used.",
        )
    found = scan_log(store, keys)
    log = Log(Hiding(store, found.hidden), keys, found.head)
    return Vault(store, keys, config, log, Keyring(store, config, passphrase))
