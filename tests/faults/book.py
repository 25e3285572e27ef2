"""The journal as a file or database that no daemon holds: what ``check`` lays beside a history at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy

from hub.model import Kind, State
from hub.tables import message, parked_receipt
from tests.faults.check import Journalled
from tests.faults.texts import NAME

OVER = (State.ACCEPTED, State.DELIVERED, State.UNDELIVERABLE)


class Book(msgspec.Struct):
    """What a journal holds.

    Attributes:
        texts: by name.
        name_of_id: the ids that senders know texts by → name.
        state_of: name → state's word and reason.
        pending: messages that are not over.
        doubts: times that anything was in doubt.
    """

    texts: dict[str, Journalled]
    name_of_id: dict[str, str]
    state_of: dict[str, str]
    pending: int
    doubts: int


@contextmanager
def reading(url: str) -> Iterator[sqlalchemy.Connection]:
    """A connection of our own to a store's database."""
    engine = sqlalchemy.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def read_book(url: str) -> Book:
    """Read the whole journal."""
    book = Book({}, {}, {}, 0, 0)
    with reading(url) as connection:
        for kind, enter in ((Kind.TEXT, _enter_text), (Kind.RECEIPT, _enter_receipt)):
            query = sqlalchemy.select(message).where(message.c.kind == kind.value).order_by(message.c.id)
            for row in connection.execution_options(yield_per=10_000).execute(query).mappings():
                book.pending += row["state"] < State.ACCEPTED.value
                book.doubts += row["in_doubt"]
                enter(book, row)
    return book


def _name_in(body: Mapping[str, Any]) -> re.Match[str] | None:
    return NAME.search(body.get("text", ""))


def _enter_text(book: Book, row: Mapping[str, Any]) -> None:
    body = msgspec.json.decode(row["body"])
    found = _name_in(body)
    if found is None:
        return
    name = found[0]
    is_over, in_doubt = State(row["state"]) in OVER, row["in_doubt"]
    known = book.texts.get(name)
    if known is not None:
        is_over, in_doubt = is_over and known.is_over, in_doubt + known.in_doubt
    book.texts[name] = Journalled(is_over, in_doubt, copies=known.copies + 1 if known is not None else 1)
    book.state_of[name] = f"{State(row['state']).name} {row['reason']}"
    for own in body.get("attributes", {}).get("arrived", str(row["id"])).split(","):
        book.name_of_id[own] = name
    upstream_id = body.get("upstream_id", "").rpartition("\n")[2]
    if upstream_id:
        book.name_of_id[upstream_id] = name


def _enter_receipt(book: Book, row: Mapping[str, Any]) -> None:
    told = msgspec.json.decode(row["body"])["receipt"]["message_id"].rpartition("\n")[2]
    name = book.name_of_id.get(told)
    if name is None:
        return
    known = book.texts[name]
    book.texts[name] = msgspec.structs.replace(
        known, receipts=known.receipts + 1, receipt_doubts=known.receipt_doubts + row["in_doubt"]
    )


def pending_of(url: str) -> int:
    """How many messages are not over."""
    return _count(url, message, message.c.state < State.ACCEPTED.value)


def parked_of(url: str) -> int:
    """How many receipts wait for an answer that names their id."""
    return _count(url, parked_receipt)


def awaiting_receipts(url: str) -> int:
    """How many texts are handed over and wait for their receipt."""
    return _count(url, message, message.c.state == State.ACCEPTED.value)


def _count(url: str, table: sqlalchemy.Table, *where: sqlalchemy.ColumnElement[bool]) -> int:
    with reading(url) as connection:
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(*where)
        return connection.execute(query).scalar_one()


def texts_of_desks(url: str) -> set[str]:
    """The names of texts that came from desks."""
    is_theirs = message.c.origin.startswith("desk:") & (message.c.kind == Kind.TEXT.value)
    with reading(url) as connection:
        bodies = connection.execute(sqlalchemy.select(message.c.body).where(is_theirs)).scalars()
        return {found[0] for body in bodies if (found := _name_in(msgspec.json.decode(body)))}
