"""The audit: who changed what and when, for everything that is changed on somebody's behalf (H37).

Append-only: the database itself refuses to change or remove a row, except to take its words out (``redact``). Rows are
chained by hashes, see ``audit_chain``. All writers meet in the one row of ``audit_head``, which each locks before it
appends: so ids have no gaps and the chain no forks, whoever writes at the same time. Call ``append`` late in a
transaction, others wait for its end.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import DDL, BigInteger, Column, Index, Integer, Table, Text, event, or_, select

from store.audit_chain import (
    AUDIT_KIND,
    REDACTED,
    REDACTION,
    SALT_OCTETS,
    ZERO,
    AuditEntry,
    AuditRow,
    Examination,
    Head,
    Verdict,
    chained,
    head_of,
)
from store.schema import metadata
from store.statements import Insert, Op, SelectByKeys, Update, Upsert
from store.transaction import Transaction

__all__ = [
    "AuditEntry",
    "AuditRow",
    "Head",
    "Verdict",
    "append",
    "audit_head_table",
    "audit_table",
    "find",
    "head",
    "head_of",
    "read",
    "redact",
    "verify",
]

VERIFY_PAGE = 2_000
FIND_PAGE = 2_000
REDACT_PAGE = 500  # ids that one row of the audit names
MAX_REASON_CHARACTERS = 1_000  # what names the ids must not be cut, or nobody could tell a redaction from tampering
_HEAD_ID = 1

audit_table = Table(
    "audit",
    metadata,
    # The order of the columns is the order of the fields of `AuditRow`.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("content_digest", Text, nullable=False),
    Column("chain", Text, nullable=False),
    Index("ix_audit_kind_key", "kind", "key", "id"),
)

audit_head_table = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
)

_COLUMNS = AuditRow.__struct_fields__
_insert = Insert(audit_table, _COLUMNS)
_first_head = Upsert(audit_head_table, ("id", "last_id", "chain"), conflict="id", update="nothing")
_move_head = Update(audit_head_table, key="id", set=("last_id", "chain"))
_take_words = Update(audit_table, key="id", set=("key", "detail", "salt"))
_select_rows = SelectByKeys(audit_table, _COLUMNS, key="id")

# What may change of a row: its words go, and the salt with them. Migration 0006 has a copy, for databases in the field.
_SQLITE = (
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER audit_only_redaction BEFORE UPDATE ON audit WHEN NOT (NEW.id = OLD.id AND NEW.at_us = OLD.at_us"
    " AND NEW.who = OLD.who AND NEW.action = OLD.action AND NEW.kind = OLD.kind"
    " AND NEW.content_digest = OLD.content_digest AND NEW.chain = OLD.chain AND NEW.salt = ''"
    " AND NEW.key = '(redacted)' AND NEW.detail = '(redacted)')"
    " BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
)
_POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP = 'UPDATE' AND NEW.id = OLD.id AND NEW.at_us = OLD.at_us AND NEW.who = OLD.who"
    " AND NEW.action = OLD.action AND NEW.kind = OLD.kind AND NEW.content_digest = OLD.content_digest"
    " AND NEW.chain = OLD.chain AND NEW.salt = '' AND NEW.key = '(redacted)' AND NEW.detail = '(redacted)'"
    " THEN RETURN NEW; END IF;"
    " RAISE EXCEPTION 'the audit is append-only'; END $$",
    "CREATE TRIGGER audit_only_redaction BEFORE UPDATE OR DELETE ON audit"
    " FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
)
for _dialect, _statements in (("sqlite", _SQLITE), ("postgresql", _POSTGRESQL)):
    for _statement in _statements:
        event.listen(audit_table, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]


def append(tx: Transaction, entries: Sequence[AuditEntry]) -> None:
    """Write what happened, in the transaction in which it happens.

    Args:
        tx: the transaction. Until it ends, no other appends.
        entries: in order; thousands at once cost little more than one. Words that are too long are cut.
    """
    if not entries:
        return
    rows = chained(_locked_head(tx), entries, [secrets.token_bytes(SALT_OCTETS) for _ in entries])
    tx.write(Op(_insert, [msgspec.structs.astuple(row) for row in rows]))
    tx.write(Op(_move_head, [(_HEAD_ID, rows[-1].id, rows[-1].chain)]))


def head(tx: Transaction) -> Head:
    """The end of the chain."""
    row = tx.sql.execute(select(audit_head_table.c.last_id, audit_head_table.c.chain)).first()
    return Head(*row) if row is not None else Head(0, ZERO.hex())


def read(
    tx: Transaction,
    limit: int = 100,
    before: int | None = None,
    *,
    kind: str = "",
    key: str = "",
    who: str = "",
    since_us: int = 0,
    until_us: int = 0,
) -> list[AuditRow]:
    """Read rows, the newest first.

    Args:
        tx: a transaction.
        limit: at most so many.
        before: only those with a lower id.
        kind, key, who: only of these, when given.
        since_us: only what happened then or later.
        until_us: only what happened before, when given.
    """
    c = audit_table.c
    statement = select(audit_table).order_by(c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(c.id < before)
    for column, words in ((c.kind, kind), (c.key, key), (c.who, who)):
        if words:
            statement = statement.where(column == words)
    if since_us:
        statement = statement.where(c.at_us >= since_us)
    if until_us:
        statement = statement.where(c.at_us < until_us)
    return [AuditRow(*row) for row in tx.sql.execute(statement)]


def verify(tx: Transaction, known: Head | None = None) -> Verdict:
    """Look through the whole chain, in bounded memory.

    Args:
        tx: a transaction; a read's, so that nobody waits for it.
        known: a head that was kept elsewhere.
    """
    examination = Examination(known)
    for page in _pages(tx):
        if not examination.take(page):
            break
    return examination.verdict(head(tx))


def find(tx: Transaction, words: Sequence[str], limit: int = REDACT_PAGE, after: int = 0) -> list[AuditRow]:
    """Rows whose key or detail names one of these words: what erasing a person looks for. Reads every row.

    A word is found where it stands alone: what is taken out is gone for ever, and +1202555121 is not +12025551212.

    Args:
        tx: a transaction.
        words: such as a telephone number; no wildcards.
        limit: at most so many, in order of id.
        after: only those with a higher id.
    """
    wanted = [word for word in words if word]
    if not wanted:
        return []
    c = audit_table.c
    holds = or_(*(column.contains(word, autoescape=True) for word in wanted for column in (c.key, c.detail)))
    alone = re.compile(rf"(?<![\w+])(?:{'|'.join(re.escape(word) for word in wanted)})(?!\w)")
    found: list[AuditRow] = []
    while len(found) < limit:
        statement = select(audit_table).where(c.id > after, c.salt != "", holds).order_by(c.id).limit(FIND_PAGE)
        page = [AuditRow(*row) for row in tx.sql.execute(statement)]
        found += [row for row in page if alone.search(row.key) or alone.search(row.detail)]
        if len(page) < FIND_PAGE:
            break
        after = page[-1].id
    return found[:limit]


def redact(tx: Transaction, ids: Sequence[int], *, who: str, reason: str, now_us: int) -> int:
    """Take key and detail out of rows, for ever, and write that it was done.

    Who, action, kind and time stay, and so does the chain. Rows that name redactions are not redacted.

    Args:
        tx: a transaction.
        ids: of the rows; those that are not there or have no words any more are left alone.
        who: for the audit.
        reason: for the audit; it must not hold what is taken out. Too long a one is cut.
        now_us: now.

    Returns: how many rows lost their words.
    """
    found = [AuditRow(*row) for row in tx.select(_select_rows, list(dict.fromkeys(ids)))]
    rows = sorted(row.id for row in found if not row.is_redacted and (row.kind, row.action) != (AUDIT_KIND, REDACTION))
    for start in range(0, len(rows), REDACT_PAGE):
        page = rows[start : start + REDACT_PAGE]
        tx.write(Op(_take_words, [(row_id, REDACTED, REDACTED, "") for row_id in page]))
        detail = msgspec.json.encode({"ids": page, "reason": reason[:MAX_REASON_CHARACTERS]}).decode()
        append(tx, [AuditEntry(now_us, who, REDACTION, AUDIT_KIND, f"{page[0]}…{page[-1]}", detail)])
    return len(rows)


def _locked_head(tx: Transaction) -> Head:
    """The end of the chain, which nobody else moves until this transaction ends."""
    tx.write(Op(_first_head, [(_HEAD_ID, 0, ZERO.hex())]))
    c = audit_head_table.c
    tx.sql.execute(sqlalchemy.update(audit_head_table).where(c.id == _HEAD_ID).values(last_id=c.last_id))
    return head(tx)


def _pages(tx: Transaction) -> Iterator[list[AuditRow]]:
    last = 0
    while True:
        statement = select(audit_table).where(audit_table.c.id > last).order_by(audit_table.c.id).limit(VERIFY_PAGE)
        page: list[Any] = [AuditRow(*row) for row in tx.sql.execute(statement)]
        if not page:
            return
        yield page
        last = page[-1].id
