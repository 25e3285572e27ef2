"""The audit in both databases: appended by many at once, refused to whoever would change it, redacted, verified."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy
import trio

from store import Store, StoreError, Transaction, audit, open_store
from store.audit import AuditEntry, Head
from store.schema import metadata

TABLES = [audit.audit_table, audit.audit_head_table]


def entry(n: int = 0, **fields: object) -> AuditEntry:
    told = {"at_us": n, "who": "cli:ann", "action": "added", "kind": "number", "key": f"+1{n:010}", "detail": "{}"}
    return AuditEntry(**(told | fields))  # type: ignore[arg-type]


@pytest.fixture
async def books(store_url: str) -> AsyncIterator[Store]:
    """A store with the audit's tables."""
    async with open_store(store_url) as opened:
        await opened.transact(lambda tx: metadata.create_all(tx.sql, tables=TABLES))
        yield opened


async def append(store: Store, *entries: AuditEntry) -> None:
    await store.transact(lambda tx: audit.append(tx, entries))


async def whole(store: Store, known: Head | None = None) -> audit.Verdict:
    return await store.read(lambda tx: audit.verify(tx, known))


async def test_an_empty_audit_is_whole(books: Store) -> None:
    await append(books)
    verdict = await whole(books)
    assert (verdict.is_whole, verdict.rows, verdict.head.id) == (True, 0, 0)


async def test_what_is_read_is_what_was_asked_for(books: Store) -> None:
    await append(books, *(entry(n) for n in range(5)), entry(5, kind="link", key="acme", who="file x"))
    assert [row.id for row in await books.read(lambda tx: audit.read(tx, 2))] == [6, 5]
    assert [row.id for row in await books.read(lambda tx: audit.read(tx, 2, 3))] == [2, 1]
    assert [row.id for row in await books.read(lambda tx: audit.read(tx, kind="number", since_us=3))] == [5, 4]
    assert [row.id for row in await books.read(lambda tx: audit.read(tx, until_us=1))] == [1]
    assert [row.key for row in await books.read(lambda tx: audit.read(tx, key="acme", who="file x"))] == ["acme"]


async def test_thousands_at_once_and_several_at_the_same_time(books: Store, store_url: str) -> None:
    await append(books, *(entry(n) for n in range(10_000)))
    async with open_store(store_url, 2) as other, trio.open_nursery() as nursery:
        for n in range(10):
            for store in (books, other):
                nursery.start_soon(append, store, entry(n), entry(n + 1))
    verdict = await whole(books)
    assert (verdict.is_whole, verdict.rows) == (True, 10_040), verdict


async def test_a_transaction_that_fails_leaves_no_gap(books: Store) -> None:
    await append(books, entry())

    def fail(tx: Transaction) -> None:
        audit.append(tx, [entry(1)])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await books.transact(fail)
    await append(books, entry(2))
    assert (await whole(books)).rows == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit WHERE id = 2",
        "UPDATE audit SET who = 'nobody' WHERE id = 2",
        "UPDATE audit SET detail = '(redacted)' WHERE id = 2",
        "UPDATE audit SET key = 'x', detail = '(redacted)', salt = '' WHERE id = 2",
        "UPDATE audit SET key = '(redacted)', detail = '(redacted)', salt = '', at_us = 0 WHERE id = 2",
    ],
)
async def test_the_database_refuses_to_change_it(books: Store, statement: str) -> None:
    await append(books, entry(1), entry(2), entry(3))
    with pytest.raises(StoreError):
        await books.transact(lambda tx: tx.sql.execute(sqlalchemy.text(statement)))
    assert (await whole(books)).rows == 3


async def test_the_database_refuses_to_empty_it(books: Store, store_url: str) -> None:
    empty = "DELETE FROM audit" if store_url.startswith("sqlite") else "TRUNCATE audit"
    await append(books, entry(1))
    with pytest.raises(StoreError):
        await books.transact(lambda tx: tx.sql.execute(sqlalchemy.text(empty)))


async def force(store: Store, store_url: str, statement: str) -> None:
    """What somebody does who may do everything with the database."""

    def work(tx: Transaction) -> None:
        if store_url.startswith("sqlite"):
            for trigger in ("audit_no_delete", "audit_only_redaction"):
                tx.sql.execute(sqlalchemy.text(f"DROP TRIGGER IF EXISTS {trigger}"))
        else:
            tx.sql.execute(sqlalchemy.text("ALTER TABLE audit DISABLE TRIGGER USER"))
        tx.sql.execute(sqlalchemy.text(statement))

    await store.transact(work)


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit SET detail = '[]' WHERE id = 2100", 2100),
        ("DELETE FROM audit WHERE id = 2100", 2101),
        ("DELETE FROM audit WHERE id > 2999", 3000),
        ("UPDATE audit SET salt = '', key = '(redacted)', detail = '(redacted)' WHERE id = 7", 7),
        ("UPDATE audit_head SET last_id = 2999", 3001),
    ],
)
async def test_what_was_forced_is_found(books: Store, store_url: str, statement: str, broken: int) -> None:
    """Beyond the first page of the examination, too."""
    await append(books, *(entry(n) for n in range(3000)))
    await force(books, store_url, statement)
    verdict = await whole(books)
    assert (verdict.broken_id, verdict.is_whole) == (broken, False), verdict


async def test_an_end_that_was_cut_with_the_head_is_told_by_a_head_that_was_kept(books: Store, store_url: str) -> None:
    await append(books, *(entry(n) for n in range(5)))
    kept = await books.read(audit.head)
    await append(books, entry(6))
    assert (await whole(books, kept)).is_whole
    await force(books, store_url, "DELETE FROM audit WHERE id > 3")
    await force(books, store_url, "UPDATE audit_head SET last_id = 3, chain = (SELECT chain FROM audit WHERE id = 3)")
    assert (await whole(books)).is_whole
    assert "kept elsewhere" in (await whole(books, kept)).fault


async def test_redacted_rows_are_whole_and_say_nothing(books: Store) -> None:
    person = "+12025551212"
    told = [entry(n, key=f"+18005550100 {person}", detail=f'{{"n":{n}}}') for n in range(700)]
    await append(books, entry(1), *told, entry(2, detail=f'{{"about":"{person}"}}'))

    def work(tx: Transaction) -> int:
        done = 0
        while found := audit.find(tx, [person], 300):
            done += audit.redact(tx, [row.id for row in found], who="cli:ann", reason="asked", now_us=9)
        return done

    assert await books.transact(work) == 701
    assert await books.transact(work) == 0
    verdict = await whole(books)
    assert (verdict.is_whole, verdict.redacted) == (True, 701), verdict
    rows = await books.read(lambda tx: audit.read(tx, 2000))
    assert person not in repr(rows)
    assert [row.action for row in rows[:3]] == ["redacted"] * 3
    again = await books.transact(lambda tx: audit.redact(tx, [rows[0].id, 5, 99_999], who="x", reason="", now_us=1))
    assert again == 0


async def test_a_long_reason_does_not_hide_what_was_redacted(books: Store) -> None:
    await append(books, *(entry(n) for n in range(600)))
    ids = list(range(1, 601))
    reason = "\n" * 20_000
    assert await books.transact(lambda tx: audit.redact(tx, ids, who="x", reason=reason, now_us=1)) == 600
    verdict = await whole(books)
    assert (verdict.is_whole, verdict.redacted) == (True, 600), verdict


async def test_a_word_is_found_where_it_stands_alone(books: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number begins others, and a short code is in the middle of many: their rows are somebody else's."""
    monkeypatch.setattr(audit, "FIND_PAGE", 2)
    alone = [
        *("+4930123", "+4930999 +4930123", "*acme +4930123", "40404", "+4930999 40404"),
        *('{"customer":"+4930123"}', '{"to":["40404"]}', "+4930122-+4930123"),
    ]
    within = ["+49301234", "+18005550100 +49301234", "140404", "404041", "+1404045", "x40404", "_40404"]
    told = [entry(n, key=words) for n, words in enumerate([*within, *alone, *within])]
    await append(books, *told, *(entry(n, detail=words) for n, words in enumerate([*alone, *within])))
    found = await books.read(lambda tx: audit.find(tx, ["+4930123", "40404", ""]))
    assert [row.key for row in found[: len(alone)]] == alone
    assert [row.detail for row in found[len(alone) :]] == alone
    assert [row.id for row in await books.read(lambda tx: audit.find(tx, ["40404"], 3, after=11))] == [11 + 1, 14, 26]
    assert await books.read(lambda tx: audit.find(tx, [""])) == []
