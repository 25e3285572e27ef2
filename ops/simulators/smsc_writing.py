"""What a simulated SMSC writes: texts of handsets, receipts, answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from ops.simulators.smsc_behaviour import Behaviour, Dlr, IdStyle
from ops.simulators.smsc_errors import Unsendable
from ops.simulators.smsc_handset import Message, address_to
from ops.simulators.smsc_receipts import News, is_asked, write_id, write_receipt
from smpp.alphabet import Alphabet, UnencodableText
from smpp.constants import CommandStatus, RegisteredDelivery
from smpp.pdu import (
    PDU,
    CancelSm,
    DataSmResp,
    DeliverSm,
    QuerySm,
    ReplaceSm,
    SubmitSm,
    SubmitSmResp,
    response_class,
)
from smpp.receipt import ReceiptState
from smpp.segmentation import Method, TooManyParts, segment

OVERTAKE_S: Final = 0.05
"""By how much a receipt that overtakes comes before the answer: over two connections, too, and on a busy machine."""

NEVER_GIVEN: Final = 1 << 50
"""Added to a message's number, it makes one that is never given out."""

ASKS_RECEIPT: Final = int(RegisteredDelivery.FINAL | RegisteredDelivery.SME_DELIVERY_ACKNOWLEDGEMENT)
"""How a handset's text asks: bits 3-2 by the letter of SMPP 3.4 §5.2.17, bits 1-0 as most carriers do it."""

Address = tuple[int, int, str]

_REFUSED: Final[dict[type[PDU], int]] = {
    QuerySm: CommandStatus.ESME_RQUERYFAIL,
    CancelSm: CommandStatus.ESME_RCANCELFAIL,
    ReplaceSm: CommandStatus.ESME_RREPLACEFAIL,
}


class Planned(msgspec.Struct, frozen=True, gc=False):
    """A receipt to come.

    Attributes:
        after_s: from now.
        pdu: the receipt.
    """

    after_s: float
    pdu: DeliverSm


def write_text(
    from_: str,
    to: str,
    text: str,
    *,
    method: Method,
    alphabet: Alphabet,
    reference: int,
    wants_receipt: bool = False,
    order: Sequence[int] | None = None,
) -> list[DeliverSm]:
    """Write what a handset sends.

    Args:
        from_, to: addresses.
        text: cut into parts when it is long.
        method: how to cut.
        alphabet: what data_coding 0 means.
        reference: the number that its parts share.
        wants_receipt: ask for an acknowledgement.
        order: the numbers of the parts to send, from 1; None for all in order.

    Raises: Unsendable.
    """
    try:
        segments = segment(text, method=method, default=alphabet, reference=reference)
    except (UnencodableText, TooManyParts) as error:
        raise Unsendable(str(error)) from error
    if order is not None:
        if not all(1 <= number <= len(segments) for number in order):
            raise Unsendable(f"parts {list(order)} of a text of {len(segments)}")
        segments = tuple(segments[number - 1] for number in order)
    source, destination = address_to(from_), address_to(to)
    registered = ASKS_RECEIPT if wants_receipt else 0
    return [
        _deliver_sm(source, destination, s.esm_class, s.data_coding, s.short_message, s.tlvs, registered)
        for s in segments
    ]


def write_news(news: News, dlr: Dlr, source: Address, destination: Address, *, intermediate: bool = False) -> DeliverSm:
    """Write a receipt, from the handset that it is about to who wrote to it."""
    w = write_receipt(news, dlr, intermediate=intermediate)
    return _deliver_sm(source, destination, w.esm_class, w.data_coding, w.short_message, w.tlvs, 0)


def plan_receipts(
    request: Message,
    number: int,
    state: ReceiptState,
    behaviour: Behaviour,
    chance: Random,
    now_us: int,
    answer_after_s: float,
    text: str,
) -> tuple[list[Planned], float]:
    """Plan the receipts of a message, in the order in which they come.

    Args:
        request: the message.
        number: of the message.
        state: what becomes of it.
        behaviour: how receipts are given.
        chance: decides on delays and unsolicited ones.
        now_us: when it came.
        answer_after_s: how long its answer takes, if no receipt is to overtake it.
        text: its begin, or empty.

    Returns: the receipts, and how long the answer takes.
    """
    dlr = behaviour.dlr
    style: IdStyle = dlr.id_style or behaviour.ids
    wait_s = dlr.delay.draw(chance) + (0.0 if dlr.overtakes else answer_after_s)
    stray = dlr.unsolicited_rate > 0 and chance.random() < dlr.unsolicited_rate
    source = (request.dest_addr_ton, request.dest_addr_npi, request.destination_addr)
    destination = (request.source_addr_ton, request.source_addr_npi, request.source_addr)

    def receipt(number: int, state: ReceiptState, after_s: float, *, intermediate: bool = False) -> Planned:
        news = News(write_id(number, style), state, now_us, now_us + round(after_s * 1e6), text)
        return Planned(after_s, write_news(news, dlr, source, destination, intermediate=intermediate))

    planned: list[Planned] = []
    if dlr.intermediate:
        first_s = 0.0 if dlr.overtakes else answer_after_s
        planned.append(receipt(number, ReceiptState.ENROUTE, first_s, intermediate=True))
    if dlr.always or is_asked(request.registered_delivery, state):
        planned += [receipt(number, state, wait_s)] * (1 + dlr.repeats)
    if stray:
        planned.append(receipt(number + NEVER_GIVEN, state, wait_s))
    return planned, (wait_s + OVERTAKE_S + answer_after_s if dlr.overtakes and planned else answer_after_s)


def write_answer(request: Message, command_status: int, message_id: str = "") -> PDU:
    """The response to a message."""
    # By position (sequence_number, command_status, tlvs, message_id): one for each message.
    if isinstance(request, SubmitSm):
        return SubmitSmResp(request.sequence_number, command_status, (), message_id)
    return DataSmResp(request.sequence_number, command_status, (), message_id)


def write_refusal(request: PDU) -> PDU | None:
    """The response to a request that brings no text for a handset; None when it has none."""
    response = response_class(request)
    if response is None:
        return None
    status = int(_REFUSED.get(type(request), CommandStatus.ESME_RINVCMDID))
    return response(command_status=status, sequence_number=request.sequence_number)


def _deliver_sm(
    source: Address,
    destination: Address,
    esm_class: int,
    data_coding: int,
    short_message: bytes,
    tlvs: tuple[tuple[int, bytes], ...],
    registered_delivery: int,
) -> DeliverSm:
    return DeliverSm(
        source_addr_ton=source[0],
        source_addr_npi=source[1],
        source_addr=source[2],
        dest_addr_ton=destination[0],
        dest_addr_npi=destination[1],
        destination_addr=destination[2],
        esm_class=esm_class,
        registered_delivery=registered_delivery,
        data_coding=data_coding,
        short_message=short_message,
        tlvs=tlvs,
    )
