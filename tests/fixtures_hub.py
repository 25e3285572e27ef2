"""The hub over a real store, with endpoints that do what a script says.

``World`` opens a hub, drops it without ceremony, and opens the next one on the same store. Time is a mock clock that
runs a hundred times as fast as ours: the store's threads take real time, so that an autojump clock would race ahead.
A test must ask for ``fast_clock`` itself: pytest-trio looks for a clock among a test's own arguments only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy
import trio
from trio.testing import MockClock as Clock

from hub import Arrival, Hub, Kind, Message, Outcome, Part, Result, State, Unsplittable, Verdict
from hub.enum_answers import EnumAnswers
from hub.filters import FilterSettings
from hub.retry import DEFAULT_WAITS, RetryWaits
from hub.tables import message as message_table
from provisioning import Account, Block, CallCentre, Desk, Directory, Link, Number, Route, Secret, SecretKind
from store import Store, create_all, open_store

EPOCH_US = 1_767_225_600_000_000  # 2026-01-01
SECOND = 1_000_000
DAY = 86_400 * SECOND
RATE = 100.0

NUMBER = "+18005550100"
OTHER_NUMBER = "+18005550200"
SUSPENDED = "+18005550999"
CUSTOMER = "+12025551212"
FAR_AWAY = "+447700900123"

Script = Callable[[Part], Outcome | None]


def fast_mock_clock() -> Clock:
    """Trio's clock for these tests."""
    return Clock(rate=RATE)


def accept(part: Part) -> Outcome:
    """The script of a carrier that takes all and sends no receipts."""
    return Outcome(part, Result.ACCEPTED)


class ScriptedEndpoint:
    """An endpoint that answers as its script says, and writes down what it was given and when.

    Attributes:
        script: the outcome of a part; None when it shall not be answered. May be exchanged.
        window: parts that may be unanswered; 0 while it is away.
        given: (time, part) of all that was delivered, in order.
        unanswered: parts given and not reported yet, by message id.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], int],
        *,
        script: Script = accept,
        window: int = 100,
        gap_us: int = 0,
        source_gap_us: int = 0,
        validity_us: int = DAY,
        max_attempts: int = 3,
        characters: int = 1_000,
    ) -> None:
        self.name = name
        self.script = script
        self.window = window
        self.gap_us = gap_us
        self.source_gap_us = source_gap_us
        self.validity_us = validity_us
        self.max_attempts = max_attempts
        self.characters = characters
        self.given: list[tuple[int, Part]] = []
        self.unanswered: dict[int, Part] = {}
        self.most_unanswered = 0
        self._clock = clock
        self._answering: list[Part] = []
        self._reporting: list[Part] = []
        self._work = trio.Event()

    def split(self, message: Message) -> Sequence[Any]:
        if message.kind is Kind.RECEIPT:
            return [message.receipt]
        text, size = message.text, self.characters
        if text.startswith("unsplittable"):
            raise Unsplittable("too-long")
        return [text[at : at + size] for at in range(0, len(text), size)] or [""]

    def room(self) -> int:
        return max(0, self.window - len(self.unanswered))

    def deliver(self, parts: Sequence[Part]) -> None:
        if len(parts) > self.room():
            raise AssertionError(f"{self.name} was given {len(parts)} parts and has room for {self.room()}")
        now_us = self._clock()
        for part in parts:
            if part.message.id in self.unanswered:
                raise AssertionError(f"two parts of message {part.message.id} at once")
            self.unanswered[part.message.id] = part
            self.given.append((now_us, part))
        self.most_unanswered = max(self.most_unanswered, len(self.unanswered))
        self._answering += parts
        self._work.set()

    async def run(self, hub: Hub) -> None:
        """Answer until cancelled."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            self._reporting, self._answering = self._answering, []
            outcomes = [outcome for part in self._reporting if (outcome := self.script(part)) is not None]
            self._reporting = [outcome.part for outcome in outcomes]
            await self.answer(hub, outcomes)
            self._reporting = []

    async def answer(self, hub: Hub, outcomes: Sequence[Outcome]) -> None:
        """Report outcomes."""
        for outcome in outcomes:
            self.unanswered.pop(outcome.part.message.id, None)
        if outcomes:
            await hub.report(self.name, outcomes)

    def answering(self) -> Sequence[Part]:
        """Parts whose outcome is about to be reported by ``run``."""
        return [*self._answering, *self._reporting]

    def come_back(self, hub: Hub, window: int = 100) -> None:
        """Have room again."""
        self.window = window
        hub.wake(self.name)

    def forget(self) -> None:
        """Its hub is gone, and its sessions with it."""
        self.unanswered = {}
        self._answering = []
        self._reporting = []

    def texts(self) -> list[str]:
        """The payloads that were given, in order."""
        return [part.payload for _, part in self.given if part.message.kind is Kind.TEXT]

    def receipts(self) -> list[Any]:
        """The receipts that were given, in order."""
        return [part.payload for _, part in self.given if part.message.kind is Kind.RECEIPT]


def _secret() -> Secret:
    return Secret(SecretKind.LITERAL, "secret")


def make_directory(**changes: Any) -> Directory:
    """Two call centres, a link and an account."""
    parts: dict[str, Any] = {
        "call_centres": [
            CallCentre(name="acme", default_number=NUMBER, default_link="link:one", products=("Router",)),
            CallCentre(name="other", default_number=OTHER_NUMBER, origin="business", origin_value="OTHER"),
        ],
        "numbers": [
            Number(number=NUMBER, call_centre="acme"),
            Number(number=OTHER_NUMBER, call_centre="other"),
            Number(number=SUSPENDED, call_centre="acme", state="suspended"),
        ],
        "blocks": [
            Block(first="+16175550000", last="+16175559999", call_centre="acme"),
            Block(first="+16185550000", last="+16185559999", call_centre="acme", state="suspended"),
        ],
        "links": [
            Link(name="one", host="127.0.0.1", system_id="hub", password=_secret()),
            Link(name="two", host="127.0.0.1", system_id="hub", password=_secret()),
        ],
        "accounts": [Account(system_id="agg", password=_secret(), allowed_sources=("*",))],
        "desks": [
            Desk(name="help", call_centre="acme", domain="sms.help", secret=_secret(), director="d@help"),
            Desk(
                name="shy",
                call_centre="other",
                domain="sms.shy",
                secret=_secret(),
                director="d@shy",
                foreign_token="unknown",
            ),
        ],
        "routes": [Route(prefix="*", endpoint="link:one"), Route(prefix="+1888", endpoint="link:two")],
    }
    return Directory(**(parts | changes))


class World:
    """A store, hubs over it one after the other, and their endpoints.

    Attributes:
        store, hub, clock: as named; ``hub`` is the one that runs.
        endpoints: by name.
    """

    def __init__(self, store: Store, clock: Clock, directory: Directory) -> None:
        self.store = store
        self.clock = clock
        self.directory = directory
        self.endpoints: dict[str, ScriptedEndpoint] = {}
        self.hub: Hub

    def now_us(self) -> int:
        """The hub's time. Any thread may ask."""
        return EPOCH_US + int(self.clock.current_time() * 1e6)

    def add(self, name: str, **settings: Any) -> ScriptedEndpoint:
        """An endpoint that the next hubs will have."""
        endpoint = self.endpoints[name] = ScriptedEndpoint(name, self.now_us, **settings)
        return endpoint

    @asynccontextmanager
    async def running(
        self,
        *,
        heads: int = 10_000,
        part_wait_us: int = 120 * SECOND,
        waits: RetryWaits = DEFAULT_WAITS,
        filters: FilterSettings | None = None,
        answers: EnumAnswers | None = None,
        **hold: bool,
    ) -> AsyncIterator[Hub]:
        """A hub that runs for as long as the body lasts, and is then dropped."""
        if trio.lowlevel.current_clock() is not self.clock:
            pytest.fail("a test of the hub asks for fast_clock")
        self.hub = Hub(
            self.store,
            self.directory,
            clock=self.now_us,
            heads=heads,
            part_wait_us=part_wait_us,
            waits=waits,
            filters=filters,
            answers=answers,
        )
        for endpoint in self.endpoints.values():
            endpoint.forget()
            self.hub.attach(endpoint, **hold)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.hub.run)
            for endpoint in self.endpoints.values():
                nursery.start_soon(endpoint.run, self.hub)
            yield self.hub
            nursery.cancel_scope.cancel()

    async def settled(self) -> None:
        """Wait until first scans are over."""
        await self.until(lambda: not any(s.behind for s in self.hub.statistics().values()))

    async def until(self, condition: Callable[[], Any], within_s: float = 60.0) -> None:
        """Wait for something; ``within_s`` are seconds of ours, not of the clock's."""
        with trio.fail_after(within_s * RATE):
            while not condition():  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.1)

    async def until_states(self, states: Sequence[State], within_s: float = 60.0) -> None:
        """Wait until every text is in one of these states."""
        with trio.fail_after(within_s * RATE):
            while not {row.state for row in await self.texts()} <= set(states):  # noqa: ASYNC110
                await trio.sleep(1.0)

    async def until_counts(self, counts: dict[str, int], within_s: float = 60.0) -> None:
        """Wait until so many texts are in each state, and none in another."""
        with trio.fail_after(within_s * RATE):
            while Counter(await self.states()) != counts:  # noqa: ASYNC110
                await trio.sleep(1.0)

    async def rows(self) -> list[Any]:
        """All message rows in order of id."""
        query = sqlalchemy.select(message_table).order_by(message_table.c.id)
        rows: list[Any] = await self.store.read(lambda tx: tx.sql.execute(query).all())
        return rows

    async def texts(self) -> list[Any]:
        """The rows that are texts."""
        return [row for row in await self.rows() if row.kind == Kind.TEXT]

    async def states(self) -> list[str]:
        """The words for the states of all texts."""
        return [State(row.state).name for row in await self.texts()]

    async def receive(self, endpoint: str, *arrivals: Arrival) -> list[Verdict]:
        """Give arrivals to the hub as one batch."""
        return await self.hub.receive(endpoint, arrivals)


def transit(text: str = "hello", destination: str = FAR_AWAY, source: str = CUSTOMER, **fields: Any) -> Arrival:
    """What an account submits."""
    return Arrival(source=source, destination=destination, text=text, **fields)


def inbound(text: str = "hello", source: str = CUSTOMER, destination: str = NUMBER, **fields: Any) -> Arrival:
    """What a customer writes to a call centre."""
    return Arrival(source=source, destination=destination, text=text, **fields)


def reply(text: str = "yes?", destination: str = CUSTOMER, **fields: Any) -> Arrival:
    """What a CSR writes."""
    return Arrival(source=fields.pop("source", ""), destination=destination, text=text, **fields)


def replaced(arrival: Arrival, **fields: Any) -> Arrival:
    return msgspec.structs.replace(arrival, **fields)


@asynccontextmanager
async def opened_world(
    url: str, clock: Clock, directory: Directory | None = None, **store: Any
) -> AsyncIterator[World]:
    """A world over a database, for tests that cannot use fixtures."""
    async with open_store(url, **store) as opened:
        await opened.transact(create_all)
        yield World(opened, clock, directory or make_directory())
        # What the indexes go by; a row that says something else would be forgotten.
        c = message_table.c
        pending, dead = c.state <= State.SUBMITTING.value, c.state == State.DEAD.value
        wrong = sqlalchemy.select(c.id).where((pending != (c.done_us == 0)) | (dead != (c.next_us < 0)))
        assert (await opened.read(lambda tx: tx.sql.execute(wrong).all())) == []


@pytest.fixture
def fast_clock() -> Clock:
    """Trio's clock in a test that asks for it; every test with a world must."""
    return fast_mock_clock()


@pytest.fixture
async def world(tmp_path: Path, fast_clock: Clock) -> AsyncIterator[World]:
    """A world over SQLite, as durable as needs be for a process that does not die."""
    async with opened_world(f"sqlite:///{tmp_path}/hub.db", fast_clock, synchronous="OFF") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_world(request: pytest.FixtureRequest, tmp_path: Path, fast_clock: Clock) -> AsyncIterator[World]:
    """A world over each kind of store."""
    url = f"sqlite:///{tmp_path}/hub.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with opened_world(url, fast_clock, synchronous="OFF") as made:
        yield made


class Hold:
    """Holds back the answers of one of the store's methods.

    Attributes:
        reached: set when an answer is being held back.
        go: set it to let all go.
    """

    def __init__(self) -> None:
        self.reached = trio.Event()
        self.go = trio.Event()


@contextmanager
def held_back(world: World, method: str) -> Iterator[Hold]:
    """Calls of ``store.<method>`` are done at once, and answered when told so; of reads, dispatch's."""
    hold = Hold()
    original = getattr(world.store, method)

    async def held(*arguments: Any, **more: Any) -> Any:
        answer = await original(*arguments, **more)
        if method == "read" and not arguments[0].__qualname__.startswith("Dispatcher."):
            return answer  # housekeeping's
        hold.reached.set()
        await hold.go.wait()
        return answer

    setattr(world.store, method, held)
    try:
        yield hold
    finally:
        hold.go.set()
        setattr(world.store, method, original)
