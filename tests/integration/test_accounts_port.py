"""The port that accounts bind to: who is let in, who is locked out, who is called. Over loopback."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
import trio

from hub import Accepted, Arrival, Kind, Message, Outcome, Part, Receipt, ReceiptState, Verdict
from smpp.constants import CommandStatus as S
from smpp.pdu import (
    BindReceiver,
    BindTransmitter,
    BindTransmitterResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
)
from smpp.states import State
from tests.integration.esmes import PASSWORD, PATIENCE_S, Called, Peer, listening, until
from translators import lock_out, smpp_accounts
from translators.lock_out import LockOut
from translators.smpp_accounts import AccountSettings, SmppAccount, SmppAccounts

RIGHT, WRONG = PASSWORD, "wrongpwd"
SETTINGS = AccountSettings(name="agg", system_id="agg", password_hash=RIGHT, lock_out_after=3, lock_out_s=300)
OTHER_ADDRESS = "127.0.0.2"
# Nothing ever waits for it: it is asked about at each look, and is there to count these.
METRONOME = AccountSettings(name="metronome", system_id="metronome", password_hash=RIGHT, outbind_host="127.0.0.1")


class Road:
    """A hub that takes everything."""

    def __init__(self) -> None:
        self.received: list[Arrival] = []
        self.reported: list[Outcome] = []
        self.woken: list[str] = []

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        await trio.lowlevel.checkpoint()
        self.received += arrivals
        return [Accepted(7) for _ in arrivals]

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.reported += outcomes

    def wake(self, endpoint: str) -> None:
        self.woken.append(endpoint)

    def may_give(self) -> bool:
        return True


class Counted:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def count(self, event: str, **labels: str) -> None:
        self.events.append((event, labels.get("account", "")))


class Place:
    """A port with accounts behind it.

    Attributes:
        road, counted, accounts: as named.
        hashed: passwords that were compared, in order.
        now_us: the clock; set it.
        waiting: endpoints that something waits for.
        asked: how often it was asked whether something waits for an endpoint.
    """

    def __init__(self, settings: Sequence[AccountSettings]) -> None:
        self.road, self.counted = Road(), Counted()
        self.hashed: list[str] = []
        self.now_us = 1_767_225_600_000_000
        self.waiting: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.accounts = {each.system_id: SmppAccount(each, self.road, lambda: self.now_us) for each in settings}  # type: ignore[arg-type]
        self.port = 0
        self.lock_out = LockOut()
        self.binds: Counter[str] = Counter()
        self.server = SmppAccounts(
            self.accounts,
            self.verify,
            clock=lambda: self.now_us,
            observer=self.counted,
            lock_out=self.lock_out,
            binds=self.binds,
            waits=self._waits,
        )

    def _waits(self, endpoint: str) -> bool:
        self.asked[endpoint] += 1
        return endpoint in self.waiting

    async def looks(self, count: int = 3) -> None:
        """Wait until the port has looked so many times whether anybody is to be called."""
        before = self.asked["account:metronome"]
        await until(lambda: self.asked["account:metronome"] >= before + count)

    def verify(self, password_hash: str, password: str) -> bool:
        self.hashed.append(password)
        return bool(password_hash) and password_hash == password

    async def bind(self, password: str = RIGHT, system_id: str = "agg", address: str = "127.0.0.1") -> int:
        """Try to bind, and hang up. Returns: the status of the answer."""
        peer = await Peer.connect(self.port, address)
        status = await peer.bind(system_id, password)
        await peer.stream.aclose()
        return status


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp_accounts, "LOOK_S", 0.05)


@asynccontextmanager
async def opened(*settings: AccountSettings) -> AsyncIterator[Place]:
    place = Place(settings or (SETTINGS,))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(place.server.run, "127.0.0.1", 0)
        place.port = listeners[0].socket.getsockname()[1]
        for account in place.accounts.values():
            nursery.start_soon(account.do_chores)
        yield place
        nursery.cancel_scope.cancel()


async def test_a_right_password_is_hashed_once() -> None:
    async with opened() as place:
        for _ in range(3):
            assert await place.bind() == 0
        assert place.hashed == [RIGHT]
        assert await place.bind("wrong") == S.ESME_RINVPASWD
        assert place.hashed == [RIGHT, "wrong"]
        account = place.accounts["agg"]
        account.adopt(msgspec.structs.replace(account.settings, password_hash="n3w"))
        assert await place.bind() == S.ESME_RINVPASWD
        assert place.hashed == [RIGHT, "wrong", RIGHT], "it has another password now"
        assert await place.bind("n3w") == await place.bind("n3w") == 0
        account.expel()
        assert await place.bind("n3w") == S.ESME_RINVPASWD


async def test_wrong_passwords_lock_an_address_out_and_no_other() -> None:
    async with opened() as place:
        assert [await place.bind(WRONG) for _ in range(3)] == [S.ESME_RINVPASWD] * 3
        hashed = len(place.hashed)
        assert [await place.bind(RIGHT) for _ in range(3)] == [S.ESME_RBINDFAIL] * 3
        assert len(place.hashed) == hashed, "a locked address must cost no hash"
        assert await place.bind(RIGHT, address=OTHER_ADDRESS) == S.ESME_ROK
        assert place.counted.events.count(("locked_out", "agg")) == 1
        assert place.counted.events.count(("bind_while_locked", "agg")) == 3
        place.now_us += 300_000_000
        assert await place.bind(RIGHT) == S.ESME_ROK


async def test_binds_at_once_guess_no_more_often_than_one_after_the_other() -> None:
    """Forty connections ask before the first is answered. Two at a time are hashed, so that one may be too many."""
    async with opened() as place:
        statuses: list[int] = []

        async def guess() -> None:
            statuses.append(await place.bind(WRONG))

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(guess)
        assert set(statuses) <= {S.ESME_RINVPASWD, S.ESME_RBINDFAIL}
        assert len(place.hashed) <= SETTINGS.lock_out_after + 1


async def test_an_address_that_is_not_allowed_costs_no_hash_and_locks_nobody() -> None:
    async with opened(msgspec.structs.replace(SETTINGS, networks=("10.0.0.0/8", "127.0.0.1"))) as place:
        assert [await place.bind(WRONG, address=OTHER_ADDRESS) for _ in range(9)] == [S.ESME_RBINDFAIL] * 9
        assert await place.bind(RIGHT, address=OTHER_ADDRESS) == S.ESME_RBINDFAIL
        assert place.hashed == []
        assert await place.bind(RIGHT) == S.ESME_ROK


async def test_names_that_nobody_has_are_hashed_all_the_same_until_the_address_is_locked() -> None:
    async with opened() as place:
        statuses = [await place.bind(WRONG, system_id=f"n{number}") for number in range(60)]
        assert statuses == [S.ESME_RINVSYSID] * 50 + [S.ESME_RBINDFAIL] * 10
        assert len(place.hashed) == 50
        assert await place.bind(RIGHT, address=OTHER_ADDRESS) == S.ESME_ROK


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with opened() as place, trio.open_nursery() as nursery:
        other = Place((SETTINGS,)).server
        with pytest.raises(OSError, match="in use"):
            await nursery.start(other.run, "127.0.0.1", place.port)


async def test_who_is_locked_out_of_one_port_is_locked_out_of_the_other() -> None:
    async with opened() as place, trio.open_nursery() as nursery:
        other = SmppAccounts(
            place.accounts, place.verify, clock=lambda: place.now_us, observer=place.counted, lock_out=place.lock_out
        )
        listeners = await nursery.start(other.run, "127.0.0.1", 0)
        assert [await place.bind(WRONG) for _ in range(3)] == [S.ESME_RINVPASWD] * 3
        place.port = listeners[0].socket.getsockname()[1]
        assert await place.bind(RIGHT) == S.ESME_RBINDFAIL
        assert await place.bind(RIGHT, address=OTHER_ADDRESS) == S.ESME_ROK
        nursery.cancel_scope.cancel()


async def test_who_hangs_up_on_hashes_is_locked_out_like_who_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an address could keep both hashing threads busy for ever, one bind after the other."""
    monkeypatch.setattr(lock_out, "PEER_FAILURES", 3)
    answer = threading.Semaphore(0)

    def verify(password_hash: str, password: str) -> bool:
        place.hashed.append(password)
        answer.acquire(timeout=PATIENCE_S)
        return False

    async with opened() as place, trio.open_nursery() as nursery:
        port = SmppAccounts(
            place.accounts, verify, clock=lambda: place.now_us, observer=place.counted, lock_out=place.lock_out
        )
        listeners = await nursery.start(port.run, "127.0.0.1", 0)
        for number in range(1, 4):
            async with await Peer.connect(listeners[0].socket.getsockname()[1]) as peer:
                bind = BindTransmitter(sequence_number=1, system_id=f"n{number}", password=WRONG)
                await peer.send(bind)
                await until(lambda number=number: len(place.hashed) == number)
            await until(lambda number=number: place.counted.events.count(("closed", "")) == number)
            answer.release()
        assert await place.bind(RIGHT) == S.ESME_RBINDFAIL
        assert await place.bind(RIGHT, address=OTHER_ADDRESS) == S.ESME_ROK
        nursery.cancel_scope.cancel()


async def test_who_may_only_receive_submits_nothing_by_data_sm_either() -> None:
    """The standard lets a receiver send data_sm, which would be a way around what the account was granted."""
    only_receives = msgspec.structs.replace(SETTINGS, bind_states=(State.BOUND_RX,))
    either = msgspec.structs.replace(
        SETTINGS, name="both", system_id="both", bind_states=(State.BOUND_RX, State.BOUND_TX)
    )
    async with opened(only_receives, either) as place:
        for system_id, status in (("agg", S.ESME_RINVBNDSTS), ("both", S.ESME_ROK)):
            async with await Peer.connect(place.port) as peer:
                bind = BindReceiver(sequence_number=1, system_id=system_id, password=RIGHT, interface_version=0x34)
                await peer.send(bind)
                assert (await peer.next()).command_status == S.ESME_ROK
                await peer.send(DataSm(sequence_number=2, source_addr="77377", destination_addr="12025550100"))
                answer = await peer.next()
                assert (type(answer), answer.command_status) == (DataSmResp, status)
        assert len(place.road.received) == 1


async def test_binds_are_counted_over_all_ports() -> None:
    async with opened(msgspec.structs.replace(SETTINGS, max_binds=1)) as place, trio.open_nursery() as nursery:
        other = SmppAccounts(place.accounts, place.verify, clock=lambda: place.now_us, binds=place.binds)
        listeners = await nursery.start(other.run, "127.0.0.1", 0)
        async with await Peer.connect(place.port) as first:
            assert await first.bind() == S.ESME_ROK
            async with await Peer.connect(listeners[0].socket.getsockname()[1]) as second:
                assert await second.bind() == S.ESME_RALYBND
        nursery.cancel_scope.cancel()


async def test_a_lock_out_may_be_switched_off_and_on_again_while_it_runs() -> None:
    async with opened(msgspec.structs.replace(SETTINGS, lock_out_after=0)) as place:
        assert {await place.bind(WRONG) for _ in range(20)} == {S.ESME_RINVPASWD}
        place.accounts["agg"].adopt(SETTINGS)
        assert [await place.bind(WRONG) for _ in range(4)] == [S.ESME_RINVPASWD] * 3 + [S.ESME_RBINDFAIL]


async def test_an_account_sends_only_to_its_destinations() -> None:
    settings = msgspec.structs.replace(SETTINGS, destinations=("+4420*", "+33123456789"))
    async with opened(settings) as place, await Peer.connect(place.port) as peer:
        assert await peer.bind() == S.ESME_ROK
        answers = []
        for number in ("442079460000", "33123456789", "331234567890", "4930123456", "4420"):
            await peer.send(
                SubmitSm(
                    sequence_number=9,
                    source_addr="12025550100",
                    source_addr_ton=1,
                    destination_addr=number,
                    dest_addr_ton=1,
                    dest_addr_npi=1,
                    short_message=b"x",
                )
            )
            answer = await peer.next()
            assert isinstance(answer, SubmitSmResp)
            answers.append(answer.command_status)
        no = S.ESME_RINVDSTADR
        assert answers == [0, 0, no, no, 0]
        assert place.accounts["agg"].faults()["ESME_RINVDSTADR"] == 2
        assert [arrival.destination for arrival in place.road.received] == ["+442079460000", "+33123456789", "+4420"]


# --- receipts over several receivers ----------------------------------------------------------------------------------


def _receipt(account: SmppAccount, number: int) -> Part:
    message = Message(
        id=number,
        kind=Kind.RECEIPT,
        origin="link:x",
        endpoint=account.name,
        source="+12025550100",
        destination="+12025550101",
        receipt=Receipt(str(number), ReceiptState.DELIVERED),
        received_us=1,
        expires_us=2,
    )
    (payload,) = account.split(message)
    return Part(message, 1, 1, payload)


async def test_receipts_are_balanced_over_receivers_and_never_go_to_a_transmitter() -> None:
    async with opened(msgspec.structs.replace(SETTINGS, window=10)) as place, AsyncExitStack() as stack:
        account = place.accounts["agg"]
        transmitter = await stack.enter_async_context(await Peer.connect(place.port))
        await transmitter.send(BindTransmitter(sequence_number=1, system_id="agg", password=RIGHT))
        assert isinstance(await transmitter.next(), BindTransmitterResp)
        receivers = [await stack.enter_async_context(await Peer.connect(place.port)) for _ in range(3)]
        for peer in receivers:
            assert await peer.bind() == S.ESME_ROK
        with trio.fail_after(PATIENCE_S):
            while account.room() < 30:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
        for number in range(12):  # one by one, as they come
            account.deliver([_receipt(account, number)])
        for peer in receivers:
            for _ in range(4):
                assert isinstance(await peer.next(), DeliverSm)
        account.deliver([_receipt(account, number) for number in range(12, 30)])
        for peer in receivers:
            for _ in range(6):
                assert isinstance(await peer.next(), DeliverSm)
        assert account.room() == 0
        # One that does not answer keeps its own ten, and no more: the others go on.
        for peer in receivers[1:]:
            for sequence_number in range(1, 11):
                await peer.send(DeliverSmResp(sequence_number=sequence_number))
        with trio.fail_after(PATIENCE_S):
            while account.room() < 20:  # noqa: ASYNC110
                await trio.sleep(0.01)
        account.deliver([_receipt(account, number) for number in range(30, 50)])
        for peer in receivers[1:]:
            for _ in range(10):
                assert isinstance(await peer.next(), DeliverSm)
        await transmitter.send(EnquireLink(sequence_number=2))
        assert isinstance(await transmitter.next(), EnquireLinkResp)  # and nothing before it


# --- outbind ----------------------------------------------------------------------------------------------------------


async def test_an_account_is_called_when_something_waits_and_gets_it() -> None:
    esme = Called()
    async with listening(esme) as port:
        settings = msgspec.structs.replace(
            SETTINGS,
            outbind_host="127.0.0.1",
            outbind_port=port,
            outbind_password="knock",
            bind_states=(State.BOUND_RX,),
        )
        async with opened(settings, METRONOME) as place:
            account = place.accounts["agg"]
            await place.looks()
            assert esme.calls == [], "nothing waits: nobody is called"
            place.waiting.add("account:agg")
            await until(account.room)
            account.deliver([_receipt(account, 1)])
            await until(lambda: place.road.reported)
            assert esme.statuses == [0]
            assert [(call.system_id, call.password) for call in esme.calls] == [("smshub", "knock")]
            assert b"id:1 " in esme.taken[0].short_message
            await place.looks()
            assert len(esme.calls) == 1, "who is bound is not called"
            esme.hang_up.set()
            await until(lambda: len(esme.calls) > 1)
            assert ("called", "agg") in place.counted.events
            assert esme.most_at_once == 1


async def test_an_account_that_does_not_answer_is_called_again_after_longer_and_longer_waits() -> None:
    esme = Called(as_receiver=False)
    async with listening(esme) as port:
        settings = msgspec.structs.replace(SETTINGS, outbind_host="127.0.0.1", outbind_port=port)
        async with opened(settings, METRONOME) as place:
            place.waiting.add("account:agg")
            await until(lambda: ("call_failed", "agg") in place.counted.events)
            await until(lambda: place.counted.events.count(("call_failed", "agg")) >= 2)
            assert esme.most_at_once == 1
            calls = len(esme.calls)
            place.accounts["agg"].expel()  # it was taken away: nobody calls it any more
            await place.looks()
            assert len(esme.calls) <= calls + 1
            assert await place.bind(RIGHT) == S.ESME_RINVPASWD


@pytest.mark.parametrize("host", ["nobody listens", "a" * 70 + ".example"])
async def test_a_host_that_cannot_be_called_is_no_trouble_for_others(host: str) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    other = msgspec.structs.replace(SETTINGS, name="other", system_id="other")
    host = "127.0.0.1" if host == "nobody listens" else host  # a label is 63 octets at most: no name at all
    settings = msgspec.structs.replace(SETTINGS, outbind_host=host, outbind_port=port)
    async with opened(settings, other) as place:
        place.waiting |= {"account:agg", "account:other"}
        await until(lambda: ("call_failed", "agg") in place.counted.events)
        assert await place.bind(system_id="other") == S.ESME_ROK
        assert await place.bind() == S.ESME_ROK
