"""Opting out on the message path: what intake asks before its write, and in it.

Outbound: a number that nobody is out of costs one look into a set. Texts from the others are *watched*: the writer asks
the ledger for all of a batch in one query, and leaves out what it may not take. Because the writer decides, a text and
a STOP that cross each other are in one order, and nothing falls between: a number is in the set before the first STOP
to it is given to the writer, so what was not watched was given to the writer before, and is found waiting afterwards
(``opt_out_follower``).

Inbound: a text that may be a word gets a place for its answer before the write, as all texts do; the writer says
whether it is used. A text in parts is a word at most when its last part has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from hub import opt_out, opt_out_ledger, routing
from hub.drafts import Draft
from hub.model import Arrival, Reason
from hub.opt_out import ATTRIBUTE, CONFIRMATION, REQUEST, Entry, Verb, scope_of
from hub.opt_out_ledger import Change, Key
from hub.statistics import Counters
from provisioning import CallCentre, Directory
from store import Transaction

Events = list[tuple[str | int, ...]]


class OptOuts:
    """What is known in memory, and the decisions over the ledger.

    Args:
        directory: answers the snapshot in force.

    Attributes:
        changed: called when a customer went out; set by who looks for what waits for them.
        senders: numbers, and scopes of call centres, that somebody may be out of; None until they are loaded: then
            every text is watched.
    """

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self.senders: set[str] | None = None
        self.changed: Callable[[], None] = lambda: None
        self._directory = directory
        self._has_scopes = False

    def load(self, senders: Iterable[str]) -> None:
        """Take over what the ledger says at the start."""
        self.senders = set()
        self.learn(senders)

    def learn(self, senders: Iterable[str]) -> None:
        """Somebody goes out of these numbers or scopes; who comes in again is not unlearnt: that costs a query."""
        if self.senders is None:
            return
        for sender in senders:
            self.senders.add(sender)
            self._has_scopes |= sender[:1] == "*"

    # --- before the write --------------------------------------------------------------------------------------------

    def watches(self, source: str, route: routing.Route) -> bool:
        """Whether a text to a customer is to be looked up.

        Args:
            source: the address it comes from.
            route: where it goes.
        """
        senders = self.senders
        if not senders:
            return senders is None
        if source in senders or route.number in senders:
            return True
        return self._has_scopes and self._scope(source, route.call_centre) in senders

    def expect(self, way: str, draft: Draft) -> Draft | None:
        """Look at a customer's text to a call centre.

        Args:
            way: the endpoint that an answer would leave by.
            draft: the text; its ``word`` is set when it is one.

        Returns: the answer that it may get, for a place to be reserved; None when it gets none.
        """
        arrival, route = draft.part, draft.route
        centre = self._centre(route.call_centre)
        if centre is None or not _can_be_answered(route.customer):
            return None
        if arrival.concatenation is not None:
            if arrival.concatenation.total > opt_out.MAX_PARTS:
                return None
        else:
            draft.word = word = opt_out.read_word(arrival.text, centre.opt_out_languages)
            if word is None:
                return None
            if word.verb is Verb.YES and not self.watches(route.number, route):
                draft.word = None  # nobody is out: it answers a question of the desk's
                return None
            if word.verb is Verb.STOP:
                self.learn((route.number,))
            elif word.verb is Verb.STOP_ALL:
                self.learn((scope_of(route.call_centre),))
        source = routing.origin_of(self._directory(), route.call_centre, route.number, None)
        back = routing.Route(way, route.call_centre, route.number, route.customer, route.element)
        draft.reply = Draft(-1, Arrival(source=route.number, destination=route.customer), back, source)
        draft.reply.complete = False
        return draft.reply

    # --- in the writer -----------------------------------------------------------------------------------------------

    def check(self, tx: Transaction, drafts: Sequence[Draft], now_us: int) -> None:
        """Refuse texts to customers who are out; see to it that the desk's one request to opt in is on record."""
        keys = [self._keys_of(draft) for draft in drafts]
        found = opt_out_ledger.entries(tx, [key for each in keys for key in each])
        for draft, own in zip(drafts, keys, strict=True):
            draft.refused, draft.complete = None, draft.part_id == 0
            since_us = _out_since(found, own)
            asks = draft.part.attributes.get(ATTRIBUTE) == REQUEST
            if asks:
                draft.arrival = draft.part if since_us else _marked(draft.part, "")
            if since_us and not (asks and self._may_ask(tx, draft, own[0], since_us, now_us)):
                draft.refused, draft.refused_since_us, draft.complete = Reason.OPTED_OUT, since_us, False

    def are_out(self, tx: Transaction, texts: Sequence[tuple[str, str, str, str]]) -> list[bool]:
        """Whether customers are out of what texts come from.

        Args:
            tx: a transaction.
            texts: (source, number that the customer knows or empty, call centre or empty, customer) of each.
        """
        keys = [self._keys(source, number, centre, customer) for source, number, centre, customer in texts]
        found = opt_out_ledger.entries(tx, [key for each in keys for key in each])
        return [_out_since(found, own) > 0 for own in keys]

    def heed(self, tx: Transaction, endpoint: str, drafts: Sequence[Draft], now_us: int, events: Events) -> None:
        """Do what customers' words ask for. May run more than once: it sets, it never adds.

        Args:
            tx: the transaction.
            endpoint: where the texts came from.
            drafts: complete texts that may be words, in order; each one's ``decision``, its text's mark, and whether
                its ``reply`` is given and what it says, are set.
            now_us: now.
            events: is added to.
        """
        for draft in drafts:
            draft.decision = opt_out.ORDINARY
            if draft.reply is not None:
                draft.reply.complete = False
        said = [draft for draft in drafts if draft.complete and self._read(draft)]
        if not said:
            return
        opt_out_ledger.lock(tx)
        known = opt_out_ledger.entries_of_customers(tx, [draft.route.customer for draft in said])
        changes: list[Change] = []
        for draft in said:
            change = self._decide(endpoint, draft, known, now_us)
            if change is not None:
                known[change.entry.number, change.entry.customer] = change.entry
                changes.append(change)
        ids = opt_out_ledger.record(tx, changes, now_us)
        events += [(f"opted-{change.action}", number) for change, number in zip(changes, ids, strict=True)]

    def _read(self, draft: Draft) -> bool:
        """Find the word of a complete text, if it is one."""
        if draft.part_id:
            centre = self._centre(draft.route.call_centre)
            whole = centre is not None and "missing" not in draft.arrival.attributes
            draft.word = opt_out.read_word(draft.arrival.text, centre.opt_out_languages) if centre and whole else None
        else:
            draft.arrival = draft.part
        return draft.word is not None

    def _decide(self, endpoint: str, draft: Draft, known: Mapping[Key, Entry], now_us: int) -> Change | None:
        word, route, reply = draft.word, draft.route, draft.reply
        centre = self._centre(route.call_centre)
        assert word is not None and centre is not None  # noqa: S101, PT018 - they were found by ``_read``
        customer, scope = route.customer, scope_of(route.call_centre)
        own, everywhere = known.get((route.number, customer)), known.get((scope, customer))
        others = self._others(known, route) if word.verb is Verb.STOP_ALL else []
        draft.decision = decision = opt_out.decide(word.verb, own, everywhere, others)
        draft.arrival = _marked(draft.arrival, decision.mark)
        if decision.answer is not None and reply is not None:
            own_texts = (centre.opt_out_text, centre.opt_in_text, centre.help_text)
            said = opt_out.answer_text(
                decision.answer, centre.title or centre.name, centre.opt_out_languages, own_texts
            )
            reply.arrival = msgspec.structs.replace(reply.part, text=said, attributes={ATTRIBUTE: CONFIRMATION})
            reply.complete = True
        if decision.becomes_out is None:
            return None
        entry = Entry(
            number=scope if decision.for_all else route.number,
            customer=customer,
            is_out=decision.becomes_out,
            since_us=opt_out.since_after(now_us, own, everywhere, *others),
            how="keyword",
            who=endpoint,
            word=word.spelling,
        )
        return Change("out" if entry.is_out else "in", entry, message_id=draft.message_id)

    def _others(self, known: Mapping[Key, Entry], route: routing.Route) -> list[Entry]:
        """What is known of a customer and the other numbers of a call centre."""
        return [
            entry
            for (number, customer), entry in known.items()
            if customer == route.customer
            and number != route.number
            and number[:1] != "*"
            and self._call_centre_of(number) == route.call_centre
        ]

    def _may_ask(self, tx: Transaction, draft: Draft, key: Key, since_us: int, now_us: int) -> bool:
        """Whether this is the desk's one text to somebody who is out; then it is put on record."""
        number, customer = key
        opt_out_ledger.lock(tx)
        if opt_out_ledger.was_overridden(tx, number, customer, since_us):
            return False
        who = draft.part.attributes.get("from", "")
        entry = Entry(number, customer, is_out=True, since_us=since_us, how="desk", who=who)
        opt_out_ledger.record(tx, [Change("override", entry, message_id=draft.message_id)], now_us)
        return True

    # --- after the write ---------------------------------------------------------------------------------------------

    def heeded(self, endpoint: str, drafts: Iterable[Draft], counters: Counters) -> None:
        """What words came to is in the journal: count it, and have what waits for those who went out ended."""
        for draft in drafts:
            decision = draft.decision
            if decision.becomes_out:
                counters.count("opted_out", endpoint)
                self.learn((scope_of(draft.route.call_centre) if decision.for_all else draft.route.number,))
                self.changed()
            elif decision.becomes_out is False:
                counters.count("opted_in", endpoint)
            elif decision.mark == "help":
                counters.count("help_asked", endpoint)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _centre(self, name: str) -> CallCentre | None:
        """A call centre that enforces opt-outs, else None."""
        centre = self._directory().call_centres.get(name)
        return centre if centre is not None and centre.opt_out == "enforce" else None

    def _keys_of(self, draft: Draft) -> list[Key]:
        route = draft.route
        return self._keys(draft.source, route.number, route.call_centre, route.customer or draft.part.destination)

    def _keys(self, source: str, number: str, call_centre: str, customer: str) -> list[Key]:
        """What to look up for a text, the number that the customer knows first; empty where nothing is enforced."""
        call_centre = call_centre or self._call_centre_of(source)
        if call_centre and self._centre(call_centre) is None:
            return []
        keys = dict.fromkeys([(number or source, customer), (source, customer)])
        return [*keys, (scope_of(call_centre), customer)] if call_centre else [*keys]

    def _scope(self, source: str, call_centre: str) -> str:
        return scope_of(call_centre or self._call_centre_of(source))

    def _call_centre_of(self, source: str) -> str:
        number = self._directory().number(source)
        return number.call_centre if number is not None else ""


def _can_be_answered(customer: str) -> bool:
    """Whether an address is a number: a name cannot be texted, and says nothing that it means."""
    return customer.removeprefix("+").isdecimal() and customer.isascii()


def _out_since(found: Mapping[Key, Entry], keys: Sequence[Key]) -> int:
    """Since when a customer is out of any of these keys.

    The first is of the number that they know; the last is the call centre's when it begins with ``*``. The address that
    the texts carry counts by what it was sent itself: where it is a name, nobody could undo a STOPALL for it.
    """
    if not keys:
        return 0
    everywhere = found.get(keys[-1]) if keys[-1][0][:1] == "*" else None
    carried = [
        entry for key in keys[1:] if key[0][:1] != "*" and (entry := found.get(key)) is not None and entry.is_out
    ]
    return max(opt_out.out_since(entry, everywhere) for entry in (found.get(keys[0]), *carried))


def _marked(arrival: Arrival, mark: str) -> Arrival:
    """A text with a mark, or without one."""
    if not mark and ATTRIBUTE not in arrival.attributes:
        return arrival
    attributes = {name: value for name, value in arrival.attributes.items() if name != ATTRIBUTE}
    if mark:
        attributes[ATTRIBUTE] = mark
    return msgspec.structs.replace(arrival, attributes=attributes)
