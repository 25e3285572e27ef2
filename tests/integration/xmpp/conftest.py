"""A desk of ours on a real Prosody, with a hub that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio

from hub.model import Accepted, Arrival, Kind, Message, Outcome, Part, Receipt, ReceiptState, Verdict
from tests.fixtures_prosody import SECRET, Csr, Prosody
from threading_tokens.errors import UnknownToken
from translators.xmpp import Assignment, Call, DeskSettings, HistoryEntry, Subject, ThreadView, XmppDesk

TOKEN = "a" * 25 + "i"
NUMBER = "+18005550100"
CUSTOMER = "+16175551212"
DOMAIN = "sms.localhost"
IN_VAIN_S = 20.0


class Remembering:
    """A road and services in one: accepts everything, knows one token."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.outcomes: list[Outcome] = []
        self.verdict: Callable[[Arrival], Verdict] = lambda _: Accepted(1, TOKEN)
        self._changed = trio.Event()

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        self.arrivals += arrivals
        self._change()
        return [self.verdict(arrival) for arrival in arrivals]

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes
        self._change()

    def wake(self, endpoint: str) -> None:
        self._change()

    def may_give(self) -> bool:
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(IN_VAIN_S):
            while not condition():
                await self._changed.wait()

    async def designate(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        if token != TOKEN:
            raise UnknownToken(token)
        return ThreadView(7, token, NUMBER, CUSTOMER, designation=assignment.designation)

    transfer = designate

    async def release(self, call_centre: str, token: str, by: str) -> ThreadView:
        return ThreadView(7, token, NUMBER, CUSTOMER, closed_us=1)

    async def history(self, call_centre: str, subject: Subject, limit: int, before: int) -> list[HistoryEntry]:
        return [
            HistoryEntry(id=1, at_us=1_700_000_000_000_000, kind="text", direction="in", text="<hi>", by="customer")
        ]

    async def note_call(self, call_centre: str, subject: Subject, call: Call, by: str) -> ThreadView:
        return ThreadView(7, TOKEN, NUMBER, CUSTOMER)

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class Site:
    """One test's desk on a Prosody."""

    def __init__(self, server: Prosody, nursery: trio.Nursery, log_in: Callable[[Prosody, str], Csr]) -> None:
        self.server, self.nursery = server, nursery
        self.hub = Remembering()
        self._log_in = log_in
        self._ids = 0

    def desk(self, **changes: Any) -> XmppDesk:
        values: dict[str, Any] = {
            "name": "help",
            "call_centre": "centre",
            "domain": DOMAIN,
            "secret": SECRET,
            "director": "director@localhost",
            "port": self.server.component_port,
            **changes,
        }
        return XmppDesk(DeskSettings(**values), self.hub, self.hub)

    async def start(self, desk: XmppDesk) -> XmppDesk:
        await self.nursery.start(desk.run)
        await self.hub.until(lambda: desk.statistics().connected)
        return desk

    async def log_in(self, name: str) -> Csr:
        return await trio.to_thread.run_sync(self._log_in, self.server, name)

    def part(self, text: str, **changes: Any) -> Part:
        self._ids += 1
        values: dict[str, Any] = {
            "id": self._ids,
            "kind": Kind.TEXT,
            "origin": "link:acme",
            "endpoint": "desk:help",
            "source": CUSTOMER,
            "destination": NUMBER,
            "text": text,
            "received_us": 1 << 60,
            "expires_us": 1 << 61,
            "thread_id": 7,
            "token": TOKEN,
            **changes,
        }
        return Part(Message(**values), 1, 1, None)

    def receipt(self, upstream_id: str, state: ReceiptState) -> Part:
        receipt = Receipt(upstream_id, state, "001")
        return self.part("", kind=Kind.RECEIPT, upstream_id=upstream_id, receipt=receipt)


async def hear(csr: Csr, event: str) -> dict[str, Any]:
    """What a CSR's client tells next of this kind."""
    return await trio.to_thread.run_sync(csr.expect, event)


@pytest.fixture
async def site(prosody: Prosody, nursery: trio.Nursery, log_in: Callable[[Prosody, str], Csr]) -> Site:
    return Site(prosody, nursery, log_in)


@pytest.fixture
async def mortal_site(mortal_prosody: Prosody, nursery: trio.Nursery, log_in: Callable[[Prosody, str], Csr]) -> Site:
    return Site(mortal_prosody, nursery, log_in)
