"""Filters: what intake turns away although there is a way for it. Pure; time is an argument, memory is bounded.

| filter | what it counts | beyond it |
| --- | --- | --- |
| volume trap | texts from outside to one number of a call centre | ``TOO_MUCH``, for now |
| loop guard | one text between two parties, either way | ``FILTERED``, for good |
| URL list | texts that name a listed host | ``FILTERED``, for good |
| daily limit | texts that an account has sent today | ``TOO_MUCH``, for now |
| repetitions | a text of an account like one before | answered as the first was, not sent |

**Two kinds of refusal need an order.** What is refused for now comes again. Were it counted as a text each time, a
handful of tries would look like a loop, which is refused for good: a text would be lost that was only early. So a text
is counted by nothing that can refuse for good before all has let it pass that refuses for now, and what intake could
not journal after all is taken back.

**Why a loop is known by its text.** Two programs that answer each other send the same few texts to and fro, as fast as
they can; a text that two hubs route to each other comes by again and again. People say the same thing twice, not
twenty times a minute. A loop that makes more than ``n`` rounds in ``w`` seconds comes by every ``w/n`` seconds at
least: remembering what came in that time is enough, however long the whole list of a minute would be.

**Volumes** are counted in slots, of which the current one and the ``SLOTS`` - 1 before it make the time: never more
than the limit passes in any such time, and what is refused may be refused a slot too long.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from hub.model import Arrival, Reason
from hub.quota import Quotas
from hub.url_list import UrlFilter, UrlList

SLOTS: Final = 13  # the current one and twelve: what is refused too long is a twelfth of the time
LOOP_GENERATION: Final = 65_536  # texts, some 110 octets each, twice; a loop of 20 a minute is seen at 20,000 a second
TRAP_GENERATION: Final = 50_000  # numbers that texts came to lately, some 250 octets each, twice
REPETITIONS: Final = 50_000  # texts remembered for one account, some 250 octets each

V = TypeVar("V")


class FilterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all texts.

    Attributes:
        url_list_file: hosts that no text may name, empty for none.
        loop_texts: how often a text may go between two parties in ``loop_us``; 0: as often as it likes.
        loop_us: microseconds.
    """

    url_list_file: str = ""
    loop_texts: int = 20
    loop_us: int = 60_000_000


class Volumes(Protocol):
    """What to expect of numbers that are on a white list: ``hub.volumes.ExpectedVolumes``."""

    def texts(self, number: str) -> int:
        """How many texts within the trap's time; 0 of a number on no list."""
        ...


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """A call centre's volume trap: so many texts to each of its numbers.

    Attributes:
        texts: at most.
        over_us: in so many microseconds.
        exceptions: the white list: senders who are not counted, or their beginnings ended by ``*``.
        volumes: what is to be expected of numbers that carriers' white lists name; None when none is named.
    """

    texts: int
    over_us: int
    exceptions: tuple[str, ...] = ()
    volumes: Volumes | None = None

    def limit(self, number: str) -> int:
        """How many texts one of its numbers may be sent: more when a white list says so, never fewer."""
        return self.texts if self.volumes is None else max(self.texts, self.volumes.texts(number))


class FilterRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is provisioned for one sender or recipient.

    Attributes:
        per_day: account's endpoint → texts that it may send in a day.
        repetition_us: account's endpoint → for how long its texts are held against each other.
        traps: call centre → its volume trap.
    """

    per_day: Mapping[str, int] = {}
    repetition_us: Mapping[str, int] = {}
    traps: Mapping[str, Trap] = {}


class SlidingCount:
    """How often something happened in the last while, to a slot.

    Attributes:
        total: how often, up to the slot that it was last asked in.
    """

    __slots__ = ("_counts", "_slot", "total")

    def __init__(self) -> None:
        self._counts = [0] * SLOTS
        self._slot = 0
        self.total = 0

    def take(self, limit: int, slot: int) -> bool:
        """Count one more if that is within the limit. Returns: whether it is."""
        if slot > self._slot:
            self._advance(slot)
        if self.total >= limit:
            return False
        self.total += 1
        self._counts[self._slot % SLOTS] += 1
        return True

    def take_back(self, slot: int) -> None:
        """One that was counted did not happen after all."""
        if slot > self._slot:
            self._advance(slot)
        for back in range(SLOTS):
            at = (self._slot - back) % SLOTS
            if self._counts[at]:
                self._counts[at] -= 1
                self.total -= 1
                return

    def _advance(self, slot: int) -> None:
        counts = self._counts
        if slot - self._slot >= SLOTS:
            counts[:] = [0] * SLOTS
            self.total = 0
        else:
            for passed in range(self._slot + 1, slot + 1):
                self.total -= counts[passed % SLOTS]
                counts[passed % SLOTS] = 0
        self._slot = slot


class Recent(Generic[V]):
    """Values of the keys that were last asked for: of so many at least, of twice so many at most.

    Two generations, of which the elder is forgotten when the younger is full: an LRU list would cost every text a move.

    Args:
        size: entries of a generation.
    """

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[int | str, V] = {}
        self._old: dict[int | str, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: int | str) -> V | None:
        """The value of a key, if it is still known."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def first(self, key: int | str, value: V) -> V | None:
        """The value of a key, if it is still known; else this one is remembered."""
        known = self._young.get(key)
        if known is None:
            known = self._old.pop(key, None)
            self.put(key, value if known is None else known)
        return known

    def put(self, key: int | str, value: V) -> None:
        """Remember a value."""
        if len(self._young) >= self._size:
            self.age()
        self._young[key] = value

    def age(self) -> None:
        """Forget what was not asked for since the last call, or since the generation was full."""
        self._old = self._young
        self._young = {}


class VolumeTraps:
    """How many texts each number was sent lately (H7)."""

    def __init__(self) -> None:
        self._counts: Recent[SlidingCount] = Recent(TRAP_GENERATION)

    def take(self, number: str, texts: int, over_us: int, now_us: int) -> bool:
        """Count a text to a number. Returns: False when it is beyond ``texts`` in ``over_us``; then it counts not."""
        count = self._counts.get(number)
        if count is None:
            count = SlidingCount()
            self._counts.put(number, count)
        return count.take(texts, now_us // _slot_us(over_us))

    def take_back(self, number: str, over_us: int, now_us: int) -> None:
        """One that was counted was not taken after all."""
        count = self._counts.get(number)
        if count is not None:
            count.take_back(now_us // _slot_us(over_us))


class LoopGuard:
    """Whether a text goes to and fro.

    Args:
        texts: how often it may go between two parties in ``over_us``; 0: as often as it likes.
        over_us: microseconds.
    """

    def __init__(self, texts: int, over_us: int) -> None:
        self.texts = texts
        self.over_us = over_us
        self._slot_us = _slot_us(over_us)
        self._aged_us = 0
        # A text that came once is the time when it came: nearly all come once.
        self._seen: Recent[int | SlidingCount] = Recent(LOOP_GENERATION)

    def __len__(self) -> int:
        return len(self._seen)

    def take(self, source: str, destination: str, arrival: Arrival, now_us: int) -> bool:
        """Count a text between two parties. Returns: False when it went between them too often; not counted then."""
        if now_us - self._aged_us > self.over_us:
            self._seen.age()
            self._aged_us = now_us
        key = _loop_key(source, destination, arrival)
        seen = self._seen.first(key, now_us)
        if seen is None:  # nearly always
            return True
        if isinstance(seen, int):
            first, seen = seen, SlidingCount()
            seen.take(self.texts, first // self._slot_us)
            self._seen.put(key, seen)
        return seen.take(self.texts, now_us // self._slot_us)

    def take_back(self, source: str, destination: str, arrival: Arrival, now_us: int) -> None:
        """One that was counted was not taken after all."""
        key = _loop_key(source, destination, arrival)
        seen = self._seen.get(key)
        if isinstance(seen, SlidingCount):
            seen.take_back(now_us // self._slot_us)
        elif seen is not None:
            self._seen.put(key, SlidingCount())


def _slot_us(over_us: int) -> int:
    return max(1, over_us // (SLOTS - 1))


def _loop_key(source: str, destination: str, arrival: Arrival) -> int:
    """A name for a text between two parties, the same for both directions.

    Python's own hash: its key is drawn anew for each process, so nobody can make texts that share one. It costs a third
    of a digest, for each text that passes. Of a text in parts each part is counted alone: its parts may be alike.
    """
    data, c = arrival.data, arrival.concatenation
    # The last is there to tell octets from characters: those that are alike have one hash.
    key = hash(source) ^ hash(destination) ^ (hash(arrival.text) if data is None else ~hash(data))
    return key if c is None else hash((key, c.number))


class Repetitions:
    """What an account's texts were answered with, so that the same text soon after is answered alike.

    Only what was journalled is remembered, and only in memory. The digest is a cryptographic one of 128 bits: two
    texts with one digest would be one text lost.

    Args:
        over_us: how long a text counts as said.
    """

    def __init__(self, over_us: int) -> None:
        self.over_us = over_us
        self._answers: OrderedDict[bytes, tuple[int, int]] = OrderedDict()  # digest → id, until
        self._digests: dict[int, bytes] = {}  # id → digest

    def __len__(self) -> int:
        return len(self._answers)

    @staticmethod
    def digest(arrival: Arrival) -> bytes:
        """What two texts share that are one: parties, content, and for parts which part of which text they are."""
        c = arrival.concatenation
        place = (c.reference, c.total, c.number) if c is not None else (0, 0, 0)
        head = repr((arrival.source, arrival.destination, *place, arrival.attributes.get("udh", ""))).encode()
        if arrival.data is None:
            return blake2b(head + b"\0t" + arrival.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return blake2b(head + b"\0d" + arrival.data, digest_size=16).digest()

    def answer(self, digest: bytes, now_us: int) -> int | None:
        """The id that the first was answered with; None when this is the first."""
        known = self._answers.get(digest)
        return known[0] if known is not None and now_us < known[1] else None

    def remember(self, digest: bytes, message_id: int, now_us: int) -> None:
        """A text was journalled under this id."""
        answers = self._answers
        before = answers.get(digest)
        if before is not None:
            del self._digests[before[0]]
        answers[digest] = (message_id, now_us + self.over_us)
        answers.move_to_end(digest)
        self._digests[message_id] = digest
        while answers:
            oldest = next(iter(answers))
            if len(answers) <= REPETITIONS and answers[oldest][1] > now_us:
                break
            del self._digests[answers.pop(oldest)[0]]

    def forget(self, message_id: int) -> None:
        """The text of this id is not what was said any more: the same words are to be sent again."""
        digest = self._digests.pop(message_id, None)
        if digest is not None:
            del self._answers[digest]


class Refusal(msgspec.Struct, frozen=True):
    """Why a filter does not let a text pass.

    Attributes:
        reason: what its sender is told.
        filter: which filter, in metrics and the log.
    """

    reason: Reason
    filter: str


LISTED_URL: Final = Refusal(Reason.FILTERED, "url-list")
LOOP: Final = Refusal(Reason.FILTERED, "loop-guard")
TRAPPED: Final = Refusal(Reason.TOO_MUCH, "volume-trap")
OVER_DAILY_LIMIT: Final = Refusal(Reason.TOO_MUCH, "daily-limit")
REPETITION: Final = "repetition"  # no refusal, but counted among them


class Way(Protocol):
    """Where a text goes: ``hub.routing.Route``, as far as filters look at it."""

    @property
    def call_centre(self) -> str:
        """The tenant, empty in transit."""
        ...

    @property
    def number(self) -> str:
        """The call centre's number."""
        ...


class Draft(Protocol):
    """A text on its way through intake, as far as filters look at it."""

    @property
    def index(self) -> int:
        """Its place in the batch."""
        ...

    @property
    def part(self) -> Arrival:
        """The text, or the part of one, as it came: what is taken back must be what was counted."""
        ...

    @property
    def source(self) -> str:
        """Who it is from, as its recipient shall see it."""
        ...

    @property
    def route(self) -> Way:
        """Where it goes."""
        ...


D = TypeVar("D", bound=Draft)


class Filters:
    """All filters that refuse, in their order. See the module's head.

    Args:
        settings: what holds for all texts.
        rules: what is provisioned.

    Attributes:
        rules: those in force.
        urls: the URL list's filter; its list may be exchanged.
        quotas: the counts of the daily limits.
        active: whether any filter is on that refuses: without, nothing need be asked.
    """

    def __init__(self, settings: FilterSettings, rules: FilterRules) -> None:
        self.urls = UrlFilter(UrlList())
        self.quotas = Quotas()
        self.loops = LoopGuard(settings.loop_texts, settings.loop_us)
        self.traps = VolumeTraps()
        self.active = False
        self.rules = rules
        self._urls_on = False
        self._loops_only = False
        self._excepted: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {}
        self.follow(rules)

    def follow(self, rules: FilterRules) -> None:
        """Go by other rules. What was counted stays counted."""
        before = self.rules.traps
        if any(name in before and before[name].over_us != trap.over_us for name, trap in rules.traps.items()):
            self.traps = VolumeTraps()  # slots of another length
        self.rules = rules
        self._excepted = {name: _split_patterns(trap.exceptions) for name, trap in rules.traps.items()}
        self._look()

    def cut_loops(self, texts: int, over_us: int) -> None:
        """Count loops otherwise from now on; the count begins anew."""
        self.loops = LoopGuard(texts, over_us)
        self._look()

    def exchange_urls(self, urls: UrlList) -> None:
        """Go by another list of hosts."""
        self.urls.urls = urls
        self._look()

    def _look(self) -> None:
        self._urls_on = len(self.urls.urls) > 0
        others = bool(self._urls_on or self.rules.per_day or self.rules.traps)
        self.active = bool(self.loops.texts) or others
        self._loops_only = not others

    def refused(self, endpoint: str, drafts: Sequence[D], now_us: int) -> list[tuple[D, Refusal]]:
        """Those of a batch that may not go the way they have; the others are counted. See ``check``."""
        if self._loops_only:  # the usual case, and each text passes here
            take = self.loops.take
            return [(d, LOOP) for d in drafts if not take(d.source, d.part.destination, d.part, now_us)]
        checked = [(d, self.check(endpoint, d.part, d.source, d.route, now_us)) for d in drafts]
        return [(draft, refusal) for draft, refusal in checked if refusal is not None]

    def check(self, endpoint: str, arrival: Arrival, source: str, way: Way, now_us: int) -> Refusal | None:
        """Whether a text that has a way may go it; if so, it is counted.

        Args:
            endpoint: where it comes from.
            arrival: the text.
            source: who it is from, as its recipient shall see it.
            way: where it goes.
            now_us: now.

        Returns: why not, or None.
        """
        if self._urls_on and self.urls.names_listed(
            endpoint, source, arrival.destination, arrival.text, arrival.concatenation
        ):
            return LISTED_URL
        limit = self.rules.per_day.get(endpoint)
        if limit is not None and not self.quotas.take(endpoint, limit, now_us):
            return OVER_DAILY_LIMIT
        trap = self._trap_of(endpoint, source, way)
        if trap is not None and not self.traps.take(way.number, trap.limit(way.number), trap.over_us, now_us):
            if limit is not None:
                self.quotas.take_back(endpoint, now_us)
            return TRAPPED
        if self.loops.texts and not self.loops.take(source, arrival.destination, arrival, now_us):
            if limit is not None:
                self.quotas.take_back(endpoint, now_us)
            if trap is not None:
                self.traps.take_back(way.number, trap.over_us, now_us)
            return LOOP
        return None

    def take_back(self, endpoint: str, arrival: Arrival, source: str, way: Way, now_us: int) -> None:
        """A text that passed was not taken after all, and will come again."""
        if endpoint in self.rules.per_day:
            self.quotas.take_back(endpoint, now_us)
        trap = self._trap_of(endpoint, source, way)
        if trap is not None:
            self.traps.take_back(way.number, trap.over_us, now_us)
        if self.loops.texts:
            self.loops.take_back(source, arrival.destination, arrival, now_us)

    def _trap_of(self, endpoint: str, source: str, way: Way) -> Trap | None:
        """The volume trap that a text runs into, if any."""
        if not self._excepted or not way.call_centre or endpoint.startswith("desk:"):
            return None
        trap = self.rules.traps.get(way.call_centre)
        if trap is None:
            return None
        senders, beginnings = self._excepted[way.call_centre]
        return None if source in senders or (beginnings and source.startswith(beginnings)) else trap


def _split_patterns(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Addresses, and beginnings of addresses."""
    return (
        frozenset(pattern for pattern in patterns if not pattern.endswith("*")),
        tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*")),
    )
