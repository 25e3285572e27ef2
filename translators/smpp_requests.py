"""What an ESME asks of texts that it has submitted, and the answers. Pure.

query_sm, cancel_sm and replace_sm name a text by its message_id *and* its source address (SMPP 3.4 §4.8 to §4.10). Two
things are read with the eyes of those who write clients:

- An empty source address is taken for "not said", as §4.8.1 allows for its type of number: the account is known, and
  only its own texts are found. A source that is given must be that of the text.
- What is not found, belongs to another account, or has another source is one answer, ESME_RINVMSGID: which of them it
  is would tell a stranger that the id exists.

submit_multi is one submit_sm for each of its destinations, with one message_id for all (§4.5).
What the account is told, request by request: docs/reference/smpp-requests.md.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hub.model import Accepted, Arrival, Effect, Fate, Message, Name, Reason, Rejected, TryLater, Verdict
from smpp import pdu as p
from smpp import tlv
from smpp.constants import VERSION_3_4, VERSION_5_0, CommandStatus, EsmClass, MessageState, is_receipt
from smpp.errors import BadTime
from smpp.timeformat import format_absolute, parse_time
from translators.smpp_addresses import address_of, address_to
from translators.smpp_messages import STATUS_OF_REASON, BadMessage, MessagePdu

MOST_DESTINATIONS: Final = 254  # SMPP 3.4 §4.5.1
FULL_AFTER_S: Final = 5.0  # a wait this long means that the store is full, not that it is slow
MESSAGE_ID_OCTETS: Final = 64
ADDRESS_OCTETS: Final = 20
_MAX_ID: Final = (1 << 63) - 1
_UDHI: Final = int(EsmClass.UDHI)
_SET_DPF: Final = int(tlv.Tag.SET_DPF)
_LARGEST_ERROR: Final = 0xFF  # error_code is one octet

CODED: Final = "submitted_as"
"""The attribute that keeps data_coding, and ``u`` where a user data header came first: replace_sm has neither."""

WANTS_ALERT: Final = "set_dpf"
"""The attribute of a text whose sender wants to hear when its recipient can be reached again."""

Request = p.QuerySm | p.CancelSm | p.ReplaceSm

FAILURES: Final[dict[type[p.PDU], int]] = {
    p.QuerySm: CommandStatus.ESME_RQUERYFAIL,
    p.CancelSm: CommandStatus.ESME_RCANCELFAIL,
    p.ReplaceSm: CommandStatus.ESME_RREPLACEFAIL,
}
BROADCAST_FAILURES: Final[dict[type[p.PDU], int]] = {
    p.BroadcastSm: CommandStatus.ESME_RBCASTFAIL,
    p.QueryBroadcastSm: CommandStatus.ESME_RBCASTQUERYFAIL,
    p.CancelBroadcastSm: CommandStatus.ESME_RBCASTCANCELFAIL,
}
"""There are no cells here to broadcast to: said in the words of who knows the request."""


# --- statuses --------------------------------------------------------------------------------------------------------

_TOLD: Final = frozenset((Reason.OPTED_OUT, Reason.FILTERED, Reason.TOO_MUCH))
"""Reasons that no status says well: the answer names them (additional_status_info_text, SMPP 5.0 §4.8.4.1)."""


def status_of(verdict: Verdict) -> int:
    """The command_status of intake's verdict."""
    if isinstance(verdict, Accepted):
        return 0
    if isinstance(verdict, Rejected):
        return STATUS_OF_REASON.get(verdict.reason, CommandStatus.ESME_RSYSERR)
    return later_status(verdict)


def later_status(verdict: TryLater) -> int:
    """The command_status of "not now"."""
    return CommandStatus.ESME_RMSGQFUL if verdict.after_s >= FULL_AFTER_S else CommandStatus.ESME_RTHROTTLED


def details_of(verdict: Verdict, request: p.PDU, version: int) -> p.TLVs:
    """What an answer says beside its status, to a session of this version.

    In SMPP 3.4 only data_sm_resp has such a TLV (§4.7.2), and smpplib fails on one that it does not expect.
    """
    if version < (VERSION_3_4 if isinstance(request, p.DataSm) else VERSION_5_0):
        return ()
    if isinstance(verdict, Rejected) and verdict.reason in _TOLD:
        return (tlv.make(tlv.Tag.ADDITIONAL_STATUS_INFO_TEXT, verdict.reason.value),)
    return ()


def failed(request: p.PDU, command_status: int) -> p.PDU:
    """The response that refuses a request; generic_nack for a command that the peer's version does not have."""
    response = p.response_class(request)
    if response is None or command_status == CommandStatus.ESME_RINVCMDID:
        response = p.GenericNack
    return response(command_status=int(command_status), sequence_number=request.sequence_number)


def broadcast_failed(request: p.PDU, peer_version: int) -> p.PDU:
    """The answer to a request of SMPP 5.0 for a broadcast."""
    status = BROADCAST_FAILURES[type(request)] if peer_version >= VERSION_5_0 else CommandStatus.ESME_RINVCMDID
    return failed(request, status)


# --- what more a submission says --------------------------------------------------------------------------------------


def completed(pdu: MessagePdu, arrival: Arrival) -> Arrival:
    """An ESME's submission with what matters for later requests."""
    if arrival.receipt is not None:
        return arrival
    more: dict[str, str] = {}
    if arrival.data is None and (pdu.data_coding or pdu.esm_class & _UDHI):
        more[CODED] = f"{pdu.data_coding}{'u' if pdu.esm_class & _UDHI else ''}"
    if pdu.tlvs and tlv.get(pdu, tlv.Tag.SET_DPF) == 1:
        more[WANTS_ALERT] = "1"
    return msgspec.structs.replace(arrival, attributes={**arrival.attributes, **more}) if more else arrival


# --- query_sm --------------------------------------------------------------------------------------------------------


def name_of(request: Request, country_code: str) -> Name | None:
    """The text that a request means; None when its message_id is none that the hub gives out."""
    text = request.message_id
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(_MAX_ID)) or text[0] == "0":
        return None
    number = int(text)
    if number > _MAX_ID:
        return None
    destination = ""
    if isinstance(request, p.CancelSm):
        destination = address_of(request.dest_addr_ton, request.destination_addr, country_code)
    return Name(number, address_of(request.source_addr_ton, request.source_addr, country_code), destination)


def query_answer(request: p.QuerySm, fate: Fate | None, peer_version: int) -> p.QuerySmResp:
    """The answer to query_sm (SMPP 3.4 §4.8.2)."""
    message_id = request.message_id[:MESSAGE_ID_OCTETS]
    if fate is None:
        return p.QuerySmResp(
            command_status=CommandStatus.ESME_RINVMSGID,
            sequence_number=request.sequence_number,
            message_id=message_id,
            message_state=int(MessageState.UNKNOWN),
        )
    state = MessageState[fate.state.name]
    if fate.scheduled and peer_version >= VERSION_5_0:
        state = MessageState.SCHEDULED
    return p.QuerySmResp(
        sequence_number=request.sequence_number,
        message_id=message_id,
        final_date=format_absolute(fate.done_us) if fate.state.is_final and fate.done_us else "",
        message_state=int(state),
        error_code=error_code(fate.error),
    )


def error_code(error: str) -> int:
    """A network's error code in the one octet that query_sm_resp has: 255 for one that it cannot hold."""
    if error.isascii() and error.isdecimal():
        return min(int(error), _LARGEST_ERROR)
    return _LARGEST_ERROR if error else 0


# --- cancel_sm, replace_sm --------------------------------------------------------------------------------------------


def effect_answer(request: p.CancelSm | p.ReplaceSm, effect: Effect) -> p.PDU:
    """The answer to cancel_sm or replace_sm."""
    if effect is Effect.UNKNOWN:
        return failed(request, CommandStatus.ESME_RINVMSGID)
    return failed(request, 0 if effect is Effect.DONE else FAILURES[type(request)])


def as_submitted(request: p.ReplaceSm, message: Message) -> p.SubmitSm:
    """The submit_sm that would have brought a text as replace_sm has it now.

    data_coding, header and addresses are those that the text came with: replace_sm has none (SMPP 3.4 §4.10.1).

    Raises: BadMessage.
    """
    if request.sm_default_msg_id:
        raise BadMessage(CommandStatus.ESME_RINVDFTMSGID)  # there are no predefined messages here
    attributes = message.attributes
    if message.data is None:
        coded = attributes.get(CODED, "0")
        data_coding, has_header = int(coded.rstrip("u")), coded.endswith("u")
    else:
        data_coding, has_header = int(attributes.get("data_coding", "4")), attributes.get("esm_class", "0") != "0"
    ton, npi, source = address_to(message.source)
    dest_ton, dest_npi, destination = address_to(message.destination)
    return p.SubmitSm(
        sequence_number=request.sequence_number,
        tlvs=request.tlvs,
        service_type=attributes.get("service_type", ""),
        source_addr_ton=ton,
        source_addr_npi=npi,
        source_addr=source,
        dest_addr_ton=dest_ton,
        dest_addr_npi=dest_npi,
        destination_addr=destination,
        esm_class=_UDHI if has_header else 0,
        registered_delivery=request.registered_delivery,
        data_coding=data_coding,
        short_message=request.short_message,
    )


def replaced(message: Message, arrival: Arrival, request: p.ReplaceSm, now_us: int) -> Message:
    """A text with another content and, where the request names them, other times.

    Args:
        message: as it was.
        arrival: what ``as_submitted`` reads as.
        request: names the times; empty ones stay as they are.
        now_us: now.

    Raises: BadMessage.
    """
    if arrival.concatenation is not None or (arrival.data is None) != (message.data is None):
        raise BadMessage(CommandStatus.ESME_RREPLACEFAIL)
    not_before_us, expires_us = message.not_before_us, message.expires_us
    try:
        start_us = parse_time(request.schedule_delivery_time, now_us)
    except BadTime as error:
        raise BadMessage(CommandStatus.ESME_RINVSCHED) from error
    try:
        end_us = parse_time(request.validity_period, now_us)
    except BadTime as error:
        raise BadMessage(CommandStatus.ESME_RINVEXPIRY) from error
    if start_us is not None and start_us > now_us:
        not_before_us = start_us
    elif start_us is not None and not_before_us > now_us:
        not_before_us = now_us  # it waited for a later time
    if end_us is not None:
        expires_us = end_us
    if expires_us <= max(now_us, not_before_us):
        raise BadMessage(CommandStatus.ESME_RINVSCHED if end_us is None else CommandStatus.ESME_RINVEXPIRY)
    return msgspec.structs.replace(
        message,
        text=arrival.text,
        data=arrival.data,
        receipt_wanted=arrival.receipt_wanted,
        not_before_us=not_before_us,
        expires_us=expires_us,
    )


# --- submit_multi ----------------------------------------------------------------------------------------------------


def check_multi(request: p.SubmitMulti) -> None:
    """Refuse what is wrong with all of a submit_multi. Raises: BadMessage."""
    if not 1 <= len(request.dest_address) <= MOST_DESTINATIONS:
        raise BadMessage(CommandStatus.ESME_RINVNUMDESTS)
    if is_receipt(request.esm_class):
        raise BadMessage(CommandStatus.ESME_RINVESMCLASS)


def single(request: p.SubmitMulti, to: p.SmeAddress) -> p.SubmitSm:
    """The submit_sm for one destination of a submit_multi."""
    return p.SubmitSm(
        sequence_number=request.sequence_number,
        tlvs=request.tlvs,
        service_type=request.service_type,
        source_addr_ton=request.source_addr_ton,
        source_addr_npi=request.source_addr_npi,
        source_addr=request.source_addr,
        dest_addr_ton=to.dest_addr_ton,
        dest_addr_npi=to.dest_addr_npi,
        destination_addr=to.destination_addr,
        esm_class=request.esm_class,
        protocol_id=request.protocol_id,
        priority_flag=request.priority_flag,
        schedule_delivery_time=request.schedule_delivery_time,
        validity_period=request.validity_period,
        registered_delivery=request.registered_delivery,
        replace_if_present_flag=request.replace_if_present_flag,
        data_coding=request.data_coding,
        sm_default_msg_id=request.sm_default_msg_id,
        short_message=request.short_message,
    )


def unsuccessful(to: p.SmeAddress | p.DistributionList, command_status: int) -> p.UnsuccessSme:
    """A destination that was not taken. A distribution list is named where an address would stand."""
    if isinstance(to, p.DistributionList):
        return p.UnsuccessSme(destination_addr=to.dl_name[:ADDRESS_OCTETS], error_status_code=int(command_status))
    return p.UnsuccessSme(
        dest_addr_ton=to.dest_addr_ton,
        dest_addr_npi=to.dest_addr_npi,
        destination_addr=to.destination_addr[:ADDRESS_OCTETS],
        error_status_code=int(command_status),
    )


def multi_answer(request: p.SubmitMulti, message_id: str, refused: tuple[p.UnsuccessSme, ...]) -> p.SubmitMultiResp:
    """The answer to submit_multi (SMPP 3.4 §4.5.2).

    Args:
        request: the request.
        message_id: of all that were taken; empty when none was.
        refused: the others. When none was taken, their status is that of the whole, if it is one and the same.
    """
    status = 0
    if not message_id:
        statuses = {sme.error_status_code for sme in refused}
        status = statuses.pop() if len(statuses) == 1 else int(CommandStatus.ESME_RSUBMITFAIL)
    return p.SubmitMultiResp(
        command_status=status,
        sequence_number=request.sequence_number,
        message_id=message_id,
        unsuccess_sme=refused,
    )


# --- alert_notification -----------------------------------------------------------------------------------------------


def alert_notification(address: str, sender: str) -> p.AlertNotification:
    """The news that a handset can be reached again (SMPP 3.4 §4.12).

    Args:
        address: the handset's.
        sender: the address that the ESME wrote to it from.
    """
    ton, npi, source = address_to(address)
    esme_ton, esme_npi, esme = address_to(sender)
    return p.AlertNotification(
        source_addr_ton=ton,
        source_addr_npi=npi,
        source_addr=source,
        esme_addr_ton=esme_ton,
        esme_addr_npi=esme_npi,
        esme_addr=esme,
    )
