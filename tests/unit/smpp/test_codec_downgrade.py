"""What goes to a peer of an earlier version (SMPP 3.4 §3.4)."""

import pytest

from smpp import pdu
from smpp.codec import decode, encode
from smpp.constants import VERSION_3_3, VERSION_3_4, VERSION_5_0
from smpp.downgrade import downgrade, since
from smpp.errors import EncodeError
from smpp.pdu import PDU, PDU_CLASSES
from smpp.tlv import Tag, make

SAR = (make(Tag.SAR_MSG_REF_NUM, 7), make(Tag.SAR_TOTAL_SEGMENTS, 3), make(Tag.SAR_SEGMENT_SEQNUM, 2))
WIDE_SAR = (make(Tag.SAR_MSG_REF_NUM, 0x1234), *SAR[1:])
OF_3_4 = (make(Tag.USER_MESSAGE_REFERENCE, 9), (0x1400, b"vendor"), (0x9999, b"nobody's"))
OF_5_0 = (make(Tag.SOURCE_NODE_ID, b"000001"), make(Tag.BILLING_IDENTIFICATION, b"\x01x"))

IN_3_3 = {
    *(pdu.BindReceiver, pdu.BindReceiverResp, pdu.BindTransmitter, pdu.BindTransmitterResp, pdu.Unbind, pdu.UnbindResp),
    *(pdu.EnquireLink, pdu.EnquireLinkResp, pdu.GenericNack, pdu.SubmitSm, pdu.SubmitSmResp, pdu.DeliverSm),
    *(pdu.DeliverSmResp, pdu.SubmitMulti, pdu.SubmitMultiResp, pdu.QuerySm, pdu.QuerySmResp, pdu.CancelSm),
    *(pdu.CancelSmResp, pdu.ReplaceSm, pdu.ReplaceSmResp),
}
NEW_IN_3_4 = {
    *(pdu.BindTransceiver, pdu.BindTransceiverResp, pdu.Outbind, pdu.DataSm, pdu.DataSmResp, pdu.AlertNotification),
}
ALL = sorted(PDU_CLASSES.values(), key=lambda each: each.__name__)
TEXTS = (pdu.SubmitSm, pdu.DeliverSm, pdu.SubmitMulti)


@pytest.mark.parametrize("pdu_class", ALL)
def test_which_version_brought_a_pdu(pdu_class: type[PDU]) -> None:
    expected = VERSION_3_3 if pdu_class in IN_3_3 else VERSION_3_4 if pdu_class in NEW_IN_3_4 else VERSION_5_0
    assert since(pdu_class) == expected


@pytest.mark.parametrize("pdu_class", ALL)
@pytest.mark.parametrize("version", [0x00, 0x33, 0x34, 0x35, 0x50, 0xFF])
def test_a_pdu_of_a_later_version_is_refused_and_all_others_pass(pdu_class: type[PDU], version: int) -> None:
    if since(pdu_class) > max(version, VERSION_3_3):
        with pytest.raises(EncodeError, match=pdu_class.__name__) as raised:
            downgrade(pdu_class(), version)
        assert raised.value.field == "command_id"
    else:
        assert downgrade(pdu_class(), version) == pdu_class()


@pytest.mark.parametrize("pdu_class", sorted(IN_3_3, key=lambda each: each.__name__))
def test_a_3_3_peer_never_sees_a_tlv(pdu_class: type[PDU]) -> None:
    assert downgrade(pdu_class(tlvs=OF_3_4 + OF_5_0), VERSION_3_3).tlvs == ()


def test_a_3_4_peer_sees_no_tlv_of_5_0_and_all_others() -> None:
    message = pdu.SubmitSm(tlvs=(OF_3_4[0], *OF_5_0, *OF_3_4[1:]))
    assert downgrade(message, VERSION_3_4).tlvs == OF_3_4
    answer = pdu.SubmitSmResp(message_id="1", tlvs=(make(Tag.CONGESTION_STATE, 90),))
    assert downgrade(answer, VERSION_3_4) == pdu.SubmitSmResp(message_id="1")
    assert downgrade(message, VERSION_5_0) is message
    assert downgrade(answer, VERSION_5_0) is answer


@pytest.mark.parametrize("version", [VERSION_3_3, VERSION_3_4, VERSION_5_0])
def test_nothing_is_made_anew_when_nothing_changes(version: int) -> None:
    message = pdu.SubmitSm(source_addr="1", short_message=b"hello", registered_delivery=1)
    assert downgrade(message, version) is message


@pytest.mark.parametrize(
    ("asked", "in_3_3", "in_3_4"),
    [(0, 0, 0), (1, 1, 1), (2, 1, 2), (3, 1, 1), (0x11, 1, 0x11), (0x10, 0, 0x10), (0x0F, 1, 0x0D)],
)
def test_which_receipts_are_asked_for(asked: int, in_3_3: int, in_3_4: int) -> None:
    for pdu_class in (*TEXTS, pdu.ReplaceSm):
        message = pdu_class(registered_delivery=asked)
        assert downgrade(message, VERSION_3_3).registered_delivery == in_3_3
        assert downgrade(message, VERSION_3_4).registered_delivery == in_3_4
        assert downgrade(message, VERSION_5_0).registered_delivery == asked


@pytest.mark.parametrize("pdu_class", TEXTS)
def test_a_text_in_message_payload_becomes_short_message(pdu_class: type[pdu.SubmitSm]) -> None:
    message = pdu_class(tlvs=(*OF_3_4, make(Tag.MESSAGE_PAYLOAD, b"x" * 254)))
    assert downgrade(message, VERSION_3_3) == pdu_class(short_message=b"x" * 254)
    assert downgrade(message, VERSION_3_4) is message


@pytest.mark.parametrize("pdu_class", TEXTS)
def test_a_text_that_only_message_payload_holds_is_refused_not_cut(pdu_class: type[pdu.SubmitSm]) -> None:
    message = pdu_class(tlvs=(make(Tag.MESSAGE_PAYLOAD, b"x" * 255),))
    with pytest.raises(EncodeError, match="255 octets") as raised:
        downgrade(message, VERSION_3_3)
    assert raised.value.field == "tlv 0x0424"


@pytest.mark.parametrize("version", [VERSION_3_3, VERSION_3_4])
def test_replace_sm_got_its_payload_with_5_0(version: int) -> None:
    replace = pdu.ReplaceSm(message_id="1", tlvs=(make(Tag.MESSAGE_PAYLOAD, b"new"),))
    assert downgrade(replace, version) == pdu.ReplaceSm(message_id="1", short_message=b"new")
    assert downgrade(replace, VERSION_5_0) is replace
    with pytest.raises(EncodeError, match="300 octets"):
        downgrade(pdu.ReplaceSm(tlvs=(make(Tag.MESSAGE_PAYLOAD, b"x" * 300),)), version)


@pytest.mark.parametrize(
    ("sar", "header"),
    [(SAR, b"\x05\x00\x03\x07\x03\x02"), (WIDE_SAR, b"\x06\x08\x04\x12\x34\x03\x02")],
    ids=["8 bits", "16 bits"],
)
def test_parts_stay_together_where_there_are_no_sar_tlvs(sar: tuple[tuple[int, bytes], ...], header: bytes) -> None:
    for pdu_class in TEXTS:
        part = pdu_class(short_message=b"text", esm_class=0x83, tlvs=(*OF_3_4, *sar))
        assert downgrade(part, VERSION_3_3) == pdu_class(short_message=header + b"text", esm_class=0xC0)
        assert downgrade(part, VERSION_3_4) is part


def test_a_part_that_has_a_header_keeps_it_as_it_is() -> None:
    part = pdu.SubmitSm(short_message=b"\x05\x00\x03\x01\x02\x01x", esm_class=0x40, tlvs=SAR)
    assert downgrade(part, VERSION_3_3).short_message == part.short_message


@pytest.mark.parametrize("sar", [SAR[:2], SAR[1:], (SAR[0], make(Tag.SAR_TOTAL_SEGMENTS, 1), SAR[2])])
def test_sar_tlvs_that_say_nothing_make_no_header(sar: tuple[tuple[int, bytes], ...]) -> None:
    assert downgrade(pdu.SubmitSm(short_message=b"x", tlvs=sar), VERSION_3_3) == pdu.SubmitSm(short_message=b"x")


def test_a_part_without_room_for_its_header_is_refused() -> None:
    with pytest.raises(EncodeError, match="255 octets with its header"):
        downgrade(pdu.SubmitSm(short_message=b"x" * 249, tlvs=SAR), VERSION_3_3)


def test_3_3_has_no_message_modes() -> None:
    assert downgrade(pdu.SubmitSm(esm_class=0x42), VERSION_3_3).esm_class == 0x40
    assert downgrade(pdu.DeliverSm(esm_class=0x07), VERSION_3_3).esm_class == 0x04
    assert downgrade(pdu.SubmitSm(esm_class=0x42), VERSION_3_4).esm_class == 0x42


def test_what_is_downgraded_can_be_written() -> None:
    message = pdu.SubmitSm(sequence_number=5, destination_addr="1", esm_class=3, short_message=b"hi", tlvs=SAR)
    plain = downgrade(message, VERSION_3_3)
    assert decode(encode(plain)) == plain
    assert plain.sequence_number == 5
