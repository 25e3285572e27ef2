"""Intake: check, reassemble, route, thread, journal. One for the hub; all endpoints' arrivals come through here.

A batch becomes one journal write. Its steps:

1. *Before it*, on plain values: route each arrival, refuse what cannot be taken, reserve a place in the lane it will go
   to.
2. *In it* (the store's writer, so that nothing races): journal arriving parts and complete texts, find or open threads,
   settle receipts, insert messages, publish events. A batch that needs none of this but inserts is written as plain
   rows.
3. *After it*: hand the entries to their dispatchers, answer the caller.

Every part of a long text is journalled and acknowledged as it comes. The text goes on when its last part is there, or
with marks for what is missing when the wait for it ends, or when another text comes under its reference: some senders
give all their texts the same. What came twice counts once. Parts of a text that is complete already may come again
alone (their answers were lost); they are told from a new text by the memory of what was completed, and end with it.

A write is never left alone: a cancelled caller waits for its end, so that what was written is also sent.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from hub import feed, journal, receipts, routing
from hub.drafts import Draft, Settlement
from hub.elsewhere import Ways
from hub.enum_answers import EnumAnswers
from hub.filtering import Filtering
from hub.model import (
    ELEMENT,
    Accepted,
    Arrival,
    Kind,
    Message,
    Reason,
    ReceiptState,
    Rejected,
    State,
    TryLater,
    Verdict,
)
from hub.opt_out import ATTRIBUTE
from hub.opt_out import MAX_TEXT_CHARACTERS as MAX_WORD_TEXT_CHARACTERS
from hub.opt_out_guard import OptOuts
from hub.parts import Group, Key, Whole, digest, ids_of, key_of, storable, whole_of
from hub.statistics import Counters
from hub.tables import NEVER_US
from provisioning import Directory
from store import Op, Store, StoreError, StoreFull, StoreUnavailable, Transaction
from threading_tokens import (
    Contention,
    Designation,
    ExpiredToken,
    ForeignToken,
    Thread,
    ThreadArrival,
    TokenError,
    registry,
)

if TYPE_CHECKING:
    from hub.dispatch import Dispatcher
    from hub.elsewhere import Elsewhere

PART_WAIT_US = 120_000_000  # carriers deliver the parts of one text within seconds; handsets may be away for a minute
MAX_TEXT_CHARACTERS = 39_015  # 255 parts of 153 characters: more cannot be concatenated
# A repetition may come as late as a part may, and is waited with as long as for a part.
REMEMBERED_WAITS = 3  # times the wait for parts
ENDPOINT_GONE = "the endpoint is gone"
GONE_VALIDITY_US = 86_400_000_000  # for an endpoint that went while the writer was at it: who knows what it said
MAX_WHOLES = 10_000  # completed texts remembered, some 500 octets each

log = structlog.get_logger("hub.intake")


class Intake:
    """See the module's head.

    Args:
        store: the journal's store.
        clock: now in microseconds.
        ways: by endpoint name; the hub's, live.
        directory: answers the snapshot in force.
        counters: the hub's.
        opt_outs: who wants no texts.
        part_wait_us: how long the parts of one text are waited for; may be changed.

    Attributes:
        filtering: keeps texts back that have a way; None for no filters.
        answers: what carrier directories say of numbers; None for no directories.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        ways: Ways,
        directory: Callable[[], Directory],
        counters: Counters,
        opt_outs: OptOuts,
        part_wait_us: int = PART_WAIT_US,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ways = ways
        self._directory = directory
        self._counters = counters
        self._opt_outs = opt_outs
        self.part_wait_us = part_wait_us
        self._wholes: OrderedDict[Key, Whole] = OrderedDict()
        self.filtering: Filtering | None = None
        self.answers: EnumAnswers | None = None

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival], *, as_one: bool = False) -> list[Verdict]:
        """See ``hub.endpoint.Road.receive``; with ``as_one``, ``receive_as_one``."""
        await trio.lowlevel.checkpoint_if_cancelled()  # from here on, what is written is also settled
        self._counters.count("arrived", endpoint, len(arrivals))
        verdicts: list[Verdict | None] = [None] * len(arrivals)
        try:
            threads = await self._threads_of_desk(endpoint, arrivals) if endpoint.startswith("desk:") else None
        except StoreError as error:
            return self._refused(endpoint, verdicts, error)
        drafts: list[Draft] = []
        news: list[int] = []
        refused: Counter[str] = Counter()
        now_us = self._clock()
        for index, arrival in enumerate(arrivals):
            if arrival.receipt is not None:
                news.append(index)
                continue
            decided = self._decide(endpoint, arrival, threads[index] if threads is not None else None, now_us)
            if isinstance(decided, Reason):
                verdicts[index] = Rejected(decided)
                refused[decided.value] += 1
            else:
                source = arrival.source
                if threads is not None:
                    thread = threads[index]
                    known = thread if isinstance(thread, Thread) else None
                    source = routing.origin_of(self._directory(), decided.call_centre, decided.number, known)
                if arrival.concatenation is None and not arrival.text.isascii():
                    arrival = storable(arrival)
                drafts.append(Draft(index, arrival, decided, source))
        if refused:
            for reason, number in refused.items():
                self._counters.refuse(endpoint, reason, number)
            log.info("arrivals refused", endpoint=endpoint, reasons=dict(refused))
        if self.filtering is not None and drafts:
            drafts = self.filtering.sift(endpoint, drafts, verdicts)
        if drafts or news:
            replies = self._expect(endpoint, drafts) if threads is None else []
            if not await self._admission({draft.route.endpoint for draft in (*drafts, *replies)}):
                if self.filtering is not None:
                    self.filtering.take_back(endpoint, drafts)
                return self._refused(endpoint, verdicts, ENDPOINT_GONE)
            try:
                await self._write(endpoint, drafts, replies, [arrivals[i] for i in news], as_one=as_one)
            except (StoreError, Contention) as error:
                if self.filtering is not None:
                    self.filtering.take_back(endpoint, drafts)
                return self._refused(endpoint, verdicts, error)
        out: list[Draft] = []
        for draft in drafts:
            if draft.refused is not None:
                verdicts[draft.index] = Rejected(draft.refused, draft.refused_since_us)
                out.append(draft)
                continue
            own_id = int(draft.part.upstream_id) if as_one else draft.part_id or draft.message_id
            verdicts[draft.index] = Accepted(own_id, draft.token)
        for index in news:
            verdicts[index] = Accepted(0)
        if out:
            self._counters.refuse(endpoint, Reason.OPTED_OUT.value, len(out))
            log.info("arrivals refused", endpoint=endpoint, reasons={Reason.OPTED_OUT.value: len(out)})
            if self.filtering is not None:
                self.filtering.take_back(endpoint, out)
        self._counters.count("accepted", endpoint, len(drafts) - len(out))
        return verdicts  # type: ignore[return-value]  # every index was filled

    async def _admission(self, names: set[str]) -> bool:
        """Wait until these endpoints' arrivals may be reserved for. Returns: False when one was taken off the road."""
        for name in names:
            way = self._ways.get(name)
            if way is not None and way.must_wait:
                await way.admission()
        return all(name in self._ways for name in names)

    def _refused(self, endpoint: str, verdicts: list[Verdict | None], error: Exception | str) -> list[Verdict]:
        """The verdicts when nothing was written."""
        word = error if isinstance(error, str) else type(error).__name__
        log.warning("journal refused a batch", endpoint=endpoint, size=len(verdicts), error=word)
        self._counters.count("try_later", endpoint, verdicts.count(None))
        later = TryLater(5.0 if isinstance(error, StoreFull) else 1.0)
        return [later if verdict is None else verdict for verdict in verdicts]

    # --- before the write --------------------------------------------------------------------------------------------

    async def _threads_of_desk(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Thread | TokenError | None]:
        """The thread that each of a desk's arrivals names by token, or that is open between the two."""
        directory = self._directory()
        call_centre = call_centre_of(directory, endpoint)
        centre = directory.call_centre(call_centre)
        default = centre.default_number if centre is not None else ""

        def work(tx: Transaction) -> list[Thread | TokenError | None]:
            tokens = [arrival.token for arrival in arrivals if arrival.token]
            named = iter(registry.by_token(tx, call_centre, tokens) if tokens else ())
            found: list[Thread | TokenError | None] = []
            for arrival in arrivals:
                if arrival.token:
                    found.append(next(named))
                elif arrival.receipt is not None:
                    found.append(None)
                else:
                    number = arrival.source or default
                    found.append(registry.open_thread(tx, call_centre, number, arrival.destination))
            return found

        return await self._store.read(work)

    def _decide(
        self, endpoint: str, arrival: Arrival, thread: Thread | TokenError | None, now_us: int
    ) -> routing.Route | Reason:
        if len(arrival.text) > MAX_TEXT_CHARACTERS:
            return Reason.TOO_LONG
        directory = self._directory()
        if not endpoint.startswith("desk:"):
            if endpoint.startswith("account:") and not routing.may_send_as(endpoint[8:], arrival.source, directory):
                return Reason.NOT_ALLOWED
            route = routing.decide_from_network(arrival, directory, now_us, self.answers, endpoint)
        elif isinstance(thread, TokenError):
            if isinstance(thread, ForeignToken):
                desk = directory.desk(endpoint.removeprefix("desk:"))
                hidden = desk is not None and desk.foreign_token == "unknown"  # noqa: S105 - a policy
                return Reason.UNKNOWN_TOKEN if hidden else Reason.FOREIGN_TOKEN
            return Reason.EXPIRED_TOKEN if isinstance(thread, ExpiredToken) else Reason.UNKNOWN_TOKEN
        else:
            call_centre = call_centre_of(directory, endpoint)
            route = routing.decide_from_desk(arrival, call_centre, thread, directory, now_us, self.answers)
        if isinstance(route, routing.Route):
            if route.endpoint not in self._ways or route.endpoint == endpoint:  # never back where it came from
                return Reason.NO_ROUTE
            if route.call_centre and arrival.data is not None:
                return Reason.BAD_TEXT  # octets that are no text have no place in a conversation
        return route

    def _expect(self, endpoint: str, drafts: Sequence[Draft]) -> list[Draft]:
        """See which texts from outside to a call centre may be words. Returns: the answers that they may get."""
        replies: list[Draft] = []
        way = ""
        for draft in drafts:
            if draft.route.call_centre and len(draft.part.text) <= MAX_WORD_TEXT_CHARACTERS:
                if not way:  # back by where they came from
                    way = routing.conversation_way(endpoint, self._directory())
                    way = way if way in self._ways else endpoint
                reply = self._opt_outs.expect(way, draft)
                if reply is not None:
                    replies.append(reply)
        return replies

    def _watch(self, endpoint: str, drafts: Sequence[Draft]) -> None:
        """See which texts go to customers who may be out. Nothing may run between this and the submission."""
        opt_outs, from_desk = self._opt_outs, endpoint.startswith("desk:")
        if not opt_outs.senders and opt_outs.senders is not None and not from_desk:
            return  # nobody is out of anything
        for draft in drafts:
            if from_desk or not draft.route.call_centre:
                draft.watched = opt_outs.watches(draft.source, draft.route) or ATTRIBUTE in draft.part.attributes

    def _reserve(self, endpoint: str, drafts: Sequence[Draft], now_us: int, *, as_one: bool = False) -> bool:
        """Give out ids and places. Nothing may run between this and the submission of the write.

        Returns: whether the batch is plain: every draft's message is known already.
        """
        parts = len([draft for draft in drafts if draft.arrival.concatenation is not None])
        ids = iter(self._store.new_ids(len(drafts) + parts + as_one))
        if as_one:
            _share(next(ids), drafts)
        plain = not parts
        for draft in drafts:
            arrival, route = draft.arrival, draft.route
            if arrival.concatenation is not None:
                draft.part_id = next(ids)
                draft.complete = False
            draft.message_id = next(ids)
            way = draft.way = self._ways[route.endpoint]
            if route.call_centre or draft.watched:
                plain = False
            elif draft.complete:
                draft.message = self._message(endpoint, draft, now_us, None)
            draft.entry = way.reserve(
                draft.message_id, draft.message, draft.source, arrival.destination, draft.part.not_before_us, now_us
            )
        return plain

    def _message(self, endpoint: str, draft: Draft, now_us: int, thread: Thread | None, news: str = "") -> Message:
        arrival, route = draft.arrival, draft.route
        validity_us = arrival.validity_us or self._validity_us(route.endpoint)
        # The part's, by which its place was reserved; a time that has passed is none.
        not_before_us = draft.part.not_before_us if draft.part.not_before_us > now_us else 0
        return Message(
            id=draft.message_id,
            kind=Kind.TEXT,
            origin=endpoint,
            endpoint=route.endpoint,
            source=draft.source,
            destination=arrival.destination,
            text=arrival.text,
            data=arrival.data,
            receipt_wanted=arrival.receipt_wanted,
            upstream_id=arrival.upstream_id,
            received_us=now_us,
            expires_us=(not_before_us or now_us) + validity_us,
            not_before_us=not_before_us,
            call_centre=route.call_centre,
            thread_id=thread.id if thread is not None else 0,
            token=thread.token if thread is not None else "",
            designation=thread.address if thread is not None else "",
            thread_news=news,
            attributes={**arrival.attributes, ELEMENT: route.element} if route.element else arrival.attributes,
        )

    # --- the write ---------------------------------------------------------------------------------------------------

    async def _write(
        self, endpoint: str, drafts: list[Draft], replies: list[Draft], news: list[Arrival], *, as_one: bool
    ) -> None:
        now_us = self._clock()
        self._watch(endpoint, drafts)
        plain = self._reserve(endpoint, drafts, now_us, as_one=as_one)
        if replies:
            self._reserve(endpoint, replies, now_us)
        reserved = [*drafts, *replies] if replies else drafts
        found = receipts.News({}, [])
        try:
            if plain and not news:
                events = [("message", draft.message_id) for draft in drafts]
                rows = [(d.message, self._state(d)) for d in drafts if d.message is not None]
                ops = [journal.insert_messages(rows), feed.outbox(self._store, now_us, events)]
                ops += self._ways.bells_of((message for message, _ in rows), found)
                with trio.CancelScope(shield=True):
                    await self._store.commit(ops)
            else:
                with trio.CancelScope(shield=True):
                    found = await self._store.transact(lambda tx: self._in_writer(tx, endpoint, drafts, news, now_us))
        except BaseException as error:
            self._settle(reserved, None if _is_doubtful(error) else False)
            if news and _is_doubtful(error):
                self._look_for_receipts()
            raise
        self._settle(reserved, True)
        self._ways.ring(found.rung)
        if replies:
            self._opt_outs.heeded(endpoint, drafts, self._counters)
        for name, last_id in found.made.items():
            if name in self._ways:
                self._ways[name].receipts_made(found.first[name], last_id)
        self._counters.count("receipts_settled", endpoint, found.settled)
        self._counters.count("receipts_parked", endpoint, found.parked)
        self._counters.count("receipts_repeated", endpoint, found.repeated)

    def _look_for_receipts(self) -> None:
        """Nobody knows whether a write made receipts, nor for whom."""
        for way in self._ways.values():
            way.receipts_doubtful()

    @staticmethod
    def _state(draft: Draft) -> State:
        return State.SUBMITTING if draft.entry is not None and draft.entry.claimed else State.QUEUED

    def _in_writer(
        self, tx: Transaction, endpoint: str, drafts: Sequence[Draft], news: Sequence[Arrival], now_us: int
    ) -> receipts.News:
        """The transaction of a batch that is not plain. May run more than once: it sets, it never adds."""
        found = receipts.News({}, [])
        if news:
            self._take_receipts(tx, endpoint, news, now_us, found)
        watched = [draft for draft in drafts if draft.watched]
        if watched:
            self._opt_outs.check(tx, watched, now_us)
        self._assemble(tx, endpoint, [d for d in drafts if d.part_id and d.refused is None], now_us)
        complete = [draft for draft in drafts if draft.complete]
        words = [draft for draft in drafts if draft.reply is not None]
        if words:
            self._opt_outs.heed(tx, endpoint, words, now_us, found.events)
        self._thread(tx, endpoint, [d for d in complete if d.route.call_centre], now_us, found)
        for draft in complete:
            if not draft.route.call_centre:
                draft.message = self._message(endpoint, draft, now_us, None)
        for draft in words:
            reply = draft.reply
            if reply is not None and reply.complete:  # as if the desk had said it, in the thread of the word
                reply.message = self._message(draft.route.endpoint, reply, now_us, draft.thread)
                complete.append(reply)
        rows = [(draft.message, self._state(draft)) for draft in complete if draft.message is not None]
        if rows:
            tx.write(journal.insert_messages(rows))
        self._ways.write_bells(tx, (message for message, _ in rows), found)
        events = [*found.events, *(("message", draft.message_id) for draft in complete)]
        if events:
            tx.write(feed.outbox(self._store, now_us, events))
        return found

    def _take_receipts(
        self, tx: Transaction, endpoint: str, news: Sequence[Arrival], now_us: int, found: receipts.News
    ) -> None:
        final = [a for a in news if a.receipt is not None and a.receipt.state.is_final]
        if final:
            receipts.correlate(tx, endpoint, final, now_us, self._store.new_id, self._validity_us, found)

    def _validity_us(self, endpoint: str) -> int:
        way = self._ways.get(endpoint)
        return way.endpoint.validity_us if way is not None else GONE_VALIDITY_US

    def _assemble(self, tx: Transaction, endpoint: str, parts: Sequence[Draft], now_us: int) -> None:
        """Journal arriving parts; make whole texts of those that are complete."""
        if not parts:
            return
        deadline_us = now_us + self.part_wait_us
        waiting = self._waiting_parts(tx, [key_of(endpoint, d.part) for d in parts])
        wholes: dict[Key, Whole] = {}
        ended: list[tuple[int, int]] = []
        rows: list[tuple[Any, ...]] = []
        for draft in parts:
            arrival, c = draft.part, draft.part.concatenation
            assert c is not None  # noqa: S101 - parts have it
            key = key_of(endpoint, arrival)
            group = waiting.setdefault(key, {})
            whole = wholes.get(key) or self._whole(key, now_us)
            if group and whole and whole.has_all(group) and not whole.has(c.number, arrival):
                # What waited were repetitions of the text before this one.
                ended += [(i, whole.message_id) for i in ids_of(group)]
                group = waiting[key] = {}
            draft.complete, draft.whole, message_id = False, None, 0
            there = group.get(c.number)
            if there and digest(there[0][1]) != digest(arrival):
                # Another text begins. The one before goes on as it is, in the place reserved for this part.
                ended += [(i, draft.message_id) for i in ids_of(group)]
                draft.arrival, draft.complete = whole_of(group, c.total), True
                group = waiting[key] = {}
            group.setdefault(c.number, []).append((draft.part_id, arrival))
            if len(group) == c.total:
                draft.complete, message_id = True, draft.message_id
                ended += [(i, message_id) for i in ids_of(group) if i != draft.part_id]
                draft.arrival = whole_of(group, c.total)
                draft.whole = wholes[key] = Whole(key, message_id, group, now_us + REMEMBERED_WAITS * self.part_wait_us)
                del waiting[key]
            rows.append(
                (draft.part_id, message_id, *key[:4], c.total, c.number, deadline_us, journal.arrival_body(arrival))
            )
        tx.write(Op(journal.insert_arrived_part, rows))
        if ended:
            tx.write(Op(journal.complete_arrived_part, ended))

    def _whole(self, key: Key, now_us: int) -> Whole | None:
        whole = self._wholes.get(key)
        return whole if whole is not None and whole.until_us > now_us else None

    def _remember(self, wholes: Sequence[Whole], now_us: int) -> None:
        """Remember texts that were completed."""
        for whole in wholes:
            self._wholes[whole.key] = whole
            self._wholes.move_to_end(whole.key)
        while self._wholes:
            oldest = next(iter(self._wholes.values()))
            if len(self._wholes) <= MAX_WHOLES and oldest.until_us > now_us:
                break
            del self._wholes[oldest.key]

    @staticmethod
    def _waiting_parts(tx: Transaction, keys: Sequence[Key]) -> dict[Key, Group]:
        waiting: dict[Key, Group] = {}
        for row in sorted(tx.select(journal.select_waiting_parts, list(dict.fromkeys(key[1:4] for key in keys)))):
            group = waiting.setdefault((row[1], row[2], row[3], row[4], row[5]), {})
            group.setdefault(row[6], []).append((row[0], journal.arrival_of(row[7])))
        return waiting

    def _thread(
        self, tx: Transaction, endpoint: str, drafts: Sequence[Draft], now_us: int, found: receipts.News
    ) -> None:
        """Find or open the threads of texts, and complete their messages."""
        if not drafts:
            return
        directory = self._directory()
        desk = endpoint.startswith("desk:")
        wanted = [
            ThreadArrival(
                call_centre=d.route.call_centre,
                number=d.route.number,
                customer=d.route.customer,
                network_endpoint=d.route.endpoint if desk else endpoint,
                text=d.arrival.text,
                outbound=desk,
                designation=_writer(d.arrival) if desk else None,
            )
            for d in drafts
        ]
        rules = {name: routing.rules_of(directory, name) for name in {w.call_centre for w in wanted}}
        resolutions = registry.resolve(tx, wanted, rules, now_us, self._store.new_id)
        for draft, resolution in zip(drafts, resolutions, strict=True):
            thread = resolution.thread
            draft.token, draft.thread = thread.token, thread
            draft.message = self._message(endpoint, draft, now_us, thread, resolution.news)
            if resolution.news:
                found.events.append(("thread", thread.id, resolution.news))
            if resolution.closed is not None:
                found.events.append(("thread", resolution.closed.id, f"closed:{resolution.closed.close_reason}"))

    # --- after the write ---------------------------------------------------------------------------------------------

    def _settle(self, drafts: Sequence[Draft], committed: bool | None) -> None:
        """Hand what was reserved to the dispatchers, or take it back; with None nobody knows which."""
        now_us = self._clock()
        if committed:
            self._remember([draft.whole for draft in drafts if draft.whole is not None], now_us)
        settlements: dict[Dispatcher | Elsewhere, tuple[Settlement, Settlement]] = {}
        for draft in drafts:
            # Where its place was reserved: since then another node may have taken over the endpoint.
            way = draft.way
            assert way is not None  # noqa: S101 - all were reserved
            settlement = settlements.get(way)
            if settlement is None:
                settlement = settlements[way] = (Settlement(), Settlement())
            which = settlement[0 if committed and draft.complete else 1]
            if draft.entry is None:
                which.left.append(draft.message_id)
            else:
                draft.entry.message = draft.message
                which.entries.append(draft.entry)
        for way, (good, bad) in settlements.items():
            if way.is_over:
                continue  # taken off the road before the store answered: who brings it back finds them there
            if bad.entries or bad.left:
                take_back = way.commit_doubtful if committed is None else way.commit_failed
                take_back(bad.entries, bad.left, now_us)
            if good.entries or good.left:
                way.commit_done(good.entries, good.left, now_us)

    # --- texts whose parts do not come -------------------------------------------------------------------------------

    async def sweep(self, limit: int = 500) -> int:
        """Let texts go on whose wait for missing parts has ended. Returns: how many."""
        now_us = self._clock()
        query = journal.overdue_parts(now_us, limit, shared=self._store.is_shared)
        overdue = await self._store.read(lambda tx: tx.sql.execute(query).all())
        groups = {(row[1], row[2], row[3], row[4], row[5]): journal.arrival_of(row[6]) for row in overdue}
        for key, arrival in groups.items():
            decided = self._decide(key[0], arrival, None, now_us)
            if isinstance(decided, routing.Route) and await self._is_out(arrival, decided):
                decided = Reason.OPTED_OUT
            if isinstance(decided, routing.Route) and decided.endpoint not in self._ways:
                continue  # taken off the road while the ledger was asked: decided anew by the next sweep
            if isinstance(decided, Reason):
                await self._bury_waiting(key, decided, now_us)
            else:
                await self._give_up_waiting(key, arrival, decided, now_us)
        return len(groups)

    async def _is_out(self, arrival: Arrival, route: routing.Route) -> bool:
        """Whether a text in parts is to a customer who went out since its first part came."""
        if route.call_centre or not self._opt_outs.watches(arrival.source, route):
            return False
        text = (arrival.source, "", "", arrival.destination)
        return (await self._store.read(lambda tx: self._opt_outs.are_out(tx, [text])))[0]

    async def _give_up_waiting(self, key: Key, arrival: Arrival, route: routing.Route, now_us: int) -> None:
        """Let a text go on without the parts that did not come."""
        endpoint = key[0]
        draft = Draft(-1, arrival, route, arrival.source)
        drafts = [draft]
        self._reserve(endpoint, drafts, now_us)

        def work(tx: Transaction) -> receipts.News:
            found = receipts.News({}, [])
            group = self._waiting_parts(tx, [key]).get(key)
            draft.complete = False
            if not group:  # completed after all
                return found
            whole = self._whole(key, now_us)
            if whole is not None and whole.has_all(group):  # repetitions of a text that is complete
                tx.write(Op(journal.complete_arrived_part, [(i, whole.message_id) for i in ids_of(group)]))
                return found
            draft.complete = True
            tx.write(Op(journal.complete_arrived_part, [(i, draft.message_id) for i in ids_of(group)]))
            draft.arrival = whole_of(group, key[4])
            draft.message = self._message(endpoint, draft, now_us, None)
            if draft.route.call_centre:
                self._thread(tx, endpoint, drafts, now_us, found)
            tx.write(journal.insert_messages([(draft.message, self._state(draft))]))
            self._ways.write_bells(tx, [draft.message], found)
            tx.write(feed.outbox(self._store, now_us, [*found.events, ("message", draft.message_id)]))
            return found

        try:
            with trio.CancelScope(shield=True):
                found = await self._store.transact(work)
        except BaseException as error:
            self._settle(drafts, None if _is_doubtful(error) else False)
            raise
        self._settle(drafts, True)
        self._ways.ring(found.rung)
        if draft.complete and "missing" in draft.arrival.attributes:
            self._counters.count("incomplete", endpoint, 1)
            log.info("a text goes on with parts missing", endpoint=endpoint, total=key[4])

    async def _bury_waiting(self, key: Key, reason: Reason, now_us: int) -> None:
        """Make a dead letter of a text that there is no way for any more: its parts were acknowledged."""
        endpoint = key[0]

        def work(tx: Transaction) -> receipts.News:
            found = receipts.News({}, [])
            group = self._waiting_parts(tx, [key]).get(key)
            if not group:
                return found
            new_id = self._store.new_id
            arrival = whole_of(group, key[4])
            message = Message(
                id=new_id(),
                kind=Kind.TEXT,
                origin=endpoint,
                endpoint="",
                source=arrival.source,
                destination=arrival.destination,
                text=arrival.text,
                receipt_wanted=arrival.receipt_wanted,
                upstream_id=arrival.upstream_id,
                received_us=now_us,
                expires_us=now_us,
                attributes=arrival.attributes,
            )
            tx.write(Op(journal.complete_arrived_part, [(i, message.id) for i in ids_of(group)]))
            tx.write(journal.insert_messages([(message, State.DEAD)]))
            tx.write(
                Op(journal.move_message, [(message.id, State.DEAD.value, 0, 0, 0, NEVER_US, now_us, reason.value)])
            )
            word = ReceiptState.UNDELIVERABLE
            made = receipts.make_receipts(message, word, "000", now_us, new_id, self._validity_us)
            receipts.publish(tx, made, found)
            self._ways.write_bells(tx, (), found)
            tx.write(feed.outbox(self._store, now_us, [("message", message.id), ("dead", message.id, reason.value)]))
            return found

        try:
            found = await self._store.transact(work)
        except StoreError as error:
            if _is_doubtful(error):
                self._look_for_receipts()
            raise
        self._counters.die("", reason.value)
        self._ways.ring(found.rung)
        for name, last_id in found.made.items():
            if name in self._ways:
                self._ways[name].receipts_made(found.first[name], last_id)
        log.warning("a text in parts has no way to go any more", endpoint=endpoint, reason=reason.value)


def call_centre_of(directory: Directory, endpoint: str) -> str:
    """The tenant of a desk's endpoint, empty when the desk is gone."""
    desk = directory.desk(endpoint.removeprefix("desk:"))
    return desk.call_centre if desk is not None else ""


def _share(shared_id: int, drafts: Sequence[Draft]) -> None:
    """Give texts that came as one the id that their sender knows them by. Their own follow it: ``hub.requests``."""
    for draft in drafts:
        draft.arrival = draft.part = msgspec.structs.replace(draft.arrival, upstream_id=str(shared_id))


def _is_doubtful(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable) and error.in_doubt


def _writer(arrival: Arrival) -> Designation | None:
    """The CSR who wrote, as the translator names them."""
    address = arrival.attributes.get("from", "")
    return Designation("address", address) if address else None
