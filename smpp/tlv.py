"""The optional parameters: one table of tags, and typed access to a PDU's TLVs.

A PDU keeps its TLVs as (tag, octets) in the order of the wire; nothing is decoded until asked for. ``Tag.X`` is an
``int`` that also knows its name, its type and the PDUs it belongs to, so that ``get(pdu, Tag.MESSAGE_STATE)`` is an
int and ``get(pdu, Tag.RECEIPTED_MESSAGE_ID)`` a str, for mypy as well as at run time.

Writing (``make``) is strict about sizes. Reading (``get``) is lenient: an integer of another size than the standard's
is taken for what it says (SMSCs send sar_msg_ref_num in one octet), a string may lack its NUL.

A TLV of a later version, or of a vendor, is a row more. One that has no row is kept all the same, octet by octet.

Source: SMPP 3.4 §5.3; 5.0 §4.8.4, whose sizes are wider for three of 3.4's, and for those marked so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

from smpp import pdu
from smpp.constants import VERSION_3_4, VERSION_5_0
from smpp.errors import BadTLV
from smpp.pdu import PDU, TLVs

T = TypeVar("T", int, str, bytes)

_Group = tuple[type[PDU], ...]

# 5.0 gives each TLV to whole groups of PDUs (§4.2.4, §4.2.5, §4.3.3, §4.3.4, §4.4.2, §4.6); 3.4 counted them out PDU by
# PDU. What either has is allowed.
_SUBMITTED: Final[_Group] = (pdu.SubmitSm, pdu.SubmitMulti, pdu.DataSm)
_DELIVERED: Final[_Group] = (pdu.DeliverSm, pdu.DataSm)
_MESSAGES: Final[_Group] = (*_SUBMITTED, pdu.DeliverSm)
_SUBMIT_RESPS: Final[_Group] = (pdu.SubmitSmResp, pdu.SubmitMultiResp, pdu.DataSmResp)
_MESSAGE_RESPS: Final[_Group] = (*_SUBMIT_RESPS, pdu.DeliverSmResp)
_BROADCAST: Final[_Group] = (pdu.BroadcastSm,)
_BROADCAST_QUERIES: Final[_Group] = (pdu.QueryBroadcastSm, pdu.QueryBroadcastSmResp, pdu.CancelBroadcastSm)
_BIND_RESPS: Final[_Group] = (pdu.BindReceiverResp, pdu.BindTransmitterResp, pdu.BindTransceiverResp)
_RESPS: Final[_Group] = tuple(
    each for each in pdu.PDU_CLASSES.values() if pdu.is_response(each.command_id) and each is not pdu.GenericNack
)


class TLV(int, Generic[T]):
    """A tag and its definition.

    Attributes:
        label: its name in the standard.
        kind: ``int``, ``str`` (a C-octet string) or ``bytes``.
        least, most: octets of the value, a string's NUL included.
        since: the version of the standard that brought it, 0x34 or 0x50.
        pdus: the PDUs that the standard has it in.
    """

    label: str
    kind: type[int] | type[str] | type[bytes]
    least: int
    most: int
    since: int
    pdus: frozenset[type[PDU]]

    def __repr__(self) -> str:
        return f"<{self.label} 0x{int(self):04x}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return by_tag, (int(self),)


def _define(tag: int, label: str, kind: type[T], least: int, most: int, groups: Iterable[_Group], since: int) -> TLV[T]:
    made: TLV[T] = TLV(tag)
    made.label, made.kind, made.least, made.most, made.since = label, kind, least, most, since
    made.pdus = frozenset(each for group in groups for each in group)
    return made


def _integer(tag: int, label: str, size: int, *groups: _Group, since: int = VERSION_3_4) -> TLV[int]:
    return _define(tag, label, int, size, size, groups, since)


def _text(tag: int, label: str, least: int, most: int, *groups: _Group, since: int = VERSION_3_4) -> TLV[str]:
    return _define(tag, label, str, least, most, groups, since)


def _octets(tag: int, label: str, least: int, most: int, *groups: _Group, since: int = VERSION_3_4) -> TLV[bytes]:
    return _define(tag, label, bytes, least, most, groups, since)


class Tag:
    """All TLVs, by name."""

    DEST_ADDR_SUBUNIT: ClassVar = _integer(0x0005, "dest_addr_subunit", 1, _MESSAGES, _BROADCAST)
    DEST_NETWORK_TYPE: ClassVar = _integer(0x0006, "dest_network_type", 1, _SUBMITTED)
    DEST_BEARER_TYPE: ClassVar = _integer(0x0007, "dest_bearer_type", 1, _SUBMITTED)
    DEST_TELEMATICS_ID: ClassVar = _integer(0x0008, "dest_telematics_id", 2, _SUBMITTED)
    SOURCE_ADDR_SUBUNIT: ClassVar = _integer(0x000D, "source_addr_subunit", 1, _MESSAGES, _BROADCAST)
    SOURCE_NETWORK_TYPE: ClassVar = _integer(0x000E, "source_network_type", 1, _SUBMITTED)
    SOURCE_BEARER_TYPE: ClassVar = _integer(0x000F, "source_bearer_type", 1, _SUBMITTED)
    # One octet by 3.4 §5.3.2.8, where dest_telematics_id has two; some who follow 5.0 send two. Both are read.
    SOURCE_TELEMATICS_ID: ClassVar = _integer(0x0010, "source_telematics_id", 1, _SUBMITTED)
    QOS_TIME_TO_LIVE: ClassVar = _integer(0x0017, "qos_time_to_live", 4, _SUBMITTED)
    PAYLOAD_TYPE: ClassVar = _integer(0x0019, "payload_type", 1, _MESSAGES, _BROADCAST)
    ADDITIONAL_STATUS_INFO_TEXT: ClassVar = _text(0x001D, "additional_status_info_text", 1, 256, _MESSAGE_RESPS)
    RECEIPTED_MESSAGE_ID: ClassVar = _text(0x001E, "receipted_message_id", 1, 65, _DELIVERED)
    MS_MSG_WAIT_FACILITIES: ClassVar = _integer(0x0030, "ms_msg_wait_facilities", 1, _SUBMITTED)
    PRIVACY_INDICATOR: ClassVar = _integer(0x0201, "privacy_indicator", 1, _MESSAGES, _BROADCAST)
    SOURCE_SUBADDRESS: ClassVar = _octets(0x0202, "source_subaddress", 2, 23, _MESSAGES, _BROADCAST)
    DEST_SUBADDRESS: ClassVar = _octets(0x0203, "dest_subaddress", 2, 23, _MESSAGES, _BROADCAST)
    USER_MESSAGE_REFERENCE: ClassVar = _integer(
        0x0204, "user_message_reference", 2, _MESSAGES, _BROADCAST, _BROADCAST_QUERIES
    )
    USER_RESPONSE_CODE: ClassVar = _integer(0x0205, "user_response_code", 1, _MESSAGES)
    SOURCE_PORT: ClassVar = _integer(0x020A, "source_port", 2, _MESSAGES, _BROADCAST)
    DESTINATION_PORT: ClassVar = _integer(0x020B, "destination_port", 2, _MESSAGES, _BROADCAST)
    SAR_MSG_REF_NUM: ClassVar = _integer(0x020C, "sar_msg_ref_num", 2, _MESSAGES)
    LANGUAGE_INDICATOR: ClassVar = _integer(0x020D, "language_indicator", 1, _MESSAGES, _BROADCAST)
    SAR_TOTAL_SEGMENTS: ClassVar = _integer(0x020E, "sar_total_segments", 1, _MESSAGES)
    SAR_SEGMENT_SEQNUM: ClassVar = _integer(0x020F, "sar_segment_seqnum", 1, _MESSAGES)
    SC_INTERFACE_VERSION: ClassVar = _integer(0x0210, "sc_interface_version", 1, _BIND_RESPS)
    CALLBACK_NUM_PRES_IND: ClassVar = _integer(0x0302, "callback_num_pres_ind", 1, _MESSAGES, _BROADCAST)
    CALLBACK_NUM_ATAG: ClassVar = _octets(0x0303, "callback_num_atag", 0, 65, _MESSAGES, _BROADCAST)
    NUMBER_OF_MESSAGES: ClassVar = _integer(0x0304, "number_of_messages", 1, _SUBMITTED)
    CALLBACK_NUM: ClassVar = _octets(0x0381, "callback_num", 4, 19, _MESSAGES, _BROADCAST)
    DPF_RESULT: ClassVar = _integer(0x0420, "dpf_result", 1, _SUBMIT_RESPS, (pdu.DeliverSm,))
    SET_DPF: ClassVar = _integer(0x0421, "set_dpf", 1, _SUBMITTED)
    MS_AVAILABILITY_STATUS: ClassVar = _integer(0x0422, "ms_availability_status", 1, (pdu.AlertNotification,))
    NETWORK_ERROR_CODE: ClassVar = _octets(0x0423, "network_error_code", 3, 3, _DELIVERED, _MESSAGE_RESPS)
    MESSAGE_PAYLOAD: ClassVar = _octets(
        0x0424,
        "message_payload",
        0,
        0xFFFF,
        _MESSAGES,
        _BROADCAST,
        (pdu.ReplaceSm,),  # replace_sm: 5.0 §4.5.3
    )
    DELIVERY_FAILURE_REASON: ClassVar = _integer(0x0425, "delivery_failure_reason", 1, _MESSAGE_RESPS)
    MORE_MESSAGES_TO_SEND: ClassVar = _integer(0x0426, "more_messages_to_send", 1, _SUBMITTED)
    MESSAGE_STATE: ClassVar = _integer(0x0427, "message_state", 1, _DELIVERED, (pdu.QueryBroadcastSmResp,))
    USSD_SERVICE_OP: ClassVar = _octets(0x0501, "ussd_service_op", 1, 1, _MESSAGES)
    DISPLAY_TIME: ClassVar = _integer(0x1201, "display_time", 1, _SUBMITTED, _BROADCAST)
    SMS_SIGNAL: ClassVar = _integer(0x1203, "sms_signal", 2, _SUBMITTED, _BROADCAST)
    # 3.4 §5.3.2.27: what to do, in one octet. 5.0 §4.8.4.41: with a relative time, its unit and its number follow.
    MS_VALIDITY: ClassVar = _octets(0x1204, "ms_validity", 1, 4, _SUBMITTED, _BROADCAST)
    # 3.4 §5.3.2.41: no octet; 5.0 §4.8.4.2: the priority in one.
    ALERT_ON_MESSAGE_DELIVERY: ClassVar = _octets(0x130C, "alert_on_message_delivery", 0, 1, _SUBMITTED, _BROADCAST)
    ITS_REPLY_TYPE: ClassVar = _integer(0x1380, "its_reply_type", 1, _MESSAGES)
    ITS_SESSION_INFO: ClassVar = _octets(0x1383, "its_session_info", 2, 2, _MESSAGES)

    # 5.0
    CONGESTION_STATE: ClassVar = _integer(0x0428, "congestion_state", 1, _RESPS, since=VERSION_5_0)
    BROADCAST_CHANNEL_INDICATOR: ClassVar = _integer(
        0x0600, "broadcast_channel_indicator", 1, _BROADCAST, since=VERSION_5_0
    )
    BROADCAST_CONTENT_TYPE: ClassVar = _octets(
        0x0601, "broadcast_content_type", 3, 3, _BROADCAST, (pdu.CancelBroadcastSm,), since=VERSION_5_0
    )
    BROADCAST_CONTENT_TYPE_INFO: ClassVar = _octets(
        0x0602, "broadcast_content_type_info", 1, 255, _BROADCAST, since=VERSION_5_0
    )
    BROADCAST_MESSAGE_CLASS: ClassVar = _integer(0x0603, "broadcast_message_class", 1, _BROADCAST, since=VERSION_5_0)
    BROADCAST_REP_NUM: ClassVar = _integer(0x0604, "broadcast_rep_num", 2, _BROADCAST, since=VERSION_5_0)
    BROADCAST_FREQUENCY_INTERVAL: ClassVar = _octets(
        0x0605, "broadcast_frequency_interval", 3, 3, _BROADCAST, since=VERSION_5_0
    )
    BROADCAST_AREA_IDENTIFIER: ClassVar = _octets(  # the format in one octet, and at most 100 of details
        0x0606,
        "broadcast_area_identifier",
        1,
        101,
        _BROADCAST,
        (pdu.BroadcastSmResp, pdu.QueryBroadcastSmResp),
        since=VERSION_5_0,
    )
    BROADCAST_ERROR_STATUS: ClassVar = _integer(
        0x0607, "broadcast_error_status", 4, (pdu.BroadcastSmResp,), since=VERSION_5_0
    )
    BROADCAST_AREA_SUCCESS: ClassVar = _integer(
        0x0608, "broadcast_area_success", 1, (pdu.QueryBroadcastSmResp,), since=VERSION_5_0
    )
    BROADCAST_END_TIME: ClassVar = _text(  # an absolute time, never empty
        0x0609, "broadcast_end_time", 17, 17, (pdu.QueryBroadcastSmResp,), since=VERSION_5_0
    )
    BROADCAST_SERVICE_GROUP: ClassVar = _octets(
        0x060A, "broadcast_service_group", 1, 255, _BROADCAST, since=VERSION_5_0
    )
    BILLING_IDENTIFICATION: ClassVar = _octets(0x060B, "billing_identification", 1, 1024, _SUBMITTED, since=VERSION_5_0)
    SOURCE_NETWORK_ID: ClassVar = _text(0x060D, "source_network_id", 7, 66, _MESSAGES, since=VERSION_5_0)
    DEST_NETWORK_ID: ClassVar = _text(0x060E, "dest_network_id", 7, 66, _MESSAGES, since=VERSION_5_0)
    SOURCE_NODE_ID: ClassVar = _octets(0x060F, "source_node_id", 6, 6, _MESSAGES, since=VERSION_5_0)
    DEST_NODE_ID: ClassVar = _octets(0x0610, "dest_node_id", 6, 6, _MESSAGES, since=VERSION_5_0)
    DEST_ADDR_NP_RESOLUTION: ClassVar = _integer(0x0611, "dest_addr_np_resolution", 1, _MESSAGES, since=VERSION_5_0)
    DEST_ADDR_NP_INFORMATION: ClassVar = _octets(
        0x0612, "dest_addr_np_information", 10, 10, _MESSAGES, since=VERSION_5_0
    )
    DEST_ADDR_NP_COUNTRY: ClassVar = _octets(0x0613, "dest_addr_np_country", 1, 5, _MESSAGES, since=VERSION_5_0)


DEFINITIONS: Final[dict[int, TLV[Any]]] = {
    int(definition): definition for definition in vars(Tag).values() if isinstance(definition, TLV)
}
"""Every definition by its tag."""


def by_tag(tag: int) -> TLV[Any] | None:
    """The definition of a tag, or None when it is nobody's or a vendor's (0x1400…0x3FFF)."""
    return DEFINITIONS.get(tag)


def tag_name(tag: int) -> str:
    """The name for logs: the standard's, or ``"0x1401"``."""
    definition = DEFINITIONS.get(tag)
    return definition.label if definition is not None else f"0x{tag:04x}"


def raw(source: PDU | TLVs, tag: int) -> bytes | None:
    """The octets of the first TLV with that tag, or None. For any tag, known or not."""
    for number, value in source.tlvs if isinstance(source, PDU) else source:
        if number == tag:
            return value
    return None


def get(source: PDU | TLVs, tag: TLV[T]) -> T | None:
    """The value of the first TLV with that tag.

    Returns: an int, a str without its NUL, or bytes, as defined; None when it is absent, or an integer without octets.
    """
    value = raw(source, tag)
    return None if value is None else _read(tag, value)


def get_all(source: PDU | TLVs, tag: TLV[T]) -> list[T]:
    """The values of all TLVs with that tag, in order (callback_num and the broadcast areas may come several times)."""
    tlvs = source.tlvs if isinstance(source, PDU) else source
    values = [_read(tag, value) for number, value in tlvs if number == tag]
    return [value for value in values if value is not None]


def _read(tag: TLV[T], value: bytes) -> T | None:
    read: Any = value
    if tag.kind is int:
        read = int.from_bytes(value, "big") if value else None
    elif tag.kind is str:
        read = str(value.partition(b"\0")[0], "latin-1")
    return cast("T | None", read)


def make(tag: TLV[T], value: T) -> tuple[int, bytes]:
    """Write a TLV.

    Args:
        tag: which, e.g. ``Tag.SAR_MSG_REF_NUM``.
        value: as its definition wants it: an int, a str (the NUL is added), or bytes.

    Raises:
        BadTLV: the value is of another type, or longer or shorter than the standard allows.
    """
    octets: bytes
    if tag.kind is int and isinstance(value, int):
        try:
            octets = value.to_bytes(tag.most, "big")
        except OverflowError:
            raise BadTLV(tag.label, f"{value} is not within 0…{(1 << 8 * tag.most) - 1}") from None
    elif tag.kind is str and isinstance(value, str):
        try:
            octets = value.encode("latin-1") + b"\0"
        except UnicodeEncodeError:
            raise BadTLV(tag.label, "a character that is no octet") from None
        if octets.find(b"\0") != len(octets) - 1:
            raise BadTLV(tag.label, "a NUL inside")
    elif tag.kind is bytes and isinstance(value, (bytes, bytearray, memoryview)):
        octets = bytes(value)
    else:
        raise BadTLV(tag.label, f"a {type(value).__name__}, not {tag.kind.__name__}")
    if not tag.least <= len(octets) <= tag.most:
        raise BadTLV(tag.label, f"{len(octets)} octets, {tag.least}…{tag.most} allowed")
    return int(tag), octets


def is_allowed(pdu_class: type[PDU], tag: int) -> bool:
    """Whether the standard has this TLV in this PDU. Unknown tags are: they are the vendors' (§3.3)."""
    definition = DEFINITIONS.get(tag)
    return definition is None or pdu_class in definition.pdus
