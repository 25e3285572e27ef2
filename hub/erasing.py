"""Erasing a person: all that the hub keeps of the texts with some numbers, on request (H36).

What goes: the person's messages with their parts and carriers' ids, parts of texts that never became whole, threads
with their history, their words in the audit (whose chain stays whole), and their lines in the archive, whose objects
are written anew without them.

What stays: that the person is out (the ledger of opt-outs), because a wish not to be texted must be obeyed after the
erasure too; what a legal hold keeps; and that there was an erasure: when, by whom and why, not whose.

1. Texts that are on their way are dropped first. The daemon holds them in memory, so it is asked to; what is on the
   wire at that moment ends by itself, and is erased by asking again.
   Who follows the feed is let see what has happened, at once if need be, or charging records would miss what is
   erased before their file is made. What a follower has not seen when patience ends stays: ask again.
2. Each step looks for what is there, and takes that away: whoever is killed starts again from the beginning, and who
   asks twice finds nothing the second time.
3. An object of the archive is replaced by a new one without the person. Only when the index names the new one is the
   old one removed, and until it is, the index says that it must be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import sqlalchemy
import trio
from sqlalchemy import delete, or_, select, update

from hub import journal, operations
from hub import keeping_ledger as ledger
from hub.keeping import Archive, ArchiveError, Keeper
from hub.keeping_ledger import Changed, Found, Shelved
from hub.keeping_record import Record
from hub.keeping_rules import Holds
from hub.model import State
from hub.opt_out import scope_of
from hub.tables import IS_PENDING, arrived_part, message
from provisioning import Directory, load_directory
from store import Store, Transaction, audit
from store.audit import AuditEntry
from threading_tokens import TokenError, registry
from threading_tokens.tables import thread_table

SCAN_PAGE = 20_000  # messages looked through in one read
MOST_AUDIT_ROWS = 100_000  # in one go: the audit has a row for what operators did about a person, not for each text
POLL_S = 0.2
AUDIT_KIND = "person"
_OPT_OUT = "opt-out"


class Request(msgspec.Struct, frozen=True):
    """What is to be erased.

    Attributes:
        people: the person's numbers, as messages have them.
        call_centre: only what this call centre has of them; None for everything, transit too.
        who, reason: for the audit; the reason must not name the person.
        patience_s: how long the daemon has to drop what is on its way.
        is_stopped: the daemon is stopped: what waits is dropped here.
    """

    people: tuple[str, ...]
    call_centre: str | None
    who: str
    reason: str
    patience_s: float = 60.0
    is_stopped: bool = False


class Report(msgspec.Struct):
    """What was found, and unless it was a rehearsal, erased.

    Attributes:
        messages, parts, threads: of the store.
        audit_rows: that lost their words.
        archived: lines of the archive.
        objects: of the archive, written anew or removed.
        pending: messages that are still on their way: ask again.
        unseen: messages that a follower of the feed has not seen yet: ask again.
        held: messages, archived ones too, that a legal hold keeps.
        holds: the names of these holds.
    """

    messages: int = 0
    parts: int = 0
    threads: int = 0
    audit_rows: int = 0
    archived: int = 0
    objects: int = 0
    pending: int = 0
    unseen: int = 0
    held: int = 0
    holds: list[str] = msgspec.field(default_factory=list)

    def hold(self, name: str, count: int = 1) -> None:
        """Note what a hold keeps."""
        self.held += count
        if name not in self.holds:
            self.holds.append(name)


class Eraser:
    """See the module's head.

    Args:
        store: the store.
        clock: now in microseconds.
        keeper: over the same store; this borrows its lease.
        archive: None when there is none.
        request: what is to be erased.
        tell: told in words how far it is.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        keeper: Keeper,
        archive: Archive | None,
        request: Request,
        tell: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._keeper = keeper
        self._archive = archive
        self._request = request
        self._tell = tell
        self._holds = Holds(())
        self._revision = 0
        self._unseen = (0, 0)  # since when followers have not seen what happened, as of when

    async def rehearse(self) -> Report:
        """Count what would go. Changes nothing. Raises: StoreError, ArchiveError."""
        self._revision, book = await self._store.read(ledger.rulebook)
        self._holds = book.holds
        report = Report()
        after = 0
        while after >= 0:
            found, after = await self._store.read(lambda tx, at=after: self._page(tx, at))  # type: ignore[misc]
            going = self._sorted_out(found, report)
            report.pending += sum(each.subject.state < State.ACCEPTED for each in going)
            report.messages += sum(each.subject.state >= State.ACCEPTED for each in going)
        report.parts = await self._store.read(lambda tx: len(self._parts(tx)))
        report.threads = await self._store.read(lambda tx: len(self._threads(tx)))
        report.audit_rows = await self._store.read(lambda tx: len(self._audit_rows(tx, MOST_AUDIT_ROWS)))
        await self._walk_archive(report, changes=False)
        return report

    async def erase(self) -> Report:
        """Erase. Raises: LeaseTaken, StoreError, ArchiveError: what was erased is; ask again for the rest."""
        report = Report()
        async with self._keeper.leased():
            self._holds = (await self._keeper.read_rules()).holds
            await self._note("erasure begun", {"reason": self._request.reason})
            await self._drop_pending()
            if not self._request.is_stopped:
                await self._wait_for_followers()
            while True:
                try:
                    self._revision, book = await self._store.read(ledger.rulebook)
                    self._holds = book.holds
                    report.held, report.holds, report.pending, report.unseen = 0, [], 0, 0
                    await self._erase_messages(report)
                    break
                except Changed:
                    await trio.sleep(POLL_S)
            await self._erase_threads(report)
            await self._erase_words(report)
            if self._archive is not None:
                await self._keeper.read_rules()
                await self._keeper.finish_objects()
            await self._walk_archive(report, changes=True)
            await self._note("erased", {"reason": self._request.reason, **msgspec.structs.asdict(report)})
        return report

    async def _note(self, action: str, detail: dict[str, Any]) -> None:
        """Write in the audit that somebody was erased, and not who."""
        request = self._request
        scope = "everything" if request.call_centre is None else f"call centre {request.call_centre}"
        words = msgspec.json.encode(detail).decode()
        entry = AuditEntry(self._clock(), request.who, action, AUDIT_KIND, scope, words)
        await self._store.transact(lambda tx: audit.append(tx, [entry]))

    # --- what is on its way ------------------------------------------------------------------------------------------

    async def _drop_pending(self) -> None:
        """Have pending messages dropped, until there are none or patience ends. Their receipts are pending in turn."""
        with trio.move_on_after(self._request.patience_s):
            while True:
                ids = await self._store.read(self._pending)
                if not ids:
                    return
                await self._store.transact(lambda tx, ids=ids: self._ask_for_drops(tx, ids), rows=len(ids))  # type: ignore[misc]
                self._tell(f"{len(ids)} messages are on their way: waiting until they are dropped")
                await trio.sleep(POLL_S)
                await self._keeper.renew()

    async def _wait_for_followers(self) -> None:
        """Let whoever follows the feed (charging records) see what has happened by now: it joins messages by id."""
        self._unseen = (0, 0)
        last = await self._store.transact(ledger.hurry)
        with trio.move_on_after(self._request.patience_s):
            while True:
                least = await self._store.read(ledger.least_position)
                if least is None or least >= last:
                    return
                self._tell("waiting until all who follow the feed have seen it")
                await trio.sleep(POLL_S)
                await self._keeper.renew()
        now_us = self._clock()
        self._unseen = await self._store.read(lambda tx: (ledger.unseen_since_us(tx, now_us), now_us))

    def _pending(self, tx: Transaction) -> list[int]:
        """Messages on their way that no hold keeps, a page at most."""
        rows = {row[0]: row for query in self.pending_queries() for row in tx.sql.execute(query).all()}
        found = ledger.with_threads(tx, list(rows.values())[: ledger.REMOVE_PAGE])
        return sorted(each.subject.id for each in self._sorted_out(found, Report()))

    def pending_queries(self) -> list[sqlalchemy.Select[Any]]:
        """Messages on their way to the person, and from them: by the indexes over what is pending."""
        c, people = message.c, self._request.people
        columns = [c[name] for name in journal.MESSAGE_COLUMNS]
        own = [] if self._request.call_centre is None else [c.call_centre == self._request.call_centre]
        pending = select(*columns).where(sqlalchemy.text(IS_PENDING), *own)
        return [pending.where(side.in_(people)) for side in (c.destination, c.source)]

    def _ask_for_drops(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Ask for what was not asked for yet."""
        now_us = self._clock()
        if self._request.is_stopped:
            waiting = (message.c.id.in_(ids), sqlalchemy.text(IS_PENDING))
            tx.sql.execute(update(message).where(*waiting).values(state=State.DROPPED.value, done_us=now_us))
            return
        asked = operations.asked_of(tx, ids)
        for message_id in ids:
            if message_id not in asked:
                drop = operations.Request(self._store.new_id(), "drop", message_id, self._request.who[:80], now_us)
                operations.ask(tx, drop)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _own(self) -> list[sqlalchemy.ColumnElement[bool]]:
        c, people = message.c, self._request.people
        own: list[sqlalchemy.ColumnElement[bool]] = [or_(c.source.in_(people), c.destination.in_(people))]
        if self._request.call_centre is not None:
            own.append(c.call_centre == self._request.call_centre)
        return own

    def _page(self, tx: Transaction, after: int) -> tuple[list[Found], int]:
        """The person's messages among the next ones. Returns: them, and the last id looked at; -1 at the end."""
        c = message.c
        bound = tx.sql.execute(select(c.id).where(c.id > after).order_by(c.id).limit(1).offset(SCAN_PAGE)).scalar()
        until = bound if bound is not None else (1 << 63) - 1
        query = ledger.page_query(after, until, SCAN_PAGE + 1).where(*self._own())
        return ledger.with_threads(tx, tx.sql.execute(query).all()), -1 if bound is None else bound

    def _sorted_out(self, found: Sequence[Found], report: Report) -> list[Found]:
        """Those that no hold keeps."""
        going: list[Found] = []
        for each in found:
            subject = each.subject
            parties = (subject.source, subject.destination, subject.customer)
            name = self._holds.of(subject.call_centre, parties, subject.received_us)
            if name:
                report.hold(name)
            else:
                going.append(each)
        return going

    async def _erase_messages(self, report: Report) -> None:
        """Raises: Changed."""
        after = 0
        while after >= 0:
            found, after = await self._store.read(lambda tx, at=after: self._page(tx, at))  # type: ignore[misc]
            going = self._sorted_out(found, report)
            ids = [each.subject.id for each in going if not ledger.is_unseen(each.subject, *self._unseen)]
            report.unseen += len(going) - len(ids)
            for start in range(0, len(ids), ledger.REMOVE_PAGE):
                chunk = ids[start : start + ledger.REMOVE_PAGE]

                def work(tx: Transaction, chunk: Sequence[int] = chunk) -> ledger.Removed:
                    ledger.guard(tx, self._revision)
                    return ledger.remove(tx, chunk, self._holds)

                removed = await self._store.transact(work, rows=len(chunk))
                report.messages += removed.messages
                report.threads += removed.threads
                report.pending += len(chunk) - removed.messages
                self._tell(f"{report.messages} messages erased")
            await self._keeper.renew()

    # --- threads, parts, words ---------------------------------------------------------------------------------------

    def _parts(self, tx: Transaction) -> list[int]:
        """Parts of texts that are not whole. They have no call centre yet: their recipient's number says whose."""
        c, people = arrived_part.c, self._request.people
        query = select(c.id, c.source, c.destination).where(
            sqlalchemy.text("arrived_part.message_id = 0"), or_(c.source.in_(people), c.destination.in_(people))
        )
        directory = load_directory(tx)
        return [row[0] for row in tx.sql.execute(query).all() if self._is_ours(directory, row[1], row[2])]

    def _is_ours(self, directory: Directory, *parties: str) -> bool:
        wanted = self._request.call_centre
        if wanted is None:
            return not any(
                self._holds.of_customer(name, each) for name in self._holds.by_call_centre for each in parties
            )
        owners = {found.call_centre for each in parties if (found := directory.number(each)) is not None}
        return wanted in owners and not any(self._holds.of_customer(wanted, each) for each in parties)

    def _threads(self, tx: Transaction) -> list[tuple[int, str, str, int]]:
        """Threads that no hold keeps: id, call centre, token, when closed."""
        c = thread_table.c
        query = select(c.id, c.call_centre, c.token, c.closed_us, c.customer).where(
            c.customer.in_(self._request.people)
        )
        if self._request.call_centre is not None:
            query = query.where(c.call_centre == self._request.call_centre)
        rows = tx.sql.execute(query).all()
        return [tuple(row[:4]) for row in rows if not self._holds.of_customer(row[1], row[4])]

    async def _erase_threads(self, report: Report) -> None:
        """Threads are ended first, so that nobody goes on in them; those with a message on its way stay ended."""
        # Looked up beside the writer, which reads no whole table: the message path waits for it.
        parts = await self._store.read(self._parts)
        for start in range(0, len(parts), ledger.REMOVE_PAGE):
            ids = parts[start : start + ledger.REMOVE_PAGE]
            removal = delete(arrived_part).where(
                arrived_part.c.id.in_(ids), sqlalchemy.text("arrived_part.message_id = 0")
            )
            gone = await self._store.transact(lambda tx, removal=removal: tx.sql.execute(removal).rowcount)  # type: ignore[misc]
            report.parts += int(gone)
        threads = await self._store.read(self._threads)
        for start in range(0, len(threads), ledger.REMOVE_PAGE):
            page = threads[start : start + ledger.REMOVE_PAGE]
            report.threads += await self._store.transact(
                lambda tx, page=page: self._end_threads(tx, page),  # type: ignore[misc]
                rows=len(page),
            )

    def _end_threads(self, tx: Transaction, threads: Sequence[tuple[int, str, str, int]]) -> int:
        """End those that are open, and remove those without messages. Returns: how many were removed."""
        for _, call_centre, token, closed_us in threads:
            if not closed_us:
                told: dict[str, Any] = {"by": self._request.who, "reason": "erased", "now_us": self._clock()}
                with suppress(TokenError):  # it ended by itself at this moment
                    registry.release(tx, call_centre, token, new_id=self._store.new_id, **told)
        return ledger.remove_threads(tx, [each[0] for each in threads], self._holds)

    def _audit_rows(self, tx: Transaction, limit: int) -> list[audit.AuditRow]:
        rows = audit.find(tx, self._request.people, limit)
        wanted = self._request.call_centre
        if wanted is None:
            return rows
        directory, scope = load_directory(tx), scope_of(wanted)
        ours: list[audit.AuditRow] = []
        for row in rows:
            number = row.key.partition(" ")[0]
            found = directory.number(number) if number[:1] == "+" else None
            if row.kind == _OPT_OUT and (number == scope or (found is not None and found.call_centre == wanted)):
                ours.append(row)
        return ours

    async def _erase_words(self, report: Report) -> None:
        if report.held:
            return  # who did what to whom is part of the matter
        request = self._request

        rows = await self._store.read(lambda tx: self._audit_rows(tx, MOST_AUDIT_ROWS))
        for start in range(0, len(rows), audit.REDACT_PAGE):
            ids = [row.id for row in rows[start : start + audit.REDACT_PAGE]]

            def work(tx: Transaction, ids: Sequence[int] = ids) -> int:
                return audit.redact(tx, ids, who=request.who, reason=request.reason, now_us=self._clock())

            report.audit_rows += await self._store.transact(work, rows=len(ids))
            await self._keeper.renew()

    # --- the archive -------------------------------------------------------------------------------------------------

    async def _walk_archive(self, report: Report, *, changes: bool) -> None:
        """Look through every object that may have the person's lines. Raises: ArchiveError."""
        archive, after = self._archive, 0
        centre = self._request.call_centre
        ask = self._keeper.at_archive if changes else trio.to_thread.run_sync
        while True:
            page = await self._store.read(
                lambda tx, at=after: ledger.shelved(tx, call_centre=centre, after_id=at, limit=100)  # type: ignore[misc]
            )
            for each in page:
                after = each.id
                if not each.is_stored:
                    continue
                if archive is None:
                    raise ArchiveError(f"{each.name}: archive.target is not set, and it may have lines of the person")
                records = await ask(archive.load, each.name)
                keep = [record for record in records if not self._goes(record, report)]
                if len(keep) == len(records):
                    continue
                report.archived += len(records) - len(keep)
                report.objects += 1
                self._tell(f"{report.archived} archived messages in {report.objects} objects")
                if changes:
                    await self._rewrite(archive, each, keep)
                    await self._keeper.renew()
            if not page:
                return

    def _goes(self, record: Record, report: Report) -> bool:
        customer = record.thread.customer if record.thread is not None else ""
        parties = (record.source, record.destination, customer)
        if not any(party in self._request.people for party in parties):
            return False
        name = self._holds.of(record.call_centre, parties, record.received)
        if name:
            report.hold(name)
        return not name

    async def _rewrite(self, archive: Archive, old: Shelved, keep: Sequence[Record]) -> None:
        """Replace an object by one without the person."""
        if not keep:
            empty = msgspec.structs.replace(old, is_stored=0, ids="")  # whoever finds it so removes it
            await self._store.transact(lambda tx: ledger.shelve(tx, [empty]))
            await self._keeper.at_archive(archive.remove, old.name)
            await self._store.transact(lambda tx: ledger.unshelve(tx, old.id))
            return
        folder, _, base = old.name.rpartition("/")
        name = f"{folder}/{base.partition('.')[0]}.r{old.generation + 1}{archive.suffix}"
        stored = await self._keeper.at_archive(archive.store, name, keep)
        new = msgspec.structs.replace(
            old,
            name=name,
            messages=len(keep),
            octets=stored.octets,
            sha256=stored.sha256,
            generation=old.generation + 1,
            superseded=old.name,
        )
        await self._store.transact(lambda tx: ledger.shelve(tx, [new]))
        await self._keeper.at_archive(archive.remove, old.name)
        await self._store.transact(lambda tx: ledger.shelve(tx, [msgspec.structs.replace(new, superseded="")]))
