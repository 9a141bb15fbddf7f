"""One repair of one vault, from looking to mending: the verification, the plan, and the carrying out."""

from __future__ import annotations

from ...model.errors import DamageError, NoVaultError, UsageError
from ..crypto.keys import WriterKeys
from ..format.log_entry import Head, name_of
from ..format.vault_json import CONFIG, VaultConfig, read_config
from ..log.keyring import Ask
from ..stores.base import Store
from ..vault import Vault
from ..verify.log_scan import scan_log
from ..verify.report import Scope
from ..verify.run import Progress
from .execute import Mending, Repaired
from .open_damaged import open_damaged
from .plan import Planner, RepairPlan

_ROUNDS = 3


class Overhaul:
    """store: the vault's, past every cache. other: the store of a vault that has copies of its objects.
    seen: the head of the log that this client saw last: entries up to there must be there."""

    def __init__(
        self,
        store: Store,
        keys: WriterKeys,
        passphrase: Ask | None,
        *,
        other: Store | None = None,
        seen: Head | None = None,
    ) -> None:
        self._store, self._keys, self._other = store, keys, other
        self._passphrase = passphrase
        self._seen = seen or Head()
        config, _ = self._config()
        self._vault: Vault = open_damaged(store, keys, passphrase, config)

    def plan(self, *, read_data: bool = False, progress: Progress | None = None) -> RepairPlan:
        """Changes nothing. read_data: look at every byte first; else at the
        structure and at what was found damaged before. Raises UsageError without a passphrase."""
        self._read_data = read_data
        self._vault.signing_key()
        _, lost = self._config()
        report = self._vault.verify(scope=Scope(read_data=read_data, recorded=False), progress=progress)
        if lost:
            report.add(CONFIG, lost)
        found = scan_log(self._store, self._keys)
        for number in range(found.head.number + 1, self._seen.number + 1):
            report.add(name_of(number), "it is missing")
        self._planner = Planner(self._store, self._keys, found, self._other)
        return self._planner.plan(report)

    def run(self, plan: RepairPlan) -> tuple[Repaired, RepairPlan]:
        """plan: the last one made. Behind a damaged index or log there may be more that nobody could see: it
        is looked for once they are whole, and mended too. What was done in all, and the last plan, which says
        what stays lost. Raises StoreError; what was done by then is done."""
        done = Repaired()
        for _ in range(_ROUNDS):
            contents, signing_key = self._vault.contents(), self._vault.signing_key()
            Mending(self._store, self._keys, contents, signing_key, self._planner, done).run(plan)
            if not plan.hides:
                break
            self._vault = open_damaged(self._store, self._keys, self._passphrase)
            plan = self.plan(read_data=self._read_data)
            if plan.empty:
                break
        return done, plan

    def _config(self) -> tuple[VaultConfig | None, str]:
        """The other's vault.json where ours is lost, and why it is. Raises UsageError for another vault."""
        theirs = read_config(self._other) if self._other else None
        if self._other and theirs and not theirs.is_of(self._keys):
            raise UsageError(
                f"{self._other.url} is another vault, not a copy of this one",
                doing=f"repair {self._store.url}",
                hint="Only a copy of the very vault has the objects that heal it.",
            )
        try:
            ours = read_config(self._store)
        except (DamageError, NoVaultError) as error:
            if theirs is None:
                raise
            return theirs, error.cause
        if theirs and not ours.is_of(self._keys):
            return theirs, "it is of another vault"
        return None, ""
