"""A hub and its services that only remember, for the tests of this folder (and tested by test_fakes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import trio
import trio.testing

from hub.model import Accepted, Arrival, Kind, Message, Outcome, Part, Receipt, Result, Verdict
from ops.simulators.desk import SimulatedDesk
from threading_tokens.designation import Designation
from threading_tokens.errors import ExpiredToken, ForeignToken, UnknownToken
from translators.xmpp import Assignment, Busy, Call, DeskSettings, HistoryEntry, Subject, ThreadView, XmppDesk

TOKEN = "a" * 25 + "i"
OTHER_TOKEN = "b" * 25 + "i"
NUMBER = "+18005550100"
CUSTOMER = "+16175551212"
SECRET = "s3cret"
DOMAIN = "sms.desk.example"

Memory = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


class FakeRoad:
    """A road that remembers.

    Attributes:
        arrivals, outcomes: what it was given, in order.
        verdict: decides; accepts everything at first.
        open: when cleared, ``receive`` and ``report`` wait for it: the journal is slow.
        reports: the sizes of the batches reported.
        holds: whether this node holds what it was given.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.outcomes: list[Outcome] = []
        self.reports: list[int] = []
        self.wakes = 0
        self.holds = True
        self.verdict: Callable[[Arrival], Verdict] = lambda _: Accepted(1, TOKEN)
        self.gate = trio.Event()
        self.gate.set()
        self._changed = trio.Event()

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        assert endpoint == "desk:help"
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        self.arrivals += arrivals
        self._change()
        return [self.verdict(arrival) for arrival in arrivals]

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        assert endpoint == "desk:help"
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        self.outcomes += outcomes
        self.reports.append(len(outcomes))
        self._change()

    def wake(self, endpoint: str) -> None:
        assert endpoint == "desk:help"
        self.wakes += 1
        self._change()

    def may_give(self) -> bool:
        return self.holds

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what it was told makes a condition true."""
        while not condition():
            await self._changed.wait()

    def results(self) -> list[Result]:
        return [outcome.result for outcome in self.outcomes]

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class FakeServices:
    """Threads of two call centres; ``TOKEN`` is ours."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.broken: Exception | None = None
        self.view = ThreadView(7, TOKEN, NUMBER, CUSTOMER, opened_us=1_700_000_000_000_000)

    def _check(self, call_centre: str, token: str) -> None:
        assert call_centre == "centre"
        if self.broken is not None:
            raise self.broken
        if token == OTHER_TOKEN:
            raise ForeignToken(token)
        if token == "closed":
            raise ExpiredToken(token)
        if token not in ("", TOKEN):
            raise UnknownToken(token)

    async def _assign(self, verb: str, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        await trio.lowlevel.checkpoint()
        self._check(call_centre, token)
        self.asked.append((verb, assignment, by))
        return ThreadView(7, token, NUMBER, CUSTOMER, designation=assignment.designation, label=assignment.label)

    async def designate(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        return await self._assign("designate", call_centre, token, assignment, by)

    async def transfer(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        return await self._assign("transfer", call_centre, token, assignment, by)

    async def release(self, call_centre: str, token: str, by: str) -> ThreadView:
        await trio.lowlevel.checkpoint()
        self._check(call_centre, token)
        self.asked.append(("release", by))
        return ThreadView(7, token, NUMBER, CUSTOMER, closed_us=1_700_000_001_000_000)

    async def history(self, call_centre: str, subject: Subject, limit: int, before: int) -> list[HistoryEntry]:
        await trio.lowlevel.checkpoint()
        self._check(call_centre, subject.token)
        self.asked.append(("history", subject, limit, before))
        return [
            HistoryEntry(id=3, at_us=1_700_000_000_000_000, kind="designated", by="hub", csr="csr@desk.example"),
            HistoryEntry(id=2, at_us=1_700_000_000_000_000, kind="text", direction="in", text="<b>?", by="customer"),
        ][:limit]

    async def note_call(self, call_centre: str, subject: Subject, call: Call, by: str) -> ThreadView:
        await trio.lowlevel.checkpoint()
        self._check(call_centre, subject.token)
        self.asked.append(("call", subject, call, by))
        return self.view


class World:
    """A desk of ours, a simulated desk, and memory between them.

    A test that uses it names ``autojump_clock`` too: pytest-trio takes the clock from a test's own arguments only.
    """

    def __init__(self) -> None:
        self.road = FakeRoad()
        self.services = FakeServices()
        self.far = SimulatedDesk(secret=SECRET, domain=DOMAIN)
        self.near: list[Memory] = []
        self.streams: list[Memory] = []
        self.connections = 0
        self.nursery: trio.Nursery | None = None
        self.wall_us = 1_700_000_000_000_000
        self._next_id = 0

    def desk(self, **changes: object) -> XmppDesk:
        values: dict[str, object] = {
            "name": "help",
            "call_centre": "centre",
            "domain": DOMAIN,
            "secret": SECRET,
            "director": self.far.director,
            **changes,
        }
        settings = DeskSettings(**values)  # type: ignore[arg-type]
        return XmppDesk(settings, self.road, self.services, clock_us=lambda: self.wall_us, connect=self.connect)

    async def connect(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.connections += 1
        near, far = trio.testing.memory_stream_pair()
        self.near.append(near)
        self.streams.append(far)
        assert self.nursery is not None
        self.nursery.start_soon(self.far.serve_stream, far)
        return near

    async def start(self, desk: XmppDesk) -> None:
        assert self.nursery is not None
        await self.nursery.start(desk.run)
        await self.road.until(lambda: desk.room() > 0)

    def cut(self) -> None:
        """The connection falls, as a cable does."""
        stream = self.streams[-1]
        stream.send_stream.close()
        stream.receive_stream.close()

    def message(self, text: str = "hello", **changes: object) -> Message:
        self._next_id += 1
        values: dict[str, object] = {
            "id": self._next_id,
            "kind": Kind.TEXT,
            "origin": "link:acme",
            "endpoint": "desk:help",
            "source": CUSTOMER,
            "destination": NUMBER,
            "text": text,
            "received_us": self.wall_us,
            "expires_us": self.wall_us + 1,
            "call_centre": "centre",
            "thread_id": 7,
            "token": TOKEN,
            **changes,
        }
        return Message(**values)  # type: ignore[arg-type]

    def part(self, text: str = "hello", **changes: object) -> Part:
        return Part(self.message(text, **changes), 1, 1, None)

    def receipt(self, upstream_id: str, receipt: Receipt) -> Part:
        return self.part("", kind=Kind.RECEIPT, upstream_id=upstream_id, receipt=receipt)


@pytest.fixture
def alice() -> Designation:
    return Designation("address", "alice@desk.example")


@pytest.fixture
async def world() -> Iterator[World]:  # type: ignore[misc]
    made = World()
    async with trio.open_nursery() as nursery:
        made.nursery = nursery
        yield made
        nursery.cancel_scope.cancel()


@pytest.fixture
def busy() -> Exception:
    return Busy(2.0)
