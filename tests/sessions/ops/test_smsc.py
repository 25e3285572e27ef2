"""The simulated SMSC keeps its promises, the bad ones too."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ops.simulators.smsc import open_simulated_smsc
from ops.simulators.smsc_behaviour import Behaviour, Dlr, IdStyle, Span
from ops.simulators.smsc_errors import NotArrived, Unanswered, Unsendable
from ops.simulators.smsc_handset import PartArrival, Reception
from ops.simulators.smsc_settings import BindNews, SmscSettings
from smpp.constants import CommandStatus, EsmClass
from smpp.events import Ending, Lost, Settings
from smpp.pdu import (
    PDU,
    AlertNotification,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    QuerySm,
    QuerySmResp,
    SubmitSmResp,
)
from smpp.receipt import ReceiptState
from smpp.segmentation import Method, segment
from smpp.session import BindRefused, Session, SessionEnded
from smpp.states import State
from smpp.testing import ScriptedESME

from .conftest import DESK, HANDSET, answer_all, bound_to, scripted, submit_sm

LONG = "All our lines are open from nine to five. " * 9
BUSY = CommandStatus.ESME_RTHROTTLED


def smsc_with(behaviour: Behaviour | None = None, **settings: object):
    return open_simulated_smsc(
        SmscSettings(
            **{"system_id": "hub", "password": "secret", "seed": 1, "behaviour": behaviour or Behaviour()} | settings
        ),
        listen=False,
    )


async def statuses_of(session: Session, count: int) -> list[int | None]:
    """Submit so many texts at once; the statuses they are answered with, None where nothing comes."""
    session.submit([(submit_sm(b"text %d" % at), at) for at in range(count)])
    found: dict[int, int | None] = {}
    while len(found) < count:
        for answer in await session.receive_answers():
            found[answer.key] = answer.response.command_status if answer.response else None
    return [found[at] for at in range(count)]


# --- who may bind ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [("hub", "wrong", CommandStatus.ESME_RINVPASWD), ("other", "secret", CommandStatus.ESME_RINVSYSID)],
)
async def test_wrong_credentials_are_refused(
    autojump_clock: MockClock, system_id: str, password: str, status: int
) -> None:
    async with smsc_with() as smsc:
        with pytest.raises(BindRefused) as refused:
            async with bound_to(smsc, system_id=system_id, password=password):
                pass
        assert refused.value.command_status == status
        assert smsc.binds == []


async def test_without_a_system_id_everybody_may_bind(autojump_clock: MockClock) -> None:
    async with smsc_with(system_id="") as smsc, bound_to(smsc, system_id="anyone", password="x"):
        assert smsc.binds == [("anyone", State.BOUND_TRX)]


async def test_binds_can_be_refused_for_a_while(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(refuse_binds=CommandStatus.ESME_RBINDFAIL)) as smsc:
        with pytest.raises(BindRefused):
            async with bound_to(smsc):
                pass
        smsc.behaviour = Behaviour()
        async with bound_to(smsc):
            assert smsc.receivers == 1


# --- texts of handsets -----------------------------------------------------------------------------------------------


async def test_a_text_is_delivered_and_its_status_comes_back(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    seen: list[PDU] = []
    async with smsc_with() as smsc, bound_to(smsc) as esme:
        nursery.start_soon(answer_all, esme, seen, [CommandStatus.ESME_RX_R_APPN])
        assert await smsc.text(HANDSET, DESK, "one") == CommandStatus.ESME_RX_R_APPN
        assert await smsc.text(HANDSET, DESK, "two", wants_receipt=True) == 0
        assert [pdu.short_message for pdu in seen] == [b"one", b"two"]
        assert [pdu.registered_delivery for pdu in seen] == [0, 5]
        assert smsc.statistics().deliveries["texts_refused"] == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("method", [Method.UDH8, Method.UDH16, Method.SAR, Method.BLOCKS, Method.PAYLOAD])
async def test_a_long_text_is_cut_as_wanted_and_answered_once(
    autojump_clock: MockClock, nursery: trio.Nursery, method: Method
) -> None:
    seen: list[PDU] = []
    async with smsc_with() as smsc, bound_to(smsc) as esme:
        nursery.start_soon(answer_all, esme, seen)
        assert await smsc.text(HANDSET, DESK, LONG, method=method) == 0
        expected = segment(LONG, method=method, reference=1)
        assert [(pdu.esm_class, pdu.short_message, pdu.tlvs) for pdu in seen] == [
            (part.esm_class, part.short_message, part.tlvs) for part in expected
        ]
        nursery.cancel_scope.cancel()


async def test_the_first_refused_part_is_the_status_of_the_text(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with smsc_with() as smsc, bound_to(smsc) as esme:
        nursery.start_soon(answer_all, esme, None, [0, CommandStatus.ESME_RINVESMCLASS, CommandStatus.ESME_RSYSERR])
        assert await smsc.text(HANDSET, DESK, LONG) == CommandStatus.ESME_RINVESMCLASS
        nursery.cancel_scope.cancel()


async def test_a_text_waits_for_a_receiver(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async with smsc_with() as smsc:
        sent = smsc.text_nowait(HANDSET, DESK, "is anybody there?")
        async with bound_to(smsc, State.BOUND_TX):
            await trio.sleep(60)
            assert not sent.is_answered
            assert smsc.receivers == 0
            async with bound_to(smsc, State.BOUND_RX) as receiver:
                nursery.start_soon(answer_all, receiver)
                assert await sent.answered() == 0
                nursery.cancel_scope.cancel()


async def test_more_texts_than_the_window_go_as_room_appears_in_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    seen: list[PDU] = []
    async with smsc_with(window=3) as smsc, bound_to(smsc) as esme:
        sent = [smsc.text_nowait(HANDSET, DESK, f"{at}") for at in range(20)]
        await wait_all_tasks_blocked()
        assert smsc.statistics().waiting == 17
        nursery.start_soon(answer_all, esme, seen)
        for each in sent:
            assert await each.answered() == 0
        assert [pdu.short_message for pdu in seen] == [b"%d" % at for at in range(20)]
        nursery.cancel_scope.cancel()


async def test_what_was_not_answered_goes_again_to_the_next_receiver_in_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with smsc_with() as smsc:
        async with scripted(smsc) as esme:
            sent = [smsc.text_nowait(HANDSET, DESK, f"{at}") for at in range(3)]
            await esme.answer(await esme.expect(DeliverSm))
            await sent[0].answered()
        await smsc.wait_until(lambda: smsc.receivers == 0, 5, "gone")
        later = smsc.text_nowait(HANDSET, DESK, "3")
        async with scripted(smsc) as esme:
            for text in (b"1", b"2", b"3"):
                pdu = await esme.expect(DeliverSm)
                assert pdu.short_message == text
                await esme.answer(pdu)
            for each in (*sent, later):
                assert await each.answered() == 0
        assert [each.tries for each in (*sent, later)] == [1, 2, 2, 1]
        assert smsc.statistics().deliveries["lost"] == 2


async def test_without_resending_it_is_told_as_unanswered(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(resend=False)) as smsc:
        async with scripted(smsc) as esme:
            sent = smsc.text_nowait(HANDSET, DESK, LONG)
            await esme.answer(await esme.expect(DeliverSm))
        with pytest.raises(Unanswered) as unanswered:
            await sent.answered()
        assert unanswered.value.parts == 2


async def test_what_never_left_goes_again_in_any_case(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async with smsc_with(Behaviour(resend=False)) as smsc:
        async with bound_to(smsc):
            sent = smsc.text_nowait(HANDSET, DESK, LONG)
            smsc.disconnect()  # before anything was written
            await trio.sleep(1)
            assert not sent.is_answered
        async with bound_to(smsc) as esme:
            nursery.start_soon(answer_all, esme)
            assert await sent.answered() == 0
            assert smsc.statistics().deliveries["lost"] == 0
        nursery.cancel_scope.cancel()


async def test_a_temporary_refusal_is_tried_again_later(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async with smsc_with(Behaviour(retries=2, retry_after_s=10.0)) as smsc, bound_to(smsc) as esme:
        began = trio.current_time()
        nursery.start_soon(answer_all, esme, None, [BUSY, BUSY, 0, BUSY, BUSY, BUSY])
        assert await smsc.text(HANDSET, DESK, "patient") == 0
        assert trio.current_time() - began == pytest.approx(20)
        assert await smsc.text(HANDSET, DESK, "too busy") == BUSY
        nursery.cancel_scope.cancel()


async def test_what_smpp_has_no_form_for_is_told(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc, bound_to(smsc):
        with pytest.raises(Unsendable):
            await smsc.text("+" + "1" * 30, DESK, "hello")


# --- what ESMEs submit -----------------------------------------------------------------------------------------------


async def test_ids_are_counted_and_the_receipt_follows_its_answer(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc, scripted(smsc) as esme:
        await esme.send(*[submit_sm(sequence_number=10 + at, registered_delivery=1) for at in range(2)])
        for at in range(2):
            response = await esme.expect(SubmitSmResp)
            assert (response.sequence_number, response.command_status, response.message_id) == (10 + at, 0, f"{1 + at}")
        for at in range(2):
            receipt = await esme.expect(DeliverSm)
            assert receipt.esm_class == EsmClass.DELIVERY_RECEIPT
            assert receipt.short_message.startswith(b"id:%d sub:001 dlvrd:001 " % (1 + at))
            assert receipt.short_message.endswith(b"stat:DELIVRD err:000 text:hello")
            await esme.answer(receipt)
        await smsc.wait_until(lambda: smsc.statistics().deliveries["receipts_ok"] == 2, 5, "receipts answered")


async def test_handsets_join_parts_and_show_when_each_came(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc, bound_to(smsc) as esme:
        for part in segment(LONG, reference=9):
            esme.submit([(submit_sm(part.short_message, esm_class=part.esm_class, registered_delivery=1), None)])
            await esme.receive_answers()
            await trio.sleep(0.1)
        (shown,) = await smsc.wait_for(HANDSET)
        assert shown.text == LONG
        assert shown.gaps_us == [pytest.approx(100_000, abs=2)] * (len(shown.parts) - 1)
        assert smsc.handset(HANDSET).gaps_us(DESK) == shown.gaps_us
        assert [part.message_id for part in shown.parts] == ["1", "2", "3"]


async def test_an_answer_takes_its_time_and_holds_up_no_other(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(delay=Span(3.0, 3.0))) as smsc, bound_to(smsc) as esme:
        began = trio.current_time()
        esme.submit([(submit_sm(), 1)])
        await trio.sleep(1)
        smsc.behaviour = Behaviour()
        esme.submit([(submit_sm(), 2)])
        keys = [(await esme.receive_answers())[0].key for _ in range(2)]
        assert keys == [2, 1]
        assert trio.current_time() - began == pytest.approx(3.0)


async def test_dropped_requests_are_never_answered(autojump_clock: MockClock) -> None:
    settings = Settings(response_s=20.0)
    async with smsc_with(Behaviour(drop_rate=1.0)) as smsc, bound_to(smsc, settings=settings) as esme:
        esme.submit([(submit_sm(), 1)])
        (answer,) = await esme.receive_answers()
        assert answer.lost is Lost.TIMEOUT
        assert smsc.handset(HANDSET).count == 0
        smsc.behaviour = Behaviour(drop_rate=1.0, drop_delivers=True)
        esme.submit([(submit_sm(b"only the answer is lost"), 2)])
        (shown,) = await smsc.wait_for(HANDSET)
        assert shown.text == "only the answer is lost"
        assert (await esme.receive_answers())[0].lost is Lost.TIMEOUT
        assert smsc.statistics().dropped == 2


async def test_errors_have_the_status_that_was_chosen_and_deliver_nothing(autojump_clock: MockClock) -> None:
    behaviour = Behaviour(error_rate=1.0, error_status=CommandStatus.ESME_RSUBMITFAIL)
    async with smsc_with(behaviour) as smsc, bound_to(smsc) as esme:
        assert await statuses_of(esme, 3) == [CommandStatus.ESME_RSUBMITFAIL] * 3
        assert (smsc.statistics().refused, smsc.handsets) == (3, {})


async def test_throttling_ends_with_the_second(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(throttle_per_s=3)) as smsc, bound_to(smsc) as esme:
        assert await statuses_of(esme, 5) == [0, 0, 0, BUSY, BUSY]
        await trio.sleep(1)
        assert await statuses_of(esme, 2) == [0, 0]
        assert smsc.statistics().throttled == 2


async def test_the_nth_request_cuts_the_session_with_the_others_answered(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(disconnect_after=3)) as smsc:
        async with bound_to(smsc) as esme:
            assert await statuses_of(esme, 5) == [0, 0, None, None, None]
            with pytest.raises(SessionEnded) as ended:
                await esme.receive_answers()
            assert ended.value.ending is Ending.CLOSED_BY_PEER
        assert [shown.text for shown in smsc.handset(HANDSET).received] == ["text 0", "text 1", "text 2"]
        async with bound_to(smsc) as esme:  # a new session counts anew
            assert await statuses_of(esme, 2) == [0, 0]


async def test_a_change_of_behaviour_begins_to_count_anew(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(disconnect_after=50)) as smsc, bound_to(smsc) as esme:
        assert await statuses_of(esme, 5) == [0] * 5
        smsc.behaviour = Behaviour(disconnect_after=3)
        assert await statuses_of(esme, 2) == [0, 0]
        assert await statuses_of(esme, 1) == [None]


async def test_one_seed_makes_one_run_and_another_seed_another(autojump_clock: MockClock) -> None:
    behaviour = Behaviour(error_rate=0.3, delay=Span(0.0, 1.0))

    async def run(seed: int) -> list[int | None]:
        async with smsc_with(behaviour, seed=seed) as smsc, bound_to(smsc) as esme:
            return await statuses_of(esme, 60)

    assert await run(5) == await run(5)
    assert await run(5) != await run(6)


async def test_other_requests_are_refused_and_data_sm_is_taken(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc, scripted(smsc) as esme:
        await esme.send(QuerySm(sequence_number=2, message_id="1"), CancelSm(sequence_number=3, source_addr="1"))
        assert (await esme.expect(QuerySmResp)).command_status == CommandStatus.ESME_RQUERYFAIL
        assert (await esme.expect(CancelSmResp)).command_status == CommandStatus.ESME_RCANCELFAIL
        await esme.send(
            DataSm(sequence_number=4, dest_addr_ton=1, destination_addr=HANDSET[1:], tlvs=((0x0424, b"data"),))
        )
        response = await esme.expect(DataSmResp)
        assert (response.command_status, response.message_id) == (0, "1")
        assert [shown.text for shown in await smsc.wait_for(HANDSET)] == ["data"]


async def test_a_header_longer_than_its_message_is_refused(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc, bound_to(smsc) as esme:
        esme.submit([(submit_sm(b"\x09\x00\x03", esm_class=0x40, registered_delivery=1), None)])
        (answer,) = await esme.receive_answers()
        assert answer.response is not None
        assert answer.response.command_status == CommandStatus.ESME_RINVESMCLASS
        assert (smsc.statistics().accepted, smsc.statistics().refused) == (0, 1)


async def test_without_history_texts_are_only_counted(autojump_clock: MockClock) -> None:
    async with smsc_with(keep_history=False) as smsc, bound_to(smsc) as esme:
        assert await statuses_of(esme, 50) == [0] * 50
        assert smsc.statistics().accepted == 50
        assert smsc.handsets == {}


# --- receipts --------------------------------------------------------------------------------------------------------


def asked(sequence_number: int = 2) -> PDU:
    return submit_sm(sequence_number=sequence_number, registered_delivery=1)


async def test_receipts_can_be_off_and_come_late(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(dlr=Dlr(on=False))) as smsc, scripted(smsc) as esme:
        await esme.send(asked(2))
        await esme.expect(SubmitSmResp)
        smsc.behaviour = Behaviour(dlr=Dlr(delay=Span(20, 20)))
        began = trio.current_time()
        await esme.send(asked(3))
        await esme.expect(SubmitSmResp)
        receipt = await esme.expect(DeliverSm)
        assert receipt.short_message.startswith(b"id:2 ")
        assert trio.current_time() - began == pytest.approx(20)


async def test_a_receipt_overtakes_its_answer_on_one_session(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(dlr=Dlr(overtakes=True))) as smsc, scripted(smsc) as esme:
        await esme.send(asked())
        receipt = await esme.expect(DeliverSm)
        response = await esme.expect(SubmitSmResp)
        assert receipt.short_message.startswith(b"id:%s " % response.message_id.encode())


async def test_a_receipt_overtakes_its_answer_over_two_sessions(autojump_clock: MockClock) -> None:
    order: list[str] = []

    async def note(esme: ScriptedESME, what: type[PDU]) -> None:
        await esme.expect(what)
        order.append(what.__name__)

    async with (
        smsc_with(Behaviour(dlr=Dlr(overtakes=True, delay=Span(1, 1)))) as smsc,
        scripted(smsc, State.BOUND_TX) as sender,
        scripted(smsc, State.BOUND_RX) as receiver,
        trio.open_nursery() as both,
    ):
        await sender.send(asked())
        both.start_soon(note, sender, SubmitSmResp)
        both.start_soon(note, receiver, DeliverSm)
    assert order == ["DeliverSm", "SubmitSmResp"]


async def test_an_answer_and_a_receipt_due_together_keep_their_order(autojump_clock: MockClock) -> None:
    behaviour = Behaviour(delay=Span(1, 1), dlr=Dlr(intermediate=True, repeats=1))
    async with smsc_with(behaviour) as smsc, scripted(smsc) as esme:
        await esme.send(asked(2), asked(3))
        kinds = [type(await esme.receive()).__name__ for _ in range(8)]
        assert kinds == ["SubmitSmResp", "DeliverSm", "DeliverSm", "DeliverSm"] * 2


async def test_ids_of_answers_and_receipts_in_different_styles(autojump_clock: MockClock) -> None:
    behaviour = Behaviour(ids=IdStyle.HEX_UPPER, dlr=Dlr(id_style=IdStyle.PADDED))
    async with smsc_with(behaviour, first_message_id=0xABCDEF) as smsc, scripted(smsc) as esme:
        await esme.send(asked())
        assert (await esme.expect(SubmitSmResp)).message_id == "ABCDEF"
        assert (await esme.expect(DeliverSm)).short_message.startswith(b"id:0000000011259375 ")


async def test_unsolicited_and_manual_receipts(autojump_clock: MockClock) -> None:
    async with smsc_with(Behaviour(dlr=Dlr(unsolicited_rate=1.0))) as smsc, scripted(smsc) as esme:
        await esme.send(asked())
        await esme.expect(SubmitSmResp)
        own, stray = await esme.expect(DeliverSm), await esme.expect(DeliverSm)
        assert own.short_message.startswith(b"id:1 ")
        assert not stray.short_message.startswith(b"id:1 ")
        sent = smsc.receipt_nowait("no-such-id", HANDSET, DESK, ReceiptState.EXPIRED)
        receipt = await esme.expect(DeliverSm)
        assert b"id:no-such-id " in receipt.short_message
        assert b"stat:EXPIRED" in receipt.short_message
        assert (receipt.source_addr, receipt.destination_addr) == (HANDSET[1:], DESK[1:])
        await esme.answer(receipt)
        assert await sent.answered() == 0


async def test_receipts_wait_for_a_receiver_and_survive_its_end(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with smsc_with() as smsc:
        async with bound_to(smsc, State.BOUND_TX) as sender:
            sender.submit([(asked(), None)])
            await sender.receive_answers()
        async with scripted(smsc, State.BOUND_RX) as receiver:
            await receiver.expect(DeliverSm)  # taken, never answered
        async with scripted(smsc, State.BOUND_RX) as receiver:
            await receiver.answer(await receiver.expect(DeliverSm))
            await smsc.wait_until(lambda: smsc.statistics().deliveries["receipts_ok"] == 1, 5, "answered")


async def test_acknowledgements_of_the_esme_are_collected_not_shown_as_texts(autojump_clock: MockClock) -> None:
    body = b"id:77 sub:001 dlvrd:001 submit date:2311142213 done date:2311142213 stat:DELIVRD err:000 text:"
    async with smsc_with() as smsc, bound_to(smsc) as esme:
        esme.submit([(submit_sm(body, esm_class=0x08, registered_delivery=1), None)])
        await esme.receive_answers()
        (news,) = smsc.acknowledgements
        assert (news.from_, news.to, news.receipt.message_id) == (DESK, HANDSET, "77")
        assert news.receipt.state is ReceiptState.DELIVERED
        assert smsc.handset(HANDSET).count == 0
        await trio.sleep(5)
        assert smsc.statistics().deliveries["receipts_ok"] == 0  # no receipt of a receipt
        assert smsc.statistics().waiting == 0


# --- control and view ------------------------------------------------------------------------------------------------


async def test_disconnect_cuts_and_unbind_parts_in_peace(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc:
        async with bound_to(smsc) as esme:
            assert smsc.disconnect() == 1
            await esme.wait_over()
            assert esme.ended is not None
            assert esme.ended.ending is Ending.CLOSED_BY_PEER
        async with bound_to(smsc) as esme:
            await smsc.unbind()
            await esme.wait_over()
            assert esme.ended is not None
            assert esme.ended.ending is Ending.UNBOUND_BY_PEER


async def test_alerts_go_to_receivers(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc:
        assert smsc.alert(HANDSET) == 0
        async with scripted(smsc, State.BOUND_RX) as esme:
            assert smsc.alert(HANDSET) == 1
            assert (await esme.expect(AlertNotification)).source_addr == HANDSET[1:]


async def test_events_tell_what_happens_and_end_with_the_smsc(autojump_clock: MockClock) -> None:
    found: list[object] = []
    async with smsc_with() as smsc:
        events = smsc.events()
        async with bound_to(smsc) as esme:
            for part in segment("x" * 200, reference=1):
                esme.submit([(submit_sm(part.short_message, esm_class=part.esm_class), None)])
                await esme.receive_answers()
        await smsc.wait_until(lambda: not smsc.binds, 5, "gone")
    async with events:
        found = [event async for event in events]
    assert [type(event) for event in found] == [BindNews, PartArrival, PartArrival, Reception, BindNews]
    first, last = found[0], found[-1]
    assert isinstance(first, BindNews)
    assert isinstance(last, BindNews)
    assert (first.bound, first.system_id, first.state) == (True, "hub", State.BOUND_TRX)
    assert (last.bound, bool(last.ending)) == (False, True)


async def test_a_slow_follower_misses_events_and_one_that_left_costs_nothing(autojump_clock: MockClock) -> None:
    async with smsc_with(keep_history=False) as smsc:
        slow, gone = smsc.events(buffer=2), smsc.events()
        gone.close()
        async with bound_to(smsc) as esme:
            await statuses_of(esme, 4)
            assert smsc.statistics().missed_events == 3  # of a bind and four texts, two fit
        slow.close()


async def test_waiting_in_vain_says_for_what(autojump_clock: MockClock) -> None:
    async with smsc_with() as smsc:
        with pytest.raises(NotArrived, match=r"2 text\(s\) at \+16175550101, 0 came: not within 3 s") as error:
            await smsc.wait_for(HANDSET, 2, 3)
        assert isinstance(error.value, TimeoutError)
        with pytest.raises(NotArrived, match=r"1 receiver"):
            await smsc.wait_bound(timeout_s=1)


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [({"seed": 1}, 1, 1), ({"seed": None, "first_message_id": 500}, 500, 500), ({"seed": None}, 10**9, 10**14)],
)
async def test_where_message_ids_begin(
    autojump_clock: MockClock, settings: dict[str, object], least: int, most: int
) -> None:
    async with smsc_with(**settings) as smsc, bound_to(smsc) as esme:
        esme.submit([(submit_sm(), None)])
        (answer,) = await esme.receive_answers()
        assert isinstance(answer.response, SubmitSmResp)
        assert least <= int(answer.response.message_id) <= most


async def test_what_the_body_raises_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(LookupError):
        async with smsc_with() as smsc, bound_to(smsc):
            raise LookupError


async def test_settings_print_without_the_password(autojump_clock: MockClock) -> None:
    settings = SmscSettings(system_id="hub", password="hushhush")
    assert "hushhush" not in repr(settings)
    assert "hub" in repr(settings)
    assert msgspec.structs.replace(settings, port=1).port == 1


async def test_one_session_that_fails_to_answer_holds_up_no_other(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A receiver that is full is passed over."""
    async with smsc_with(window=1) as smsc, scripted(smsc, State.BOUND_RX) as deaf, bound_to(smsc) as esme:
        stuck = smsc.text_nowait(HANDSET, DESK, "stuck")
        pdu = await deaf.expect(DeliverSm)
        nursery.start_soon(answer_all, esme)
        assert await smsc.text(HANDSET, DESK, "passes") == 0
        assert not stuck.is_answered
        await deaf.send(DeliverSmResp(sequence_number=pdu.sequence_number))
        assert await stuck.answered() == 0
        nursery.cancel_scope.cancel()
