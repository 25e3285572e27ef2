"""Which rule a message is kept by, and until when. Pure (H36).

1. A message has *ended* when nothing can change it any more: a receipt says what became of it, or it was given up, or
   it was handed over and the time in which a receipt may still come (its validity) is over. Before, no rule applies.
2. Of the rules that fit, the first by ``order`` (then by name) decides. A message that none fits is kept for ever.
3. It is *due* when the rule's period after its end has passed.
4. What a legal hold fits is not touched, whatever a rule says, nor anything that somebody asked to be erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from hub.model import Kind, State
from provisioning.keeping import LegalHold, Retention

DAY_US = 86_400_000_000
NEVER_US = 1 << 62
SLACK_SHARE = (
    20  # a message is first looked at a twentieth of its period after that has passed, so that most have ended
)
LEAST_SLACK_US = 10_000_000
MOST_SLACK_US = 3_600_000_000


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What rules ask of a message.

    Attributes:
        id, state, source, destination, call_centre: the message's.
        type: ``text``, ``binary`` or ``receipt``.
        characters: of its text.
        received_us, expires_us, done_us: its times.
        customer: its thread's customer, empty when it has no thread.
        topic: its thread's product, or empty.
    """

    id: int
    state: State
    source: str
    destination: str
    call_centre: str
    type: str
    characters: int
    received_us: int
    expires_us: int
    done_us: int
    customer: str = ""
    topic: str = ""


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What is to be done with a message.

    Attributes:
        rule: the rule that decides, None when none does.
        due_us: when it may go; ``NEVER_US`` when no rule decides.
        again_us: not ended yet: look at it again then. 0 otherwise.
        hold: the legal hold that keeps it, or empty.
    """

    rule: Retention | None = None
    due_us: int = NEVER_US
    again_us: int = 0
    hold: str = ""

    def is_due(self, now_us: int) -> bool:
        """Whether it goes now."""
        return not self.hold and not self.again_us and self.due_us <= now_us


def type_of(kind: Kind, has_data: bool) -> str:
    """The type of a message, in the words of a rule."""
    if kind is Kind.RECEIPT:
        return "receipt"
    return "binary" if has_data else "text"


def class_of(state: State) -> str:
    """The class of a message that has ended, in the words of a rule."""
    return "handed-over" if state is State.ACCEPTED else state.name.lower()


def ended_us(subject: Subject, now_us: int) -> int:
    """When a message ended; 0 while it has not."""
    if subject.state < State.ACCEPTED:
        return 0
    if subject.state is State.ACCEPTED:
        return subject.expires_us if subject.expires_us <= now_us else 0
    return max(subject.done_us, 1)


def matches(pattern: str, address: str) -> bool:
    """Whether an address is the pattern's, or begins as it does before ``*``."""
    return address.startswith(pattern[:-1]) if pattern[-1:] == "*" else address == pattern


def _day_us(day: str) -> int:
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000


class Holds:
    """Legal holds, ready to be asked."""

    def __init__(self, holds: Iterable[LegalHold]) -> None:
        self.by_call_centre: dict[str, list[tuple[LegalHold, int, int]]] = {}
        for hold in sorted(holds, key=lambda each: each.name):
            since_us = _day_us(hold.received_from) if hold.received_from else 0
            until_us = _day_us(hold.received_until) + DAY_US if hold.received_until else NEVER_US
            self.by_call_centre.setdefault(hold.call_centre, []).append((hold, since_us, until_us))

    def of(self, call_centre: str, parties: Sequence[str], received_us: int) -> str:
        """The hold that a message is under, or empty.

        Args:
            call_centre: the message's.
            parties: who may be the customer.
            received_us: when it came.
        """
        for hold, since_us, until_us in self.by_call_centre.get(call_centre, ()):
            if since_us <= received_us < until_us and _names_one(hold, parties):
                return hold.name
        return ""

    def of_customer(self, call_centre: str, customer: str) -> str:
        """A hold that a customer's thread is under, whatever its days, or empty."""
        for hold, _, _ in self.by_call_centre.get(call_centre, ()):
            if _names_one(hold, (customer,)):
                return hold.name
        return ""


def _names_one(hold: LegalHold, parties: Sequence[str]) -> bool:
    return not hold.customers or any(matches(pattern, party) for pattern in hold.customers for party in parties)


class Rulebook:
    """The rules and holds of a moment.

    Attributes:
        rules: in the order in which they are tried.
        holds: what no rule may touch.
        periods_us: the periods of all rules, each once, rising.
        fingerprint: differs when a rule or a hold does.
    """

    def __init__(self, rules: Iterable[Retention] = (), holds: Sequence[LegalHold] = ()) -> None:
        self.rules = sorted(rules, key=lambda rule: (rule.order, rule.name))
        self.holds = Holds(holds)
        self.periods_us = sorted({period_us(rule) for rule in self.rules})
        kept = sorted(holds, key=lambda each: each.name)
        self.fingerprint = msgspec.json.encode([self.rules, kept]).decode()

    def decide(self, subject: Subject, now_us: int) -> Ruling:
        """What is to be done with a message. See the module's head."""
        end_us = ended_us(subject, now_us)
        if not end_us:
            return Ruling(again_us=max(subject.expires_us, now_us) + LEAST_SLACK_US)
        parties = (subject.customer,) if subject.customer else (subject.source, subject.destination)
        hold = self.holds.of(subject.call_centre, parties, subject.received_us)
        rule = next((rule for rule in self.rules if _fits(rule, subject)), None)
        if rule is None:
            return Ruling(hold=hold)
        return Ruling(rule, end_us + period_us(rule), 0, hold)

    def thread_period_us(self, call_centre: str) -> int:
        """How long threads without messages are kept after their end: as the longest-kept message might be.

        ``NEVER_US`` when no rule may apply to the call centre.
        """
        periods = [period_us(rule) for rule in self.rules if rule.call_centre in ("", call_centre)]
        return max(periods, default=NEVER_US)


def period_us(rule: Retention) -> int:
    """A rule's period."""
    return round(rule.period_days * DAY_US)


def slack_us(period: int) -> int:
    """How long after a period has passed since its arrival a message is first looked at."""
    return min(max(period // SLACK_SHARE, LEAST_SLACK_US), MOST_SLACK_US)


def _fits(rule: Retention, subject: Subject) -> bool:
    return (
        rule.call_centre in ("", subject.call_centre)
        and (not rule.types or subject.type in rule.types)
        and (not rule.classes or class_of(subject.state) in rule.classes)
        and subject.characters >= rule.least_characters
        and (not rule.origins or any(matches(each, subject.source) for each in rule.origins))
        and (not rule.destinations or any(matches(each, subject.destination) for each in rule.destinations))
        and (not rule.topics or subject.topic in rule.topics)
    )
