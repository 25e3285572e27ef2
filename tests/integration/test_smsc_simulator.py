"""The simulated SMSC on a real port: under the hub's own translator, our client, and smpplib."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from hub.model import Accepted, Arrival, Kind, Message, Outcome, Part, ReceiptState, ReceiptWanted, Result, Verdict
from ops.simulators.smsc import SimulatedSmsc, open_simulated_smsc
from ops.simulators.smsc_behaviour import Behaviour, Dlr, IdStyle, Span
from ops.simulators.smsc_settings import SmscSettings
from smpp.client import BindType, Credentials, Target, connect_and_bind
from smpp.events import Settings
from smpp.pdu import DeliverSmResp, SubmitSm
from smpp.receipt import IdForm
from translators.smpp_links import LinkSettings, SmppLink
from translators.smpp_messages import Dialect

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PATIENCE_S = 60

HANDSET, DESK = "+16175550101", "+18005550100"
LONG = "Wir haben täglich geöffnet, auch sonntags. " * 9
SETTINGS = SmscSettings(port=0, system_id="hub", password="secret", seed=1)


class Road:
    """A hub that remembers, and has each text answered at once."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.outcomes: list[Outcome] = []
        self._changed = trio.Event()

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        await trio.lowlevel.checkpoint()
        self.arrivals += arrivals
        self._change()
        return [Accepted(len(self.arrivals))] * len(arrivals)

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.outcomes += outcomes
        self._change()

    def wake(self, endpoint: str) -> None:
        self._change()

    def may_give(self) -> bool:
        return True

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, arrivals: int, outcomes: int) -> None:
        with trio.fail_after(PATIENCE_S):
            while len(self.arrivals) < arrivals or len(self.outcomes) < outcomes:
                await self._changed.wait()

    async def room_of(self, link: SmppLink) -> None:
        with trio.fail_after(PATIENCE_S):
            while not link.room():
                await self._changed.wait()


def link_to(smsc: SimulatedSmsc, road: Road, dialect: Dialect, *binds: BindType) -> SmppLink:
    settings = LinkSettings(
        name="sim",
        host="127.0.0.1",
        port=smsc.port,
        system_id="hub",
        password="secret",
        bind_types=binds or (BindType.TRX,),
        dialect=dialect,
    )
    return SmppLink(settings, road, lambda: time.time_ns() // 1000)


def message(text: str) -> Message:
    return Message(
        id=77,
        kind=Kind.TEXT,
        origin="desk:d",
        endpoint="link:sim",
        source=DESK,
        destination=HANDSET,
        text=text,
        receipt_wanted=ReceiptWanted.FINAL,
        received_us=0,
        expires_us=1 << 60,
    )


@pytest.mark.parametrize("binds", [(BindType.TRX,), (BindType.TX, BindType.RX)])
async def test_the_hubs_link_texts_handsets_and_hears_of_it(nursery: trio.Nursery, binds: tuple[BindType, ...]) -> None:
    """Real translator, real sockets: ids in hex, receipts that overtake, some failures."""
    behaviour = Behaviour(
        ids=IdStyle.HEX,
        dlr=Dlr(id_style=IdStyle.DECIMAL, overtakes=True, delay=Span(0.01, 0.01), date_digits=14),
    )
    road = Road()
    settings = SmscSettings(port=0, system_id="hub", password="secret", behaviour=behaviour, first_message_id=0xA0)
    async with open_simulated_smsc(settings) as smsc:
        link = link_to(smsc, road, Dialect(id_form=IdForm.RESPONSE_HEX), *binds)
        nursery.start_soon(link.run)
        await smsc.wait_bound(timeout_s=PATIENCE_S)
        await smsc.wait_until(lambda: len(smsc.binds) == len(binds), PATIENCE_S, "all bound")
        whole = message(LONG)
        payloads = link.split(whole)
        for number, payload in enumerate(payloads, 1):
            await road.room_of(link)
            link.deliver([Part(whole, number, len(payloads), payload)])
            await road.until(number, number)
            await trio.sleep(0.02)
        (shown,) = await smsc.wait_for(HANDSET, timeout_s=PATIENCE_S)
        assert (shown.text, shown.from_, shown.wants_receipt) == (LONG, DESK, True)
        assert min(shown.gaps_us) >= 15_000
        assert [outcome.result for outcome in road.outcomes] == [Result.ACCEPTED] * len(payloads)
        receipts = [arrival.receipt for arrival in road.arrivals if arrival.receipt is not None]
        assert [receipt.state for receipt in receipts] == [ReceiptState.DELIVERED] * len(payloads)
        assert [int(outcome.carrier_id, 16) for outcome in road.outcomes] == [int(r.message_id) for r in receipts]
        nursery.cancel_scope.cancel()


async def test_handsets_text_the_hubs_link(nursery: trio.Nursery) -> None:
    road = Road()
    async with open_simulated_smsc(SETTINGS) as smsc:
        nursery.start_soon(link_to(smsc, road, Dialect()).run)
        assert await smsc.text(HANDSET, DESK, "Open today? 😀", wants_receipt=True) == 0
        assert await smsc.text(HANDSET, DESK, LONG, order=(2, 1, 3)) == 0
        await road.until(4, 0)
        first, *parts = road.arrivals
        assert (first.source, first.destination, first.text) == (HANDSET, DESK, "Open today? 😀")
        assert first.receipt_wanted is ReceiptWanted.FINAL
        assert [part.concatenation.number for part in parts if part.concatenation] == [2, 1, 3]
        nursery.cancel_scope.cancel()


async def test_it_takes_thousands_a_second_and_gives_a_receipt_for_each() -> None:
    """No figure is asserted, only that nothing is lost on the way; the bench measures."""
    count = 5_000
    async with open_simulated_smsc(SmscSettings(port=0, keep_history=False)) as smsc:
        target = Target(
            host="127.0.0.1",
            port=smsc.port,
            credentials=Credentials(system_id="load", password=""),
            settings=Settings(window=500),
        )
        text = SubmitSm(source_addr="1", destination_addr="2", registered_delivery=1, short_message=b"x" * 100)
        async with connect_and_bind(target) as esme, trio.open_nursery() as nursery:
            receipts = 0

            async def take_receipts() -> None:
                nonlocal receipts
                while True:
                    requests = await esme.receive_requests()
                    receipts += len(requests)
                    esme.respond([DeliverSmResp(sequence_number=request.sequence_number) for request in requests])

            nursery.start_soon(take_receipts)
            ids: set[str] = set()
            sent = 0
            while len(ids) < count:
                batch = min(esme.room, count - sent)
                esme.submit([(text, None)] * batch)
                sent += batch
                ids |= {answer.response.message_id for answer in await esme.receive_answers()}
            await smsc.wait_until(
                lambda: smsc.statistics().deliveries["receipts_ok"] == count, PATIENCE_S, f"{count} receipts"
            )
            nursery.cancel_scope.cancel()
        assert receipts == count


async def test_smpplib_submits_and_gets_its_receipts_and_a_text() -> None:
    if not PYTHON.exists() or not list(PYTHON.parents[1].glob("lib/python3*/site-packages/smpplib")):
        pytest.fail(".venv-peers has no smpplib: 'make test' sets it up", pytrace=False)
    settings = SmscSettings(port=0, system_id="smpplib", password="secret", seed=1)
    async with open_simulated_smsc(settings) as smsc, trio.open_nursery() as nursery:
        sent = smsc.text_nowait(HANDSET, DESK, "hello")
        command = [str(PYTHON), str(ROOT / "tests" / "peers" / "smpplib_esme.py"), str(smsc.port), "5"]
        with trio.fail_after(PATIENCE_S):
            done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT)
        assert await sent.answered() == 0
        seen = json.loads(done.stdout)
        assert seen["ids"] == ["1", "2", "3", "4", "5"]
        assert [message_id for message_id, _ in seen["receipts"]] == seen["ids"]
        assert all(f"id:{message_id} " in body for message_id, body in seen["receipts"])
        assert seen["texts"] == ["hello"]
        received = smsc.handset("+16175550100").received
        assert [text.text for text in received] == [f"text {number} €" for number in range(5)]
        nursery.cancel_scope.cancel()
