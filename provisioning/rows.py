"""Entries as rows of their tables, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from sys import intern
from typing import Any, cast

import msgspec
import sqlalchemy

from provisioning.e164 import digits_of, e164_of
from provisioning.model import KINDS, Block, CallCentre, E, Entry, Number
from provisioning.secret import Secret, SecretKind
from provisioning.tables import (
    account_table,
    api_key_table,
    block_table,
    call_centre_table,
    carrier_directory_table,
    desk_table,
    legal_hold_table,
    link_group_table,
    link_table,
    loa_table,
    number_table,
    retention_table,
    route_table,
    white_list_table,
)
from store import Delete, Row, Transaction, Upsert

SETTINGS_VERSION = 1  # raised when a setting changes its meaning; `_settings_of` then knows both

TABLES: dict[str, sqlalchemy.Table] = {
    "call-centre": call_centre_table,
    "link": link_table,
    "group": link_group_table,
    "account": account_table,
    "desk": desk_table,
    "route": route_table,
    "number": number_table,
    "block": block_table,
    "loa": loa_table,
    "white-list": white_list_table,
    "directory": carrier_directory_table,
    "retention": retention_table,
    "legal-hold": legal_hold_table,
    "api-key": api_key_table,
}

_COLUMNS: dict[str, tuple[str, ...]] = {
    kind: tuple(column.name for column in table.columns) for kind, table in TABLES.items()
}
PUT: dict[str, Upsert] = {
    kind: Upsert(table, _COLUMNS[kind], conflict=_COLUMNS[kind][0], update=_COLUMNS[kind][1:])
    for kind, table in TABLES.items()
}
DELETE: dict[str, Delete] = {kind: Delete(table, _COLUMNS[kind][0]) for kind, table in TABLES.items()}


class _Stored(msgspec.Struct):
    version: int
    settings: msgspec.Raw


def _digits(e164: str) -> int:
    return digits_of(e164) if e164 else 0


def _e164(digits: int) -> str:
    return e164_of(digits) if digits else ""


def row_key(kind: str, key: str) -> str | int:
    """The primary key of an entry's row."""
    if kind in ("number", "block"):
        first = key.partition("…")[0]
        return digits_of(first) if first[1:].isdigit() else 0
    return key


def to_row(entry: Entry, now_us: int) -> Row:
    """The row that holds an entry, in the order of its table's columns."""
    if isinstance(entry, Number):
        alias_of = _digits(entry.alias_of)
        rest = (entry.element, entry.link, entry.state, now_us)
        return (digits_of(entry.number), entry.call_centre, alias_of, *rest)
    if isinstance(entry, Block):
        rest = (entry.element, entry.link, entry.state, now_us)
        return (digits_of(entry.first), digits_of(entry.last), entry.call_centre, _digits(entry.alias), *rest)
    settings = msgspec.Raw(msgspec.json.encode(entry))
    return (entry.key, msgspec.json.encode(_Stored(SETTINGS_VERSION, settings)).decode(), now_us)


def _number_of(row: Sequence[Any]) -> Number:
    # Each row brings strings of its own, and a million numbers have a handful of different ones: shared, a number takes
    # 190 octets of a snapshot instead of 300.
    return Number(
        number=e164_of(row[0]),
        call_centre=intern(row[1]),
        alias_of=_e164(row[2]),
        element=intern(row[3]),
        link=intern(row[4]),
        state=intern(row[5]),
    )


def _block_of(row: Sequence[Any]) -> Block:
    return Block(
        first=e164_of(row[0]),
        last=e164_of(row[1]),
        call_centre=row[2],
        alias=_e164(row[3]),
        element=row[4],
        link=row[5],
        state=row[6],
    )


def _settings_of(kind: type[Entry]) -> Callable[[Sequence[Any]], Entry]:
    outer = msgspec.json.Decoder(_Stored)
    inner: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(kind)
    return lambda row: inner.decode(outer.decode(row[1]).settings)


_READERS: dict[str, Callable[[Sequence[Any]], Entry]] = {
    name: _settings_of(kind) for name, kind in KINDS.items() if name not in ("number", "block")
}
_READERS |= {"number": _number_of, "block": _block_of}


def from_row(kind: type[E], row: Sequence[Any]) -> E:
    """The entry that a row of its table holds."""
    return cast(Callable[[Sequence[Any]], E], _READERS[kind.KIND])(row)


def read_all(tx: Transaction, kind: type[E], call_centre: str = "") -> list[E]:
    """Read all entries of a kind, in the order of their keys.

    Args:
        tx: where from.
        kind: the entry's class.
        call_centre: only those that belong to it, when given; kinds that belong to nobody (links…) come whole.
    """
    table = TABLES[kind.KIND]
    statement = sqlalchemy.select(table).order_by(table.columns[0])
    if call_centre and "call_centre" in table.columns:
        statement = statement.where(table.c.call_centre == call_centre)
    reader = cast(Callable[[Sequence[Any]], E], _READERS[kind.KIND])
    found = [reader(row) for row in tx.sql.execute(statement)]
    if call_centre and "call_centre" not in table.columns:
        found = [entry for entry in found if _owner_of(entry) in (None, call_centre)]
    return found


def _owner_of(entry: Entry) -> str | None:
    return entry.name if isinstance(entry, CallCentre) else getattr(entry, "call_centre", None)


def read_keys(tx: Transaction, kind: type[E], keys: Iterable[str]) -> dict[str, E]:
    """Read the entries with these keys; those that are not there are left out."""
    table = TABLES[kind.KIND]
    wanted = sorted({row_key(kind.KIND, key) for key in keys}, key=str)
    reader = cast(Callable[[Sequence[Any]], E], _READERS[kind.KIND])
    found: dict[str, E] = {}
    # SQLite takes 32,766 variables at most, and a plan for each length is compiled once: pieces of one length.
    for at in range(0, len(wanted), 500):
        statement = sqlalchemy.select(table).where(table.columns[0].in_(wanted[at : at + 500]))
        for row in tx.sql.execute(statement):
            entry = reader(row)
            found[entry.key] = entry
    return found


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as plain values for people: secrets only by reference."""
    return {
        name: (value.reference if isinstance(value, Secret) else value)
        for name in entry.__struct_fields__
        for value in (getattr(entry, name),)
    }


def changes(old: Entry | None, new: Entry) -> str:
    """What an audit row says of a change: JSON of the settings that are new, without secrets."""
    told = shown(new)
    if old is not None:
        told = {name: value for name, value in told.items() if getattr(old, name) != getattr(new, name)}
    return msgspec.json.encode(told).decode()


def is_hashed(secret: Secret) -> bool:
    """True when the secret is a hash."""
    return secret.kind is SecretKind.HASH
