"""Key check: whether the objects that open the vault are whole, without opening them.

A recovery kit lies in a safe for years, and the object that it opens lies in the store. Damage to that object
would be noticed only on the day when it is needed. So all these objects carry a checksum, or the log has
their digest, and a verification without any secret reads them all.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...model.errors import DamageError
from ..crypto import key_epochs as epochs
from ..crypto import recipients
from ..crypto.key_epochs import EpochRecord
from ..crypto.keys import Epoch, WriterKeys
from ..stores.base import Store
from .log import Log


def look(store: Store, keys: WriterKeys, log: Log) -> Iterator[tuple[str, str]]:
    """(object, its damage or "") of all objects that open the vault with these keys."""
    newest = epochs.epoch_name(keys.public)
    names = [name for name, _ in store.list(recipients.FOLDER)]
    if all("." in name for name in names):
        yield (
            recipients.FOLDER,
            f"{recipients.FOLDER} holds no passphrase and no key: nothing opens the vault",
        )
    for name in names:
        yield name, "" if is_whole(name, store.read(name)) else f"{name} is damaged: its checksum is wrong"
        sealed = f"{name}.{newest}"
        if "." not in name and sealed not in names:
            yield sealed, f"{sealed} is missing: {name} does not open the vault"
    for epoch in keys.epochs[1:]:
        name = epochs.record_name(epoch.begun, epochs.epoch_name(epoch.public))
        try:
            _compare(store, keys, log, epoch)
        except DamageError as error:
            yield name, error.cause
        else:
            yield name, ""


def missing_here(store: Store, other: Store, keys: WriterKeys, log: Log, first: EpochRecord) -> Iterator[str]:
    """The objects of keys/ that a copy has and the vault has not, of the recipients that the log lists. A
    recipient that was removed is not listed, so a copy of before does not bring it back. first: the record of
    the first epoch. Raises DamageError."""
    allowed = listed(store, keys, log, first)
    here = {name for name, _ in store.list(recipients.FOLDER)}
    for name, _ in other.list(recipients.FOLDER):
        id, dot, _ = name.removeprefix(recipients.FOLDER).partition(".")
        if name in here or id not in allowed:
            continue
        data = other.read(name)
        if is_whole(name, data) and (dot or recipients.decode_recipient(name, data).public == allowed[id]):
            yield name


def listed(store: Store, keys: WriterKeys, log: Log, first: EpochRecord) -> dict[str, str]:
    """id → public key (hex) of every recipient in the newest list of the log, or in the record of the newest
    epoch when that is newer. Raises DamageError."""
    begun = keys.epochs[-1].begun
    record = epochs.read_record(store, begun, epochs.epoch_name(keys.public)) if begun else first
    last = log.last
    if last is None or last.links["keys"] <= begun:
        return dict(record.recipients)
    return dict(log.entry(last.links["keys"]).body["recipients"])


def is_whole(name: str, data: bytes) -> bool:
    """Whether these bytes can be the object of keys/ or epochs/ with this name."""
    try:
        if name.startswith(epochs.FOLDER):
            epochs.decode_record(name, data)
        elif "." in name:
            return epochs.is_whole(data)
        else:
            recipients.decode_recipient(name, data)
    except DamageError:
        return False
    return True


def _compare(store: Store, keys: WriterKeys, log: Log, epoch: Epoch) -> None:
    """Raises DamageError unless the epoch's record is the one that the log names."""
    record = epochs.read_record(store, epoch.begun, epochs.epoch_name(epoch.public))
    if log.entry(epoch.begun).body.get("binding") != record.binding(keys.vault_bytes).hex():
        raise DamageError(f"{record.object} is damaged: it is not the one that the log names")
