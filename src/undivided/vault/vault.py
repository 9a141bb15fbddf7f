"""A vault: a place where timelines are kept, deduplicated, encrypted, append-only.

    README              what this is and how to read it without us
    vault.json          format version, vault id, public key, writer keys sealed to it
    keys/<id>           the private key, wrapped for one recipient
    log/<n>             entry n of the commit log
    packs/xx/<sha256>   chunks
    index/<sha256>      where chunks lie
    timeline/<sha256>   what a commit put and dropped

Objects are created and never changed. Opening with writer keys reads vault.json and the end of the log,
nothing else; docs/vault-format.md has every byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..model.errors import DamageError, NoVaultError, UsageError, WrongKeyError
from . import recipients as wrapping
from .authority import Authority, must_be_signed
from .entry import Head, LogEntry
from .keys import WRITER_KEYS, WriterKeys, new_keys, seal_to, unseal
from .links import index_entries
from .log import Log
from .reader import Reader
from .readme import README
from .report import Damage, Report
from .seal import damaged
from .stores.base import ExistsError, MissingError, Store
from .timeline import Segment
from .verify import Progress, Verification
from .writer import Writer

__all__ = ["Damage", "Head", "LogEntry", "Reader", "Report", "Segment", "Vault", "Writer"]

FORMAT = 1
CONFIG = "vault.json"
Passphrase = Callable[[], str]


@dataclass(frozen=True)
class _Config:
    """vault.json. created_ns: UTC. needs: features that a program must know, per operation."""

    vault: str
    created_ns: int
    public: bytes
    authority: bytes
    sealed_keys: bytes
    needs: Mapping[str, list[str]]

    @property
    def binding(self) -> bytes:
        """What a recipient's wrapping vouches for."""
        return bytes.fromhex(self.vault) + self.public + self.authority + self.sealed_keys

    def encode(self) -> bytes:
        record = {
            "format": FORMAT,
            "vault": self.vault,
            "created_ns": self.created_ns,
            "needs": self.needs,
            "public": self.public.hex(),
            "authority": self.authority.hex(),
            "writer_keys": self.sealed_keys.hex(),
        }
        return json.dumps(record, indent=1).encode() + b"\n"


class Vault:
    """An opened vault. id: 32 hex digits. head: the end of its log as this process knows it; keep it, and
    give
    it to `open` next time."""

    def __init__(
        self,
        store: Store,
        keys: WriterKeys,
        config: _Config,
        log: Log,
        unlock: Callable[[], X25519PrivateKey],
    ) -> None:
        self.id = keys.vault
        self.store = store
        self.keys = keys
        self._config, self._log, self._unlock = config, log, unlock

    @staticmethod
    def create(store: Store, passphrase: str) -> Vault:
        """A new vault in an empty store, or in one where an attempt to make one was cut short. Raises
        UsageError when there is one already, or anything else."""
        keys, private = new_keys()
        sealed = seal_to(keys.public, keys.encode(), WRITER_KEYS, keys.vault_bytes)
        config = _Config(
            keys.vault, time.time_ns(), keys.public, keys.authority, sealed, {"read": [], "write": []}
        )
        recipient = wrapping.wrap(private, passphrase, "first", config.binding)
        unfinished: list[str] = []
        for name, _ in store.list():
            if name != "README" and not name.startswith(wrapping.FOLDER):
                raise UsageError(
                    f"{store.url} is not empty",
                    doing="create a vault",
                    hint="Choose an empty place, or open it.",
                )
            unfinished.append(name)
        try:
            wrapping.store_recipient(store, recipient)
            if "README" not in unfinished:
                store.create("README", [README.encode()])
            store.create(CONFIG, [config.encode()])
        except ExistsError as error:
            raise UsageError(f"someone else makes a vault in {store.url}", doing="create a vault") from error
        for name in unfinished:
            # Keys from before vault.json open nothing, and must not count as a way in.
            if name != "README":
                store.delete(name)
        return Vault(store, keys, config, Log(store, keys, Head()), lambda: private)

    @staticmethod
    def open(
        store: Store,
        *,
        keys: WriterKeys | None = None,
        passphrase: Passphrase | None = None,
        head: Head | None = None,
    ) -> Vault:
        """With keys: no passphrase is needed to write and to read the log; it is asked for when content is.
        Without: it is asked now. head: what this client saw last.

        Raises NoVaultError, WrongKeyError, UsageError when neither is given, DamageError when the log no
        longer holds `head`.
        """
        config = _read_config(store)
        unlock = _once(lambda: _unlock(store, config, passphrase))
        if keys is None:
            raw = unseal(unlock(), config.sealed_keys, WRITER_KEYS, bytes.fromhex(config.vault), CONFIG)
            keys = WriterKeys.decode(raw)
        if (keys.vault, keys.public, keys.authority) != (config.vault, config.public, config.authority):
            raise WrongKeyError(
                f"the writer keys are of another vault than {store.url}",
                hint="Check which vault and which configuration are used.",
            )
        return Vault(store, keys, config, Log(store, keys, head), unlock)

    @property
    def head(self) -> Head:
        return self._log.head

    def log(self, after: int = 0) -> Iterator[LogEntry]:
        """All entries after number `after`, in order, authenticated and their chain checked."""
        return self._log.entries(after)

    def writer(self) -> Writer:
        """A new session. Cheap: nothing is stored and no thread started before there is data."""
        return Writer(self.store, self.keys, self._log)

    def reader(self) -> Reader:
        """Opens content. The passphrase is asked for at the first access, once per vault: WrongKeyError when
        it
        is wrong, UsageError when there is none to ask."""
        return Reader(self.store, self.keys, self._log, self._unlock)

    def append(self, kind: str, body: Mapping[str, Any]) -> LogEntry:
        """A record without data. Kinds that the vault's authority must sign need the passphrase."""
        authority = self.authority() if must_be_signed(kind, body) else None
        return self._log.append(kind, lambda _: (dict(body), {}), authority=authority)

    def authority(self) -> Authority:
        """What signs entries that destroy. The passphrase is asked for, as `reader` does."""
        return Authority(self._unlock())

    def verify(self, *, read_data: bool, progress: Progress | None = None) -> Report:
        """Checks that everything the log commits to is there and opens: see verify.py. read_data: every
        stored byte too. Without a passphrase names and data stay sealed, and the report says so. progress:
        (done, total)
        in stored bytes."""
        return Verification(self.store, self.keys, self._log, self._unlock).run(read_data, progress)

    def condemn(self, packs: Sequence[str]) -> LogEntry:
        """Records that these packs (hex digests, Report.packs) are damaged: their chunks no longer count as
        stored, so that the next protection that reads them stores them anew."""
        return self._log.append("damage", lambda _: ({"packs": list(packs)}, {"bad": list(packs)}))

    def wounded(self, since: int = 0) -> bool:
        """Whether packs were condemned after entry `since`: then `Writer.missing` tells which files to read
        again."""
        return any(entry.links.get("bad") for entry in index_entries(self._log, since))

    def recipients(self) -> list[dict[str, Any]]:
        """Who can open the vault: id, kind, label, created_ns. Nothing secret."""
        known = [r for r in wrapping.stored_recipients(self.store) if not isinstance(r, DamageError)]
        return [{"id": r.id, "kind": r.kind, "label": r.label, "created_ns": r.created_ns} for r in known]

    def add_recipient(self, passphrase: str, label: str) -> str:
        """A further passphrase. Needs one that opens the vault already. Returns the new recipient's id."""
        recipient = wrapping.wrap(self._unlock(), passphrase, label, self._config.binding)
        wrapping.store_recipient(self.store, recipient)
        self.append("key", {"added": recipient.id, "label": label})
        return recipient.id

    def remove_recipient(self, recipient: str) -> None:
        """Takes a passphrase away. Raises UsageError for an unknown or the last one."""
        known = [r["id"] for r in self.recipients()]
        if recipient not in known:
            raise UsageError(
                f"no recipient {recipient!r}", doing="remove a key", hint=f"There are: {', '.join(known)}."
            )
        if len(known) == 1:
            raise UsageError(
                "it is the last one: without it nobody could open the vault",
                doing="remove a key",
                hint="Add another first.",
            )
        self.append("key", {"removed": recipient})
        self.store.delete(wrapping.FOLDER + recipient)

    def info(self) -> dict[str, Any]:
        """What `vault info` shows: identity, sizes by kind of object, the log, recipients."""
        objects: dict[str, dict[str, int]] = {}
        for name, size in self.store.list():
            kind = objects.setdefault(name.partition("/")[0], {"objects": 0, "bytes": 0})
            kind["objects"] += 1
            kind["bytes"] += size
        return {
            "vault": self.id,
            "url": self.store.url,
            "format": FORMAT,
            "created_ns": self._config.created_ns,
            "head": {"number": self.head.number, "digest": self.head.digest},
            "objects": objects,
            "bytes": sum(kind["bytes"] for kind in objects.values()),
            "recipients": self.recipients(),
        }


def _read_config(store: Store) -> _Config:
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
        config = _Config(
            vault=bytes.fromhex(record["vault"]).hex(),
            created_ns=int(record["created_ns"]),
            public=bytes.fromhex(record["public"]),
            authority=bytes.fromhex(record["authority"]),
            sealed_keys=bytes.fromhex(record["writer_keys"]),
            needs=record["needs"],
        )
        unknown = sorted({f for features in config.needs.values() for f in features})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(CONFIG, "it is not readable") from error
    if unknown:
        raise UsageError(
            f"the vault needs features unknown here: {', '.join(unknown)}", hint="Use a newer program."
        )
    return config


def _unlock(store: Store, config: _Config, passphrase: Passphrase | None) -> X25519PrivateKey:
    if passphrase is None:
        raise UsageError(
            "the passphrase is needed to read content, and there is none to ask",
            doing=f"unlock {store.url}",
            hint="Set UNDIVIDED_PASSPHRASE_FILE or UNDIVIDED_PASSPHRASE_COMMAND.",
        )
    given = passphrase()
    broken: DamageError | None = None
    for candidate in wrapping.stored_recipients(store):
        if isinstance(candidate, DamageError):
            broken = candidate
        elif private := wrapping.unwrap(candidate, given, config.binding):
            if private.public_key().public_bytes_raw() != config.public:
                raise damaged(CONFIG, "its public key is not the vault's")
            return private
    raise broken or WrongKeyError(
        "the passphrase does not open this vault",
        doing=f"unlock {store.url}",
        hint="Is it of another vault? `undivided vault key list` names the passphrases that open this one.",
    )


def _once(make: Callable[[], X25519PrivateKey]) -> Callable[[], X25519PrivateKey]:
    """`make`, asked at most once with success."""
    made: list[X25519PrivateKey] = []

    def get() -> X25519PrivateKey:
        if not made:
            made.append(make())
        return made[0]

    return get
