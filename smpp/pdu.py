"""The PDUs, as immutable values named and ordered as in the standard.

Build them with keywords. Every field has a default, so that a PDU is written with what matters only. C-octet strings
are ``str`` decoded as Latin-1: all 256 octets map one to one, so nothing a peer sends is ever lost. Count fields
(sm_length, number_of_dests, no_unsuccess) are not here: the codec derives them.

The classes are ``msgspec.Struct``, not untracked dataclasses, because one is built for every message: positional
construction costs a tenth of a microsecond, keyword construction half of one. The order of positional arguments
(header, TLVs, then the body in wire order) is for the codec alone.

What the octets look like is said once, in ``smpp.layout``.

Source: SMPP 3.4 §4; the broadcast PDUs: SMPP 5.0 §4.4 and §4.6.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from smpp.constants import RESPONSE_BIT

TLVs = tuple[tuple[int, bytes], ...]
"""Optional parameters: (tag, value), in the order of the wire, unknown ones included."""


class PDU(msgspec.Struct, frozen=True, gc=False):
    """What all PDUs have.

    Attributes:
        command_id: of the class.
        sequence_number: 0…0xFFFFFFFF; a connection gives requests theirs, a response echoes its request's.
        command_status: 0 in requests.
        tlvs: see ``TLVs`` and ``smpp.tlv``.
    """

    command_id: ClassVar[int] = -1

    sequence_number: int = 0
    command_status: int = 0
    tlvs: TLVs = ()


class GenericNack(PDU, frozen=True, gc=False):
    """generic_nack (§4.3): the request's header made no sense."""

    command_id: ClassVar[int] = 0x80000000


# -- Session management (§4.1, §4.2, §4.11) ---------------------------------------------------------------------------


class _Secretive(PDU, frozen=True, gc=False):
    """A PDU with a password. What is written for people never shows it, nor how long it is."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, "***" if name == "password" and value else value) for name, value in shown]


class _Bind(_Secretive, frozen=True, gc=False):
    """The body that the three binds share."""

    system_id: str = ""
    password: str = ""
    system_type: str = ""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""


class _BindResp(PDU, frozen=True, gc=False):
    """The body that the three bind responses share. No sc_interface_version among the TLVs means a 3.3 peer."""

    system_id: str = ""


class BindReceiver(_Bind, frozen=True, gc=False):
    """bind_receiver (§4.1.3)."""

    command_id: ClassVar[int] = 0x00000001


class BindReceiverResp(_BindResp, frozen=True, gc=False):
    """bind_receiver_resp (§4.1.4)."""

    command_id: ClassVar[int] = 0x80000001


class BindTransmitter(_Bind, frozen=True, gc=False):
    """bind_transmitter (§4.1.1)."""

    command_id: ClassVar[int] = 0x00000002


class BindTransmitterResp(_BindResp, frozen=True, gc=False):
    """bind_transmitter_resp (§4.1.2)."""

    command_id: ClassVar[int] = 0x80000002


class BindTransceiver(_Bind, frozen=True, gc=False):
    """bind_transceiver (§4.1.5)."""

    command_id: ClassVar[int] = 0x00000009


class BindTransceiverResp(_BindResp, frozen=True, gc=False):
    """bind_transceiver_resp (§4.1.6)."""

    command_id: ClassVar[int] = 0x80000009


class Outbind(_Secretive, frozen=True, gc=False):
    """outbind (§4.1.7): an SMSC asks an ESME to bind as a receiver. It has no response."""

    command_id: ClassVar[int] = 0x0000000B

    system_id: str = ""
    password: str = ""


class Unbind(PDU, frozen=True, gc=False):
    """unbind (§4.2.1)."""

    command_id: ClassVar[int] = 0x00000006


class UnbindResp(PDU, frozen=True, gc=False):
    """unbind_resp (§4.2.2)."""

    command_id: ClassVar[int] = 0x80000006


class EnquireLink(PDU, frozen=True, gc=False):
    """enquire_link (§4.11.1)."""

    command_id: ClassVar[int] = 0x00000015


class EnquireLinkResp(PDU, frozen=True, gc=False):
    """enquire_link_resp (§4.11.2)."""

    command_id: ClassVar[int] = 0x80000015


# -- Messages (§4.4 to §4.7) ------------------------------------------------------------------------------------------


class _ShortMessage(PDU, frozen=True, gc=False):
    """The body that submit_sm and deliver_sm share.

    Attributes:
        short_message: at most 254 octets; longer ones go into the message_payload TLV, and this stays empty.
    """

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""


class _MessageIdResp(PDU, frozen=True, gc=False):
    """The body of the responses that name a message. Empty when the peer left it out, as it may with an error."""

    message_id: str = ""


class SubmitSm(_ShortMessage, frozen=True, gc=False):
    """submit_sm (§4.4.1)."""

    command_id: ClassVar[int] = 0x00000004


class SubmitSmResp(_MessageIdResp, frozen=True, gc=False):
    """submit_sm_resp (§4.4.2)."""

    command_id: ClassVar[int] = 0x80000004


class DeliverSm(_ShortMessage, frozen=True, gc=False):
    """deliver_sm (§4.6.1)."""

    command_id: ClassVar[int] = 0x00000005


class DeliverSmResp(_MessageIdResp, frozen=True, gc=False):
    """deliver_sm_resp (§4.6.2). The standard wants message_id empty; real peers fill it."""

    command_id: ClassVar[int] = 0x80000005


class SmeAddress(msgspec.Struct, frozen=True, gc=False):
    """A destination of submit_multi: one SME (dest_flag 1, §4.5.1.1)."""

    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""


class DistributionList(msgspec.Struct, frozen=True, gc=False):
    """A destination of submit_multi: a distribution list that the SMSC knows (dest_flag 2, §4.5.1.2)."""

    dl_name: str = ""


class UnsuccessSme(msgspec.Struct, frozen=True, gc=False):
    """A destination that a submit_multi did not reach (§4.5.2.1)."""

    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    error_status_code: int = 0


class SubmitMulti(PDU, frozen=True, gc=False):
    """submit_multi (§4.5.1).

    Attributes:
        dest_address: 1…254 of them.
    """

    command_id: ClassVar[int] = 0x00000021

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_address: tuple[SmeAddress | DistributionList, ...] = ()
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""


class SubmitMultiResp(_MessageIdResp, frozen=True, gc=False):
    """submit_multi_resp (§4.5.2).

    Attributes:
        unsuccess_sme: the destinations that failed, 0…255 of them.
    """

    command_id: ClassVar[int] = 0x80000021

    unsuccess_sme: tuple[UnsuccessSme, ...] = ()


class DataSm(PDU, frozen=True, gc=False):
    """data_sm (§4.7.1). Its text is in the message_payload TLV."""

    command_id: ClassVar[int] = 0x00000103

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0


class DataSmResp(_MessageIdResp, frozen=True, gc=False):
    """data_sm_resp (§4.7.2)."""

    command_id: ClassVar[int] = 0x80000103


# -- What became of a message (§4.8 to §4.10, §4.12) ------------------------------------------------------------------


class QuerySm(PDU, frozen=True, gc=False):
    """query_sm (§4.8.1)."""

    command_id: ClassVar[int] = 0x00000003

    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""


class QuerySmResp(_MessageIdResp, frozen=True, gc=False):
    """query_sm_resp (§4.8.2)."""

    command_id: ClassVar[int] = 0x80000003

    final_date: str = ""
    message_state: int = 0
    error_code: int = 0


class CancelSm(PDU, frozen=True, gc=False):
    """cancel_sm (§4.9.1)."""

    command_id: ClassVar[int] = 0x00000008

    service_type: str = ""
    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""


class CancelSmResp(PDU, frozen=True, gc=False):
    """cancel_sm_resp (§4.9.2)."""

    command_id: ClassVar[int] = 0x80000008


class ReplaceSm(PDU, frozen=True, gc=False):
    """replace_sm (§4.10.1)."""

    command_id: ClassVar[int] = 0x00000007

    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""


class ReplaceSmResp(PDU, frozen=True, gc=False):
    """replace_sm_resp (§4.10.2)."""

    command_id: ClassVar[int] = 0x80000007


class AlertNotification(PDU, frozen=True, gc=False):
    """alert_notification (§4.12.1): a mobile has become available. It has no response."""

    command_id: ClassVar[int] = 0x00000102

    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    esme_addr_ton: int = 0
    esme_addr_npi: int = 0
    esme_addr: str = ""


# -- Cell broadcast (5.0 §4.4, §4.6) ----------------------------------------------------------------------------------


class BroadcastSm(PDU, frozen=True, gc=False):
    """broadcast_sm (5.0 §4.4.1). Text, area and repetition are in TLVs."""

    command_id: ClassVar[int] = 0x00000111

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    message_id: str = ""
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0


class BroadcastSmResp(_MessageIdResp, frozen=True, gc=False):
    """broadcast_sm_resp (5.0 §4.4.1)."""

    command_id: ClassVar[int] = 0x80000111


class QueryBroadcastSm(PDU, frozen=True, gc=False):
    """query_broadcast_sm (5.0 §4.6.1)."""

    command_id: ClassVar[int] = 0x00000112

    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""


class QueryBroadcastSmResp(_MessageIdResp, frozen=True, gc=False):
    """query_broadcast_sm_resp (5.0 §4.6.1). State, areas and their success are in TLVs."""

    command_id: ClassVar[int] = 0x80000112


class CancelBroadcastSm(PDU, frozen=True, gc=False):
    """cancel_broadcast_sm (5.0 §4.6.2)."""

    command_id: ClassVar[int] = 0x00000113

    service_type: str = ""
    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""


class CancelBroadcastSmResp(PDU, frozen=True, gc=False):
    """cancel_broadcast_sm_resp (5.0 §4.6.2)."""

    command_id: ClassVar[int] = 0x80000113


# -- The set ----------------------------------------------------------------------------------------------------------


def _classes() -> dict[int, type[PDU]]:
    found: dict[int, type[PDU]] = {}
    families: list[type[PDU]] = [PDU]
    while families:
        family = families.pop()
        families.extend(family.__subclasses__())
        if family.command_id >= 0:
            found[family.command_id] = family
    return found


PDU_CLASSES: Final[dict[int, type[PDU]]] = _classes()
"""Every PDU by its command_id."""


def is_response(command_id: int) -> bool:
    """Whether the command answers another: the responses and generic_nack."""
    return command_id & RESPONSE_BIT != 0


def response_class(request: PDU | type[PDU]) -> type[PDU] | None:
    """The class that answers a request, or None when nothing does (outbind, alert_notification, responses)."""
    if is_response(request.command_id):
        return None
    return PDU_CLASSES.get(request.command_id | RESPONSE_BIT)
