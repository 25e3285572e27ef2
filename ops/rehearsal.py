"""Would the catalog take this file? For ``smshub check``, and before a reload of a running daemon; changes nothing.

Names that do not exist, numbers that another call centre has, links of a group that do not agree: what only the whole
catalog can judge is judged by the catalog itself, over a copy. The copy is a store of its own in a temporary folder, so
the running daemon's is neither written nor kept waiting.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ops.config import Config, refused
from provisioning import (
    KINDS,
    Account,
    Directory,
    Entry,
    ProvisioningError,
    Refused,
    Secret,
    SecretKind,
    catalog,
    load_directory,
)
from provisioning.carrier_directory import CarrierDirectory
from provisioning.passwords import DUMMY_HASH
from provisioning.published import check_stays_itself
from provisioning.rows import PUT, to_row
from store import Op, Transaction, create_all, open_store

REHEARSAL_NODE = 1023  # of ids: those of the command line's


async def rehearse(config: Config, store_url: str, *, is_ready: bool) -> Directory:
    """Apply a file's entries to a copy of the catalog.

    Args:
        config: what was loaded.
        store_url: the store, with its password.
        is_ready: whether the store has this program's schema; one that has none is an empty catalog.

    Returns: what would be provisioned.
    Raises: ConfigErrors, with the line of each refused entry; StoreError when the store cannot be read.
    """
    there: list[Entry] = []
    relied_on: list[tuple[int, ProvisioningError]] = []
    if is_ready:
        async with open_store(store_url, REHEARSAL_NODE, config.store.synchronous, readers=1) as store:
            there, relied_on = await store.read(lambda tx: (_everything(tx), _relied_on(tx, config.entries)))
    entries = [_hashed(entry) for entry in config.entries]

    def work(tx: Transaction) -> None:
        for kind in KINDS:
            tx.write(Op(PUT[kind], [to_row(entry, 0) for entry in there if kind == entry.KIND]))
        catalog.apply(tx, entries, who="check", now_us=0)

    with tempfile.TemporaryDirectory(prefix="smshub-check-") as folder:
        url = f"sqlite:///{Path(folder) / 'copy.db'}"
        async with open_store(url, REHEARSAL_NODE, "OFF", readers=1) as copy:
            await copy.transact(create_all)
            try:
                await copy.transact(work, rows=max(1, len(there) + len(entries)))
                if relied_on:
                    raise Refused(relied_on)
                return await copy.read(load_directory)
            except Refused as error:
                told = dict(relied_on) | dict(error.refusals)
                raise refused(config, sorted(told.items())) from None


def _everything(tx: Transaction) -> list[Entry]:
    found: list[Entry] = []
    for kind in KINDS.values():
        entries: Sequence[Any] = catalog.entries(tx, kind)
        found.extend(entries)
    return found


def _relied_on(tx: Transaction, wanted: Sequence[Entry]) -> list[tuple[int, ProvisioningError]]:
    """What only the store itself can judge, by what is published: the copy has none of it."""
    refusals: list[tuple[int, ProvisioningError]] = []
    known = {each.key: each for each in catalog.entries(tx, CarrierDirectory)}
    for index, entry in enumerate(wanted):
        if isinstance(entry, CarrierDirectory) and entry.key in known:
            try:
                check_stays_itself(tx, known[entry.key], entry)
            except ProvisioningError as refusal:
                refusals.append((index, refusal))
    return refusals


def _hashed(entry: Entry) -> Entry:
    """The catalog takes no account without a hash; making the real one takes long, and is nobody's concern here."""
    if isinstance(entry, Account) and entry.password.kind is not SecretKind.HASH:
        return msgspec.structs.replace(entry, password=Secret(SecretKind.HASH, DUMMY_HASH))
    return entry
