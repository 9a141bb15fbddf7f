"""The workspace of an operation: the configuration, the applied services, the vault, the catalog.

Everything is opened when it is first needed: an operation that only reads a service file never opens the
vault. The vault is opened with the writer keys kept next to the configuration, so protecting and listing need
no passphrase; only reading content does.

    DIR/config.yaml            vaults: {near: URL}, and where state is kept when not in the usual place
    DIR/keys/near.key          writer keys of the primary vault, 0600
    DIR/services/NAME.yaml     services as they were applied
    DIR/cache/NAME.json        the files above as parsed, see config/parse_cache.py
    STATE/catalog.db           the catalog; STATE also holds what capture keeps of the last walk of each tree
    STATE/cache/               copies of objects of a distant vault that are often read: see
    vault/stores/cache.py
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.files import file_errors, read_bytes, read_text
from ..config.main_file import NEAR, Config, read_config
from ..config.parse_cache import load_parsed, service_from_record, store_parsed
from ..config.paths import default_paths
from ..host.atomic_files import make_directories
from ..model.errors import DamageError, NoVaultError, UndividedError, UsageError, WrongKeyError

if TYPE_CHECKING:
    from ..catalog.catalog import Catalog
    from ..model.point import RecoveryPoint
    from ..model.service import Service
    from ..vault.keys import Secret, WriterKeys
    from ..vault.stores.base import Store
    from ..vault.vault import Head, Vault
    from .passphrase import Ask

_log = logging.getLogger(__name__)


class Workspace:
    """One configuration directory, as seen by one run. config: the directory; None for the usual one. ask:
    how to ask a human for a passphrase; None where no human can answer."""

    def __init__(self, config: Path | None, ask: Ask | None = None) -> None:
        self.ask = ask
        where = default_paths(config)
        self.directory = where.config
        self.services_directory = where.config / "services"
        self.usual_vault = where.vault
        self._usual_state = where.state

    @cached_property
    def state(self) -> Path:
        """Raises NoVaultError before `init`."""
        return self.config.state or self._usual_state

    @cached_property
    def config(self) -> Config:
        path = self.config_file
        text = read_text(path)
        if text is None:
            raise NoVaultError(
                f"there is no configuration in {self.directory}",
                hint="Run `undivided init`, or name it with --config DIR or UNDIVIDED_CONFIG.",
            )
        known = load_parsed(self.parse_cache_file("config"), text)
        return Config.of(known) if known else read_config(text, str(path))

    def keep_config(self) -> None:
        """Keeps the parsed configuration for later runs."""
        store_parsed(self.parse_cache_file("config"), self.config_file.read_text(), self.config.as_record())

    def parse_cache_file(self, name: str) -> Path:
        return self.directory / "cache" / f"{name}.json"

    @property
    def config_file(self) -> Path:
        return self.directory / "config.yaml"

    def key_file(self, vault: str = NEAR) -> Path:
        return self.directory / "keys" / f"{vault}.key"

    @cached_property
    def vault(self) -> Vault:
        """The primary vault, opened for writing and for its log, and checked against the last head seen."""
        keys = self._keys
        self._catalog.refuse_other_vault(keys.vault)
        return self._open_vault(self._catalog.head)

    def _open_vault(self, head: tuple[int, str]) -> Vault:
        from ..vault.stores.registry import open_store
        from ..vault.vault import Head, Vault

        store = open_store(self.config.vaults[NEAR], self.state / "cache")
        _log.debug("opening the vault %s", store.url)
        return Vault.open(store, keys=self._keys, passphrase=self.secret, head=Head(*head))

    @cached_property
    def _secret(self) -> Secret:
        from .vault_secret import secret

        return secret(self.ask)

    def secret(self) -> Secret:
        """The passphrase or key that opens the vault; a human is asked at most once."""
        return self._secret

    def ask_early(self) -> None:
        """Asks now for what a human would be asked for later, when a progress bar would cover the
        question."""
        if self.ask:
            _ = self.config, self._secret

    def unlock_early(self) -> None:
        """Begins to unlock the vault in parallel to what comes before content is read: stretching a
        passphrase takes a core and nothing else. Not where a human may have to type it. A failure is raised
        when the keys are needed."""
        vault = self.vault

        def unlock() -> None:
            try:
                vault.unlock()
            except UndividedError as error:
                _log.debug("the vault was not unlocked early: %s", error.cause)

        if not self.ask:
            threading.Thread(target=unlock).start()

    def keys_of_vault(self) -> WriterKeys:
        """The writer keys as the vault holds them, fetched with a secret, whatever keys this machine has."""
        from ..vault.stores.registry import open_store
        from ..vault.vault import Head, Vault

        number, digest = self._catalog.head
        head = Head(number, digest) if number else None
        opened = Vault.open(open_store(self.config.vaults[NEAR]), passphrase=self.secret, head=head)
        if self._catalog.vault not in ("", opened.id):
            raise UsageError(
                f"a different vault is there now: {opened.id}",
                doing="fetch the keys",
                hint="Check that the right disk is mounted. If this vault is meant, run `undivided catalog "
                "rebuild`.",
            )
        return opened.keys

    @cached_property
    def _keys(self) -> WriterKeys:
        from ..vault.keys import WriterKeys

        encoded = read_bytes(self.key_file())
        if encoded is None:
            _ = self.config
            raise NoVaultError(
                f"the keys of the primary vault are missing: {self.key_file()}",
                hint="Run `undivided init`: it fetches them from the vault and needs the passphrase.",
            )
        try:
            return WriterKeys.decode(encoded)
        except WrongKeyError as error:
            raise WrongKeyError(
                error.cause,
                doing=f"read {self.key_file()}",
                hint="Run `undivided vault key renew`: it fetches the keys again and needs the passphrase.",
            ) from None

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, level with the vault's log as it was opened."""
        read = self._catalog.follow(self.vault, refresh=False)
        _log.debug("the catalog read %d new log entries", read)
        return self._catalog

    @cached_property
    def _catalog(self) -> Catalog:
        from ..catalog.catalog import Catalog, discard

        self._make_state_directory()
        try:
            return Catalog.open(self.catalog_file)
        except DamageError as error:
            # A broken cache must not cost a point.
            _log.warning("%s: %s; the catalog is rebuilt from the vault", error.doing, error.cause)
            discard(self.catalog_file)
            return Catalog.open(self.catalog_file)

    def known_points(self) -> list[str]:
        """Ids of the points that this client has seen, also those that the vault no longer has."""
        return [point.id for point in self._catalog.points()]

    def vault_as_it_is(self) -> Vault:
        """The primary vault as far as it opens, also when its log no longer holds the entries that this
        client saw."""
        from ..vault.repair import open_damaged

        return open_damaged(self.store, self._keys, self.secret)

    @cached_property
    def store(self) -> Store:
        """The store of the primary vault, past every cache."""
        from ..vault.stores.registry import open_store

        return open_store(self.config.vaults[NEAR])

    @property
    def seen(self) -> Head:
        """The head of the vault's log as this client saw it last."""
        from ..vault.vault import Head

        return Head(*self._catalog.head)

    @property
    def writer_keys(self) -> WriterKeys:
        """Those of the primary vault. Raises NoVaultError, WrongKeyError."""
        return self._keys

    def rebuild_catalog(self) -> Catalog:
        """A new catalog from the vault's whole log. The old one is not read, so it may be damaged."""
        from ..catalog.catalog import rebuild

        self._make_state_directory()
        return rebuild(self.catalog_file, self.vault_as_it_is())

    def _make_state_directory(self) -> None:
        with file_errors(f"make directory {self.state}"):
            make_directories(self.state)

    @property
    def catalog_file(self) -> Path:
        return self.state / "catalog.db"

    def services(self) -> list[str]:
        """Names of the services applied here."""
        return sorted(path.stem for path in self._service_files())

    def _service_files(self) -> Iterator[Path]:
        return (p for p in self.services_directory.glob("*.yaml") if not p.name.startswith("."))

    def service_file(self, name: str) -> Path:
        return self.services_directory / f"{name}.yaml"

    def service(self, name: str) -> Service:
        """The service as applied. Raises UsageError when none of that name is."""
        if "/" in name or name.startswith("."):
            raise self._unknown(name)
        path = self.service_file(name)
        text = read_text(path)
        if text is None:
            raise self._unknown(name)
        known = load_parsed(self.parse_cache_file(f"service-{name}"), text)
        if known:
            return service_from_record(known)
        from ..config.service_file import parse_service

        return parse_service(text, str(path), exists=None)

    def service_at(self, point: RecoveryPoint) -> Service:
        """The service as it was when the point was taken."""
        from ..config.service_file import parse_definition

        return parse_definition(point.definition, f"the definition in point {point.id}")

    def known_service(self, name: str) -> None:
        """Raises UsageError for a name that is neither applied here nor has points in the vault."""
        if name not in self.services() and name not in self.catalog.services():
            raise self._unknown(name)

    def _unknown(self, name: str) -> UsageError:
        from difflib import get_close_matches

        known = self.services()
        close = get_close_matches(name, known, 1, 0.6)
        if close:
            hint = f"Did you mean {close[0]!r}?"
        elif known:
            hint = f"Applied here: {', '.join(known)}."
        else:
            hint = "Describe the service in a file and run `undivided service apply FILE`."
        return UsageError(f"there is no service {name!r}", hint=hint)
