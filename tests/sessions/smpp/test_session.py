"""Sessions over memory streams, with a clock that jumps: no test waits."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
import trio
import trio.testing

from smpp.chatter import Chatter
from smpp.codec import encode
from smpp.connection import Connection
from smpp.constants import CommandStatus
from smpp.errors import EncodeError, LocalProtocolError
from smpp.events import Ending, Lost, Settings
from smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from smpp.session import BindRefused, Options, Session, SessionEnded, open_session
from smpp.states import Role, State
from smpp.testing import ScriptedESME, ScriptedSMSC, bound_pair

TEXT = SubmitSm(source_addr="12345", destination_addr="16175550100", short_message=b"hello")


@pytest.fixture
def clock(autojump_clock):
    return autojump_clock


async def scripted(
    nursery: trio.Nursery, *, options: Options | None = None, **settings
) -> tuple[Session, ScriptedSMSC]:
    """A session of ours bound as a transceiver to a scripted SMSC."""
    ours, theirs = trio.testing.memory_stream_pair()
    session = Session(ours, Connection(Role.ESME, Settings(**settings), now=trio.current_time()), options or Options())
    peer = ScriptedSMSC(theirs)
    await nursery.start(session.run)
    async with trio.open_nursery() as binding:
        binding.start_soon(session.bind, BindTransceiver(system_id="me"))
        await peer.accept_bind()
    return session, peer


async def drain(session: Session) -> list:
    """All answers until the end."""
    answers = []
    while True:
        try:
            answers += await session.receive_answers()
        except SessionEnded:
            return answers


# --- Chatter --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        encode(EnquireLink(sequence_number=5)) * 5000,
        (b"\0\0\0\x10" + b"\0\0\x0f\0" + bytes(4) + b"\0\0\0\x07") * 5000,  # of no known kind
        encode(SubmitSmResp(sequence_number=9)) * 5000,  # to what was never asked
        encode(DeliverSm(sequence_number=6, tlvs=((0x1400, bytes(65_535)),))) * 300,
    ],
    ids=["enquire_link", "unknown", "stray", "octets"],
)
async def test_a_peer_that_chatters_is_read_at_a_rate(clock, octets):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery, options=Options(chatter=Chatter(1000), inbox=1000))
        began = trio.current_time()
        await peer.send_raw(octets)
        await trio.testing.wait_all_tasks_blocked()  # read as one piece, which a socket would cut at 64 KiB
        await peer.send(DeliverSm(sequence_number=77, short_message=b"honest, behind it"))
        while (await session.receive_requests())[-1].sequence_number != 77:
            pass
        assert trio.current_time() - began > 1, "of the clock that jumps"
        assert session.statistics().counts["chatter"] >= 1
        session.close()


async def test_texts_and_answers_are_no_chatter(clock):
    async with bound_pair(smsc_options=Options(chatter=Chatter(10))) as (esme, smsc):
        for _ in range(50):
            esme.submit([(TEXT, key) for key in range(100)])
            requests = await smsc.receive_requests()
            smsc.respond([SubmitSmResp(sequence_number=pdu.sequence_number) for pdu in requests])
            assert len(await esme.receive_answers()) == 100
        smsc.submit([(DeliverSm(short_message=b"hi"), key) for key in range(100)])
        esme.respond([DeliverSmResp(sequence_number=pdu.sequence_number) for pdu in await esme.receive_requests()])
        assert len(await smsc.receive_answers()) == 100
        assert smsc.statistics().counts.get("chatter") is None
        assert trio.current_time() == 0, "nobody waited"


async def test_sessions_of_one_peer_share_their_chatter(clock):
    shared = Chatter(1000)
    async with trio.open_nursery() as nursery:
        one, noisy = await scripted(nursery, options=Options(chatter=shared))
        other, quiet = await scripted(nursery, options=Options(chatter=shared))
        await noisy.send_raw(encode(EnquireLink(sequence_number=5)) * 5000)
        await trio.testing.wait_all_tasks_blocked()
        for number in (76, 77):  # the one is read before it waits
            await quiet.send(DeliverSm(sequence_number=number))
            await quiet.send(EnquireLink(sequence_number=1000 + number))
            await other.receive_requests()
        assert trio.current_time() > 1, "of the clock that jumps"
        one.close()
        other.close()


async def test_what_the_business_refuses_is_chatter(clock):
    async with bound_pair(smsc_options=Options(chatter=Chatter(100))) as (esme, smsc):
        esme.submit([(TEXT, key) for key in range(100)])
        smsc.note_chatter(len(await smsc.receive_requests()) + 400)
        esme.connection.configure(Settings(window=300))
        esme.submit([(TEXT, "a")])
        await smsc.receive_requests()  # read before it is known that it is too much
        esme.submit([(TEXT, "b")])
        await smsc.receive_requests()
        assert 2.9 < trio.current_time() < 3.1, "of the clock that jumps"


# --- Traffic --------------------------------------------------------------------------------------------------------


async def test_requests_and_answers_in_order_and_by_key(clock):
    async with bound_pair() as (esme, smsc):
        esme.submit([(TEXT, key) for key in range(50)])
        requests = await smsc.receive_requests()
        assert len(requests) == 50
        smsc.respond([SubmitSmResp(sequence_number=pdu.sequence_number, message_id="7") for pdu in requests])
        answers = await esme.receive_answers()
        assert [answer.key for answer in answers] == list(range(50))
        smsc.submit([(DeliverSm(short_message=b"hi"), "mo")])
        [delivery] = await esme.receive_requests()
        esme.respond([DeliverSmResp(sequence_number=delivery.sequence_number)])
        [answer] = await smsc.receive_answers()
        assert answer.key == "mo"


async def test_what_is_submitted_in_one_turn_is_one_send(clock):
    streams = trio.testing.memory_stream_pair()
    sends = []
    deliver = streams[0].send_stream.send_all_hook

    async def count() -> None:
        sends.append(1)
        await deliver()

    streams[0].send_stream.send_all_hook = count
    async with bound_pair(streams=streams) as (esme, smsc):
        await trio.testing.wait_all_tasks_blocked()
        sends.clear()
        for key in range(20):
            esme.submit([(TEXT, key)])
        await trio.testing.wait_all_tasks_blocked()
        assert sends == [1]
        assert len(await smsc.receive_requests()) == 20


async def test_the_reader_serves_answers_and_enquiries_while_the_business_sleeps(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        session.submit([(TEXT, 1)])
        sent = await peer.expect(SubmitSm)
        for number in range(100, 105):  # requests that nobody takes
            await peer.send(DeliverSm(sequence_number=number))
        await peer.answer(sent, message_id="x")
        await peer.send(EnquireLink(sequence_number=0xFFFFFFFF))
        assert (await peer.expect(EnquireLinkResp)).sequence_number == 0xFFFFFFFF
        assert (await session.receive_answers())[0].response.message_id == "x"
        session.close()


@pytest.mark.parametrize("status", [CommandStatus.ESME_RTHROTTLED, CommandStatus.ESME_RMSGQFUL])
async def test_what_the_inbox_cannot_hold_is_answered_at_once(clock, status):
    async with bound_pair(smsc_options=Options(inbox=3, overflow_status=status)) as (esme, smsc):
        esme.submit([(TEXT, key) for key in range(5)])
        answers = await esme.receive_answers()
        assert [(answer.key, answer.response.command_status) for answer in answers] == [(3, status), (4, status)]
        assert smsc.throttled == 2
        requests = await smsc.receive_requests()
        assert len(requests) == 3
        esme.submit([(TEXT, 5)])  # taken again once there is room
        assert len(await smsc.receive_requests()) == 1
        assert smsc.throttled == 2


async def test_an_alert_comes_with_the_requests(clock):
    async with bound_pair() as (esme, smsc):
        smsc.send(AlertNotification(source_addr="1"))
        [news] = await esme.receive_requests()
        assert isinstance(news, AlertNotification)


async def test_more_than_room_is_a_mistake(clock):
    async with bound_pair(esme=Settings(window=2)) as (esme, _):
        with pytest.raises(LocalProtocolError):
            esme.submit([(TEXT, key) for key in range(3)])
        assert esme.room == 2


async def test_what_has_no_form_comes_back_and_holds_up_nothing(clock):
    async with bound_pair() as (esme, smsc):
        esme.submit([(TEXT, "a"), (SubmitSm(source_addr="9" * 99), "b"), (TEXT, "c")])
        assert len(await smsc.receive_requests()) == 2
        [answer] = await esme.receive_answers()
        assert (answer.key, answer.lost) == ("b", Lost.UNENCODABLE)
        assert esme.connection.unanswered == 2


async def test_a_response_without_a_form_is_the_callers_and_the_session_lives(clock):
    async with bound_pair() as (esme, smsc):
        esme.submit([(TEXT, 1)])
        [request] = await smsc.receive_requests()
        with pytest.raises(EncodeError):
            smsc.respond([SubmitSmResp(sequence_number=request.sequence_number, message_id="x" * 99)])
        smsc.respond([SubmitSmResp(sequence_number=request.sequence_number, message_id="x")])
        assert len(await esme.receive_answers()) == 1


async def test_cancelling_a_wait_loses_nothing(clock):
    async with bound_pair() as (esme, smsc):
        with trio.move_on_after(1) as waiting:
            await smsc.receive_requests()
        assert waiting.cancelled_caught
        esme.submit([(TEXT, 1)])
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await smsc.receive_requests()
        assert len(await smsc.receive_requests()) == 1


async def test_statistics_tell_where_it_stands(clock):
    async with bound_pair() as (esme, smsc):
        esme.submit([(TEXT, 1), (TEXT, 2)])
        await smsc.receive_requests()
        ours, theirs = esme.statistics(), smsc.statistics()
        assert (ours.unanswered, ours.sent, ours.state, ours.peer_version) == (2, 3, State.BOUND_TRX, 0x34)
        assert (theirs.requests, theirs.waiting, theirs.received, theirs.throttled) == (2, 0, 3, 0)


# --- Time -----------------------------------------------------------------------------------------------------------


async def test_an_answer_that_never_comes_costs_only_itself(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery, response_s=10, enquire_link_s=0, window=1)
        session.submit([(TEXT, "lost")])
        began = trio.current_time()
        [answer] = await session.receive_answers()
        assert answer.lost is Lost.TIMEOUT
        assert trio.current_time() - began == pytest.approx(10)
        session.submit([(TEXT, "found")])
        await peer.expect(SubmitSm)
        await peer.answer(await peer.expect(SubmitSm), message_id="1")
        assert (await session.receive_answers())[0].key == "found"
        session.close()


async def test_a_deadline_that_comes_nearer_wakes_the_ticker(clock):
    """The ticker sleeps for the enquire_link; the request's time-out comes sooner."""
    async with trio.open_nursery() as nursery:
        session, _peer = await scripted(nursery, response_s=10, enquire_link_s=1000)
        session.submit([(TEXT, 1)])
        with trio.fail_after(11):
            await session.receive_answers()
        session.close()


async def test_two_silent_ends_keep_each_other_awake(clock):
    async with bound_pair(esme=Settings(enquire_link_s=20), smsc=Settings(enquire_link_s=30)) as (esme, smsc):
        await trio.sleep(3600)
        assert esme.state is smsc.state is State.BOUND_TRX
        assert 100 < esme.connection.sent < 250


async def test_a_deaf_peer_is_found_out(clock):
    async with trio.open_nursery() as nursery:
        session, _peer = await scripted(nursery, response_s=10, enquire_link_s=30)
        began = trio.current_time()
        await session.wait_over()
        assert trio.current_time() - began == pytest.approx(40)
        assert session.ended.ending is Ending.NOT_ANSWERING


async def test_no_bind_in_time_ends_the_session(clock):
    ours, theirs = trio.testing.memory_stream_pair()
    async with open_session(
        ours, Connection(Role.SMSC, Settings(session_init_s=10), now=trio.current_time())
    ) as session:
        peer = ScriptedESME(theirs)
        await peer.send(EnquireLink(sequence_number=1))
        await peer.expect(EnquireLinkResp)
        with pytest.raises(SessionEnded) as caught:
            await session.receive_bind()
        assert caught.value.ending is Ending.SESSION_INIT
        assert trio.current_time() == pytest.approx(10)


# --- The end --------------------------------------------------------------------------------------------------------


async def test_a_cut_gives_back_what_was_on_the_wire(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        session.submit([(TEXT, key) for key in range(3)])
        for _ in range(3):
            await peer.expect(SubmitSm)
        await peer.close()
        answers = await drain(session)
        assert [(answer.key, answer.lost) for answer in answers] == [(key, Lost.ON_WIRE) for key in range(3)]
        with pytest.raises(SessionEnded):
            await session.receive_requests()
        with pytest.raises(SessionEnded):
            session.submit([(TEXT, 9)])
        session.respond([DeliverSmResp(sequence_number=1)])  # to nobody, and no error
        assert session.room == 0


async def test_what_never_left_is_told_from_what_did(clock):
    """The peer reads nothing: the first send hangs, the second batch waits behind it."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    session = Session(ours, Connection(Role.ESME, now=trio.current_time()))
    peer = ScriptedSMSC(theirs)
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        async with trio.open_nursery() as binding:
            binding.start_soon(session.bind, BindTransceiver())
            await peer.accept_bind()
        session.submit([(TEXT, "sent")])
        await trio.testing.wait_all_tasks_blocked()
        session.submit([(TEXT, "waiting")])
        session.close()
        answers = await drain(session)
    assert [(answer.key, answer.lost) for answer in answers] == [("sent", Lost.ON_WIRE), ("waiting", Lost.UNSENT)]


async def test_unsent_means_unsent(clock):
    """What is reported as never sent must not leave with the goodbyes of the session."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    session = Session(ours, Connection(Role.ESME, now=trio.current_time()))
    peer = ScriptedSMSC(theirs)
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        async with trio.open_nursery() as binding:
            binding.start_soon(session.bind, BindTransceiver())
            await peer.accept_bind()
        session.submit([(TEXT, "sent")])
        await trio.testing.wait_all_tasks_blocked()
        session.submit([(TEXT, "waiting")])
        await peer.send_raw(b"\0\0\0\1")
        assert {answer.key: answer.lost for answer in await drain(session)} == {
            "sent": Lost.ON_WIRE,
            "waiting": Lost.UNSENT,
        }
        await peer.expect(SubmitSm)
        assert (await peer.expect(GenericNack)).command_status == CommandStatus.ESME_RINVCMDLEN
        await peer.expect_end()


async def test_a_peer_that_does_not_read_ends_the_session_in_bounded_memory(clock):
    ours, theirs = trio.testing.lockstep_stream_pair()
    options = Options(outgoing_limit=1000, stall_s=30)
    session = Session(ours, Connection(Role.SMSC, Settings(session_init_s=0), now=trio.current_time()), options)
    peer = ScriptedESME(theirs)
    flood = b"".join(encode(EnquireLink(sequence_number=n)) for n in range(100))
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        began = trio.current_time()
        with suppress(trio.BrokenResourceError):  # when the session has closed
            while session.ended is None:
                await peer.send_raw(flood)
                assert session.statistics().outgoing <= 1000 + len(flood)
    assert session.ended.ending is Ending.STALLED
    assert trio.current_time() - began < 60


async def test_unbinding_waits_for_answers_then_says_goodbye(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        session.submit([(TEXT, 1)])
        nursery.start_soon(session.unbind)
        sent = await peer.expect(SubmitSm)
        await trio.testing.wait_all_tasks_blocked()
        assert session.room == 0
        await peer.answer(sent, message_id="1")
        unbind = await peer.expect(Unbind)
        # Until we answer, it takes and answers ours: else they would be delivered twice.
        await peer.send(DeliverSm(sequence_number=5))
        [request] = await session.receive_requests()
        session.respond([DeliverSmResp(sequence_number=request.sequence_number)])
        await peer.expect(DeliverSmResp)
        await peer.answer(unbind)
        await peer.expect_end()
    assert session.ended.ending is Ending.UNBOUND


async def test_unbinding_does_not_wait_for_ever(clock):
    async with trio.open_nursery() as nursery:
        session, _peer = await scripted(nursery, response_s=10)
        session.submit([(TEXT, 1)])
        began = trio.current_time()
        await session.unbind(drain_s=5)
        assert trio.current_time() - began <= 16
    assert [answer.lost for answer in await drain(session)] in ([Lost.ON_WIRE], [Lost.TIMEOUT])


async def test_two_tasks_may_unbind(clock):
    async with bound_pair() as (esme, smsc):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(esme.unbind)
            nursery.start_soon(esme.unbind)
            nursery.start_soon(smsc.unbind)
        assert esme.ended
        assert smsc.ended


async def test_the_peers_unbind_is_answered_after_the_business_has_answered(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        await peer.send(DeliverSm(sequence_number=1), Unbind(sequence_number=2))
        [request] = await session.receive_requests()
        assert session.room == 0
        session.respond([DeliverSmResp(sequence_number=request.sequence_number)])
        await peer.expect(DeliverSmResp)
        assert (await peer.expect(UnbindResp)).sequence_number == 2
        await peer.close()
        await session.wait_over()
        assert session.ended.ending is Ending.UNBOUND_BY_PEER


async def test_after_unbind_resp_a_peer_that_does_not_close_is_closed(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery, linger_s=2)
        await peer.send(Unbind(sequence_number=2))
        await peer.expect(UnbindResp)
        await peer.expect_end()
        assert session.ended.ending is Ending.UNBOUND_BY_PEER
        assert trio.current_time() == pytest.approx(2)


async def test_a_refused_bind_is_heard_before_the_end(clock):
    ours, theirs = trio.testing.memory_stream_pair()
    async with (
        open_session(theirs, Connection(Role.SMSC, now=0)) as smsc,
        open_session(ours, Connection(Role.ESME, now=0)) as esme,
    ):

        async def refuse() -> None:
            await smsc.receive_bind()
            smsc.refuse_bind(CommandStatus.ESME_RINVPASWD)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)
            with pytest.raises(BindRefused) as caught:
                await esme.bind(BindTransceiver())
        assert caught.value.command_status == CommandStatus.ESME_RINVPASWD


async def test_cancelling_the_run_closes_the_stream_at_once(clock):
    ours, theirs = trio.testing.memory_stream_pair()
    session = Session(ours, Connection(Role.ESME, now=trio.current_time()))
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        nursery.cancel_scope.cancel()
    assert session.ended.ending is Ending.CLOSED
    assert await theirs.receive_some() == b""
    assert trio.current_time() == 0


async def test_a_stream_that_will_not_close_is_torn(clock):
    class Stubborn(trio.abc.Stream):
        torn = False

        async def send_all(self, data):
            await trio.lowlevel.checkpoint()

        async def wait_send_all_might_not_block(self):
            await trio.lowlevel.checkpoint()

        async def receive_some(self, max_bytes=None):
            await trio.sleep_forever()

        async def aclose(self):
            try:
                await trio.sleep(math.inf)
            except trio.Cancelled:
                self.torn = True
                raise

    stream = Stubborn()
    session = Session(stream, Connection(Role.ESME, now=0), Options(close_s=5))
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        nursery.cancel_scope.cancel()
    assert stream.torn
    assert trio.current_time() == pytest.approx(5)


async def test_what_the_body_raises_comes_out_as_it_is(clock):
    ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(ZeroDivisionError):
        async with open_session(ours, Connection(Role.ESME, now=0)):
            raise ZeroDivisionError
    assert await theirs.receive_some() == b""


async def test_an_outbind_is_answered_with_a_bind(clock):
    ours, theirs = trio.testing.memory_stream_pair()
    async with open_session(ours, Connection(Role.ESME, now=0)) as session:
        peer = ScriptedSMSC(theirs)
        await peer.send(Outbind(system_id="smsc"))
        event = await session.receive_outbind()
        assert event.outbind.system_id == "smsc"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.bind, BindReceiver())
            assert isinstance(await peer.accept_bind(), BindReceiver)
        assert session.state is State.BOUND_RX
        await peer.close()


# --- Bad input ------------------------------------------------------------------------------------------------------


async def test_one_bad_pdu_does_not_kill_the_session(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        truncated = encode(DeliverSm(sequence_number=3))[:-6]
        await peer.send_raw(len(truncated).to_bytes(4, "big") + truncated[4:])
        assert (await peer.expect(DeliverSmResp)).command_status != 0
        await peer.send_raw(bytes.fromhex("00000010 00000777 00000000 00000004"))
        assert (await peer.expect(GenericNack)).command_status == CommandStatus.ESME_RINVCMDID
        await peer.send(DeliverSm(sequence_number=5), DataSm(sequence_number=6))
        assert [pdu.sequence_number for pdu in await session.receive_requests()] == [5, 6]
        assert session.statistics().counts["unparsable"] == 2
        session.close()


async def test_a_slow_drip_is_put_together(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        for octet in encode(DeliverSm(sequence_number=3, short_message=b"drip")):
            await peer.send_raw(bytes((octet,)))
            await trio.sleep(0.1)
        assert (await session.receive_requests())[0].short_message == b"drip"
        session.close()


async def test_an_oversize_pdu_is_refused_before_it_is_buffered(clock):
    async with trio.open_nursery() as nursery:
        session, peer = await scripted(nursery)
        await peer.send_raw((70_000_000).to_bytes(4, "big"))
        assert (await peer.expect(GenericNack)).command_status == CommandStatus.ESME_RINVCMDLEN
        await peer.expect_end()
        assert session.ended.ending is Ending.PROTOCOL


class Whole(trio.abc.Stream):
    """A stream without halves to close, as TLS is; it writes down when it was closed."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.closed_at: float | None = None

    async def send_all(self, data) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes=None) -> bytes:
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        if self.closed_at is None:
            self.closed_at = trio.current_time()
        await self.stream.aclose()


@pytest.mark.parametrize(("peer_closes_after_s", "closed_after_s"), [(0.5, 0.5), (60, 1)])
async def test_a_tls_peer_may_close_first_too(clock, nursery, peer_closes_after_s, closed_after_s):
    """Its close_notify would arrive at a closed socket, which would have the kernel destroy our last answer."""
    ours, theirs = trio.testing.memory_stream_pair()
    stream = Whole(ours)
    session = Session(stream, Connection(Role.ESME, now=trio.current_time()), Options(linger_s=1))
    peer = ScriptedSMSC(theirs)
    await nursery.start(session.run)
    async with trio.open_nursery() as binding:
        binding.start_soon(session.bind, BindTransceiver(system_id="me"))
        await peer.accept_bind()
    nursery.start_soon(session.unbind)
    await peer.answer(await peer.expect(Unbind))
    await session.wait_over()
    over_at = trio.current_time()
    await trio.sleep(peer_closes_after_s)
    await peer.close()
    await trio.testing.wait_all_tasks_blocked()
    assert stream.closed_at == pytest.approx(over_at + closed_after_s)
