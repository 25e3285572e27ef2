"""What desks ask about threads, done: over the registry of threads, the journal and the feed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hub import Hub, feed, history
from provisioning import Directory
from store import StoreError, Transaction
from threading_tokens import Contention, Resolution, Thread, ThreadRules, UnknownToken, registry
from threading_tokens.thread import ThreadEvent
from translators.xmpp.services import Assignment, Busy, Call, HistoryEntry, Subject, ThreadView

T = TypeVar("T")


class DeskThreads:
    """Implements ``translators.xmpp.services.DeskServices``.

    Args:
        hub: the hub, whose store and clock are used.
        rules: answers a call centre's thread rules.
    """

    def __init__(self, hub: Hub, rules: Callable[[Directory, str], ThreadRules]) -> None:
        self._hub = hub
        self._rules = rules

    async def designate(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        """See ``DeskServices``."""
        return await self._give(registry.designate, "designated", call_centre, token, assignment, by)

    async def transfer(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        """See ``DeskServices``."""
        return await self._give(registry.transfer, "transferred", call_centre, token, assignment, by)

    async def release(self, call_centre: str, token: str, by: str) -> ThreadView:
        """See ``DeskServices``."""

        def work(tx: Transaction) -> Thread:
            return registry.release(
                tx, call_centre, token, by=by, now_us=self._hub.clock(), new_id=self._hub.store.new_id
            )

        return view_of(await self._change(work, "released"))

    async def note_call(self, call_centre: str, subject: Subject, call: Call, by: str) -> ThreadView:
        """See ``DeskServices``."""
        rules = self._rules(self._hub.directory, call_centre)

        def work(tx: Transaction) -> Thread:
            customer, number = subject.customer, subject.number
            if subject.token:
                thread = _named(tx, call_centre, subject.token)
                customer, number = thread.customer, thread.number
            elif not self._owns(call_centre, number):
                raise UnknownToken("")
            now_us = self._hub.clock()
            resolution: Resolution = registry.note_call(
                tx,
                call_centre,
                number,
                customer,
                direction=call.direction,
                started_us=call.started_us or now_us,
                rules=rules,
                now_us=now_us,
                new_id=self._hub.store.new_id,
                duration_s=call.duration_s,
                by=by,
                detail=call.outcome,
            )
            return resolution.thread

        return view_of(await self._change(work, "call"))

    async def history(self, call_centre: str, subject: Subject, limit: int, before: int) -> Sequence[HistoryEntry]:
        """See ``DeskServices``."""

        def work(tx: Transaction) -> list[HistoryEntry]:
            thread_id = _named(tx, call_centre, subject.token).id if subject.token else 0
            customer, number = subject.customer, subject.number
            past = registry.history(
                tx,
                call_centre,
                token=subject.token,
                customer=customer,
                number=number,
                limit=limit,
                before=before,
            )
            texts = history.texts(
                tx, call_centre, thread_id=thread_id, customer=customer, number=number, limit=limit, before=before
            )
            entries = [_entry_of_event(event) for event in past.events] + [_entry_of_text(text) for text in texts]
            return sorted(entries, key=lambda entry: -entry.id)[:limit]

        return await self._guarded(self._hub.store.read, work)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _give(
        self,
        give: Callable[..., Thread],
        news: str,
        call_centre: str,
        token: str,
        assignment: Assignment,
        by: str,
    ) -> ThreadView:
        """Give a thread to a CSR, by the registry's ``designate`` or ``transfer``."""

        def work(tx: Transaction) -> Thread:
            thread = give(
                tx,
                call_centre,
                token,
                assignment.designation,
                by=by,
                now_us=self._hub.clock(),
                new_id=self._hub.store.new_id,
                desk_label=assignment.label,
                place=assignment.place,
            )
            return self._switched(tx, call_centre, thread, assignment, by)

        return view_of(await self._change(work, news))

    def _owns(self, call_centre: str, number: str) -> bool:
        found = self._hub.directory.number(number)
        return found is not None and found.call_centre == call_centre

    def _switched(self, tx: Transaction, call_centre: str, thread: Thread, assignment: Assignment, by: str) -> Thread:
        if not assignment.channel or assignment.channel == thread.channel:
            return thread
        return registry.switch_channel(
            tx,
            call_centre,
            thread.token,
            assignment.channel,
            by=by,
            now_us=self._hub.clock(),
            new_id=self._hub.store.new_id,
        )

    async def _change(self, work: Callable[[Transaction], Thread], news: str) -> Thread:
        store = self._hub.store

        def published(tx: Transaction) -> Thread:
            thread = work(tx)
            tx.write(feed.outbox(self._hub.store, self._hub.clock(), [("thread", thread.id, news)]))
            return thread

        return await self._guarded(store.transact, published)

    async def _guarded(
        self, run: Callable[[Callable[[Transaction], T]], Awaitable[T]], work: Callable[[Transaction], T]
    ) -> T:
        """Run it; what the store cannot do now is a wait, what the registry refuses is the desk's to know."""
        try:
            return await run(work)
        except (Contention, StoreError) as error:
            raise Busy from error


def view_of(thread: Thread) -> ThreadView:
    """A thread as a desk sees it."""
    return ThreadView(
        thread_id=thread.id,
        token=thread.token,
        number=thread.number,
        customer=thread.customer,
        channel=thread.channel,
        product=thread.product,
        opened_us=thread.opened_us,
        closed_us=thread.closed_us,
        designation=thread.designation,
        label=thread.desk_label,
    )


def _named(tx: Transaction, call_centre: str, token: str) -> Thread:
    (found,) = registry.by_token(tx, call_centre, [token])
    if isinstance(found, Thread):
        return found
    raise found


def _entry_of_text(text: history.Text) -> HistoryEntry:
    return HistoryEntry(
        id=text.id,
        at_us=text.at_us,
        kind="text",
        direction="in" if text.inbound else "out",
        text=text.text,
        state=text.state,
        by="customer" if text.inbound else text.by,
    )


def _entry_of_event(event: ThreadEvent) -> HistoryEntry:
    return HistoryEntry(
        id=event.id,
        at_us=event.at_us,
        kind=event.kind,
        direction=event.direction,
        by=event.by,
        csr=event.designation_value,
        channel=event.channel,
        product=event.product,
        place=event.place,
        detail=event.detail,
        duration_s=event.duration_s,
    )
