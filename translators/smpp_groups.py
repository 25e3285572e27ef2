"""Groups: several links as one endpoint. A thin trio shell; which link carries a part is decided in ``preference``.

A group is cut, laned and dispatched like any endpoint, and hands each part to the link whose turn it is. The members'
own dispatchers go on beside it (for texts that name a link): both give into the same room, and what finds none comes
back UNSENT. A member tells apart what the group gave by the message's endpoint, and hands those outcomes to ``settle``.

**Written once.** A text is cut by the member that would take it now, in that member's dialect. Members that write alike
share a *hand*; only when a part goes to a member with another hand is the text written again.

**Members come and go** while texts are on their way. A link keeps its index for as long as the daemon runs, so that an
answer that comes late, and who has refused what, mean the same member. A text that was cut in another *era* is given to
the members of this one, and written again by whoever carries it.

**Aside.** A part that a member has refused for good can only go by the others. While these are bound and full it waits
here, and counts against the group's room: the dispatcher gives no faster than parts go, and nothing turns in circles.

Source: docs/discussion/failover.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import trio

from hub.endpoint import Road
from hub.errors import Unsplittable
from hub.model import Message, Outcome, Part, Result
from smpp.constants import CommandStatus, status_name
from translators.preference import Preference, Refusals, turned
from translators.smpp_endpoint import SmppEndpoint

CONDEMNED: Final = frozenset(
    status_name(status)
    for status in (CommandStatus.ESME_RINVMSGLEN, CommandStatus.ESME_RINVEXPIRY, CommandStatus.ESME_RINVSCHED)
)
"""Refusals that would be the same on any link: all cut alike, and the times are the message's own."""

AT_ONCE_US: Final = 1


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one group is told.

    Attributes:
        name: the endpoint will be ``group:<name>``.
        members: (link's name, weight) of each.
        standby: links that are used while none of ``members`` is bound; they share alike.
        resend_refused: whether what one link refuses for good is tried by the others.
        gap_us, validity_us, max_attempts: see ``hub.endpoint.Endpoint``.
    """

    name: str
    members: tuple[tuple[str, int], ...]
    standby: tuple[str, ...] = ()
    resend_refused: bool = True
    gap_us: int = 100_000
    validity_us: int = 86_400_000_000
    max_attempts: int = 12


class _Cut(msgspec.Struct, frozen=True, gc=False):
    """The payload of a group's part: what was written, by whose hand, which members the pair prefers, and when."""

    pdu: Any
    hand: int
    order: tuple[int, ...]
    era: int


class SmppGroup:
    """One group. Make it before its links run.

    Args:
        settings: see ``GroupSettings``.
        members: links by name; those that the settings name are taken.
        road: the hub.
        clock: now in microseconds.

    Attributes:
        carried: (link's endpoint, result in small letters) → how many parts of the group.

    Raises: KeyError: the settings name a link that is not there.
    """

    def __init__(
        self, settings: GroupSettings, members: Mapping[str, SmppEndpoint], road: Road, clock: Callable[[], int]
    ) -> None:
        self.name = f"group:{settings.name}"
        self.carried: Counter[tuple[str, str]] = Counter()
        self._links: list[SmppEndpoint] = []  # all that ever were members
        self._index: dict[str, int] = {}  # link's endpoint → its place there
        self._era = 0
        self._adopt(settings, members)
        self._refusals = Refusals()
        self._aside: list[Part] = []
        self._owed: list[Outcome] = []  # of parts that no link could be given
        self._chores = trio.Event()
        self._road = road
        self._clock = clock

    def adopt(self, settings: GroupSettings, members: Mapping[str, SmppEndpoint]) -> None:
        """Keep to other settings of the same group from now on, or to its members' new ones. The hub is to be told.

        Raises: KeyError: the settings name a link that is not there; nothing has changed.
        """
        self._adopt(settings, members)
        self.freed()

    def _adopt(self, settings: GroupSettings, members: Mapping[str, SmppEndpoint]) -> None:
        weighted = [*settings.members, *((name, 1) for name in settings.standby)]
        now = [members[name] for name, _ in weighted]
        for link in now:
            if link not in self._links:
                self._links.append(link)
            self._index[link.name] = self._links.index(link)
            link.join(self)
        indices = [self._index[link.name] for link in now]
        self.settings = settings
        self.gap_us = settings.gap_us
        self.source_gap_us = max((link.source_gap_us for link in now), default=0)
        self.validity_us = settings.validity_us
        self.max_attempts = settings.max_attempts
        self._regular: Sequence[int] = indices[: len(settings.members)]
        self._standby: Sequence[int] = indices[len(settings.members) :]
        self._preference = Preference(weighted, indices)
        self._hands = _hands(self._links)
        self._era += 1

    def close(self) -> None:
        """Take nothing more: as if no member were bound. What waits aside goes back to the hub."""
        self._regular = self._standby = ()
        self.freed()

    # --- hub.endpoint.Endpoint ---------------------------------------------------------------------------------------

    def split(self, message: Message) -> Sequence[Any]:
        """See ``hub.endpoint.Endpoint``. The members cut alike; who is bound decides only whose hand it is in."""
        order = self._preference.order(message.source, message.destination)
        bound = self._bound()
        writer = next((index for index in order if index in bound), order[0])
        hand, era = self._hands[writer], self._era
        return [_Cut(pdu, hand, order, era) for pdu in self._links[writer].split(message)]

    def room(self) -> int:
        """See ``hub.endpoint.Endpoint``."""
        return max(0, sum([self._links[index].room() for index in self._bound()]) - len(self._aside))

    def deliver(self, parts: Sequence[Part]) -> None:
        """See ``hub.endpoint.Endpoint``."""
        links = self._links
        room = {index: links[index].room() for index in self._bound()}
        batches: dict[int, list[Part]] = {}
        for part in parts:
            cut = part.payload
            refusers, reason = self._refusals.of(part.message.id, part.number) if self._refusals else ((), "")
            asked: Sequence[int] = cut.order
            if cut.era != self._era:
                asked = self._preference.order(part.message.source, part.message.destination)
            if refusers or part.attempt > 1:
                asked = turned(asked, room.keys() - refusers, part.attempt)
            carrier = next((index for index in asked if room.get(index, 0) > 0), None)
            if carrier is not None:
                room[carrier] -= 1
                batches.setdefault(carrier, []).append(part)
            elif not room:
                self._owe(Outcome(part, Result.UNSENT))
            elif refusers and not room.keys() - refusers:  # who has not refused it is away
                self._owe(Outcome(part, Result.RETRY, reason=reason))
            else:
                self._aside.append(part)
        for index, batch in batches.items():
            links[index].deliver([part for part in [self._written(part, index) for part in batch] if part is not None])

    # --- the members' side -------------------------------------------------------------------------------------------

    async def settle(self, link: str, outcomes: Sequence[Outcome]) -> None:
        """Report what became of parts that a member was given.

        Args:
            link: the member's endpoint.
            outcomes: as the member would report its own.
        """
        member = self._index[link]
        self.carried.update([(link, outcome.result.name.lower()) for outcome in outcomes])
        await self._road.report(self.name, [self._judged(member, outcome) for outcome in outcomes])

    def freed(self) -> None:
        """A member has room, was bound, or is gone: what can be given may have changed."""
        if self._aside:
            waiting, self._aside = self._aside, []
            self.deliver(waiting)
        self._road.wake(self.name)

    async def do_chores(self) -> None:
        """Report what no link could be given. Runs until cancelled: for as long as the hub runs."""
        while True:
            await self._chores.wait()
            self._chores = trio.Event()
            owed, self._owed = self._owed, []
            await self._road.report(self.name, owed)

    def waiting(self) -> int:
        """How many parts wait aside for links that have not refused them."""
        return len(self._aside)

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _bound(self) -> list[int]:
        """The members that take part now: those of ``members`` that are bound, or else the standbys that are."""
        links = self._links
        bound = [index for index in self._regular if links[index].is_bound]
        return bound or [index for index in self._standby if links[index].is_bound]

    def _judged(self, member: int, outcome: Outcome) -> Outcome:
        """A member's outcome, as the group means it."""
        result, message_id = outcome.result, outcome.part.message.id
        if result is Result.ACCEPTED:
            if self._refusals:
                self._refusals.forget(message_id)
            return outcome
        if result is Result.THROTTLED and not self._links[member].room():  # else it was one handset's queue
            refusers = self._refusals.of(message_id, outcome.part.number)[0]
            others = [index for index in self._bound() if index != member and index not in refusers]
            if any(self._links[index].room() for index in others):
                return msgspec.structs.replace(outcome, retry_after_us=AT_ONCE_US)
        if result is Result.REFUSED and self.settings.resend_refused and outcome.reason not in CONDEMNED:
            return self._refused(member, outcome)
        return outcome

    def _refused(self, member: int, outcome: Outcome) -> Outcome:
        message_id = outcome.part.message.id
        refusers = self._refusals.note(message_id, outcome.part.number, member, outcome.reason)
        if any(index not in refusers for index in self._bound()):
            return Outcome(outcome.part, Result.REROUTED, reason=outcome.reason)
        if any(index not in refusers for index in self._regular):
            return Outcome(outcome.part, Result.RETRY, reason=outcome.reason)
        self._refusals.forget(message_id)
        return outcome

    def _written(self, part: Part, index: int) -> Part | None:
        """The part as a member writes it; None when it cannot, which is then owed to the hub."""
        cut = part.payload
        pdu = cut.pdu
        if self._hands[index] != cut.hand or cut.era != self._era:
            try:
                pdus = self._links[index].split(part.message)
                if len(pdus) != part.total and cut.era != self._era:
                    return _carrying(part, pdu)  # begun before the members cut otherwise: it ends as it began
                reason = "" if len(pdus) == part.total else "split-differently"
            except Unsplittable as error:
                pdus, reason = (), error.reason
            if reason:
                self._owe(self._judged(index, Outcome(part, Result.REFUSED, reason=reason)))
                return None
            pdu = pdus[part.number - 1]
        return _carrying(part, pdu)

    def _owe(self, outcome: Outcome) -> None:
        self._owed.append(outcome)
        self._chores.set()


def _carrying(part: Part, pdu: Any) -> Part:
    return Part(part.message, part.number, part.total, pdu, part.attempt, part.in_doubt)


def _hands(links: Sequence[SmppEndpoint]) -> list[int]:
    """For each link, the first one that writes as it does."""
    dialects = [link.dialect for link in links]
    return [dialects.index(dialect) for dialect in dialects]
