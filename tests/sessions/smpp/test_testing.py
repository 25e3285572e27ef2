"""The fakes are tested too."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from smpp.codec import encode
from smpp.pdu import AlertNotification, BindReceiver, EnquireLink, EnquireLinkResp, SubmitSm, SubmitSmResp
from smpp.states import State
from smpp.testing import ScriptedESME, ScriptedPeer, ScriptedSMSC, Unexpected, bound_pair


@pytest.fixture
def peers():
    left, right = trio.testing.memory_stream_pair()
    return ScriptedESME(left), ScriptedSMSC(right)


async def test_it_sends_what_it_is_told_and_says_what_it_got(peers):
    esme, smsc = peers
    await esme.send(SubmitSm(sequence_number=0), EnquireLink(sequence_number=0xFFFFFFFF))
    submit = await smsc.expect(SubmitSm)
    assert submit.sequence_number == 0
    await smsc.answer(submit, 8, message_id="x")
    assert await esme.expect(SubmitSmResp) == SubmitSmResp(sequence_number=0, command_status=8, message_id="x")
    assert (await smsc.receive()).sequence_number == 0xFFFFFFFF


async def test_what_is_not_expected_fails_the_test(peers):
    esme, smsc = peers
    await esme.send(SubmitSm())
    with pytest.raises(Unexpected, match="expected EnquireLink, got SubmitSm"):
        await smsc.expect(EnquireLink)
    await esme.send(SubmitSm())
    with pytest.raises(Unexpected, match="expected the end, got SubmitSm"):
        await smsc.expect_end()
    await esme.send(SubmitSm())
    with pytest.raises(Unexpected, match="expected a bind, got SubmitSm"):
        await smsc.accept_bind()
    await smsc.send(SubmitSm())
    with pytest.raises(Unexpected, match="expected a bind response"):
        await esme.bind(BindReceiver())


async def test_half_a_pdu_is_not_the_end(peers):
    esme, smsc = peers
    await esme.send_raw(encode(SubmitSm())[:20])
    await esme.close()
    with pytest.raises(Unexpected, match="expected the end, got 20 octets"):
        await smsc.expect_end()


async def test_the_end_is_seen(peers):
    esme, smsc = peers
    await esme.close()
    await smsc.expect_end()
    with pytest.raises(Unexpected, match="expected SubmitSm, got the end"):
        await smsc.expect(SubmitSm)


async def test_pdus_in_pieces_are_put_together(peers):
    esme, smsc = peers
    for octet in encode(EnquireLink(sequence_number=3)):
        await esme.send_raw(bytes((octet,)))
    assert (await smsc.expect(EnquireLink)).sequence_number == 3


@pytest.mark.parametrize(("version", "tlvs"), [(0x34, ((0x0210, b"\x34"),)), (None, ())])
async def test_it_can_be_bound_to(peers, version, tlvs):
    esme, smsc = peers
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: smsc.accept_bind(version=version))
        response = await esme.bind(BindReceiver(sequence_number=9))
    assert (response.sequence_number, response.system_id, response.tlvs) == (9, "SMSC", tlvs)


async def test_nothing_answers_an_alert(peers):
    with pytest.raises(LookupError):
        await peers[0].answer(AlertNotification())


async def test_a_broken_stream_has_ended():
    left, right = trio.testing.memory_stream_pair()
    right.receive_stream.put_eof()
    await ScriptedPeer(right).expect_end()
    await left.aclose()


@pytest.mark.parametrize("state", [State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX])
async def test_a_pair_is_bound_as_asked_and_cut_at_the_end(autojump_clock, state):
    async with bound_pair(state) as (esme, smsc):
        assert esme.state is smsc.state is state
        esme.connection.receive_data(encode(EnquireLinkResp()), trio.current_time())
    assert esme.ended
    assert smsc.ended
    assert trio.current_time() == 0


async def test_what_the_body_raises_comes_out_of_a_pair(autojump_clock):
    with pytest.raises(ZeroDivisionError):
        async with bound_pair():
            raise ZeroDivisionError
