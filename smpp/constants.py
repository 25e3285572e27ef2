"""The numbers of SMPP: commands, statuses, bits.

Source: SMPP 3.4 §5.1 and §5.2; what 5.0 adds is marked so, and what 3.3 had and 3.4 took away.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

HEADER_OCTETS: Final = 16
"""command_length, command_id, command_status, sequence_number: four octets each (§3.2)."""

DEFAULT_MAX_COMMAND_LENGTH: Final = 0x10000 + 4096
"""The longest frame taken: a message_payload of 64 KiB, and room for every other field and TLV of a submit_sm."""

MAX_TLVS: Final = 255
"""Optional parameters of one PDU that are read; the standard defines some sixty, and repeats few of them."""

RESPONSE_BIT: Final = 0x80000000
"""Set in the command_id of every response (§5.1.2.1)."""

MAX_SEQUENCE_NUMBER: Final = 0x7FFFFFFF
"""Our own sequence numbers run from 1 to this one (§3.2); a peer's are echoed whatever they are."""

VERSION_3_3: Final = 0x33
VERSION_3_4: Final = 0x34
VERSION_5_0: Final = 0x50


class CommandId(IntEnum):
    """The command set (§5.1.2.1; broadcast_*: 5.0 §4.7.5).

    param_retrieve (0x22), query_last_msgs (0x23) and query_msg_details (0x24) of 3.3 are not here: 3.4 reserved them,
    and a peer that sends one is told that there is no such command.
    """

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER = 0x00000001
    BIND_RECEIVER_RESP = 0x80000001
    BIND_TRANSMITTER = 0x00000002
    BIND_TRANSMITTER_RESP = 0x80000002
    QUERY_SM = 0x00000003
    QUERY_SM_RESP = 0x80000003
    SUBMIT_SM = 0x00000004
    SUBMIT_SM_RESP = 0x80000004
    DELIVER_SM = 0x00000005
    DELIVER_SM_RESP = 0x80000005
    UNBIND = 0x00000006
    UNBIND_RESP = 0x80000006
    REPLACE_SM = 0x00000007
    REPLACE_SM_RESP = 0x80000007
    CANCEL_SM = 0x00000008
    CANCEL_SM_RESP = 0x80000008
    BIND_TRANSCEIVER = 0x00000009
    BIND_TRANSCEIVER_RESP = 0x80000009
    OUTBIND = 0x0000000B
    ENQUIRE_LINK = 0x00000015
    ENQUIRE_LINK_RESP = 0x80000015
    SUBMIT_MULTI = 0x00000021
    SUBMIT_MULTI_RESP = 0x80000021
    ALERT_NOTIFICATION = 0x00000102
    DATA_SM = 0x00000103
    DATA_SM_RESP = 0x80000103
    BROADCAST_SM = 0x00000111
    BROADCAST_SM_RESP = 0x80000111
    QUERY_BROADCAST_SM = 0x00000112
    QUERY_BROADCAST_SM_RESP = 0x80000112
    CANCEL_BROADCAST_SM = 0x00000113
    CANCEL_BROADCAST_SM_RESP = 0x80000113


class CommandStatus(IntEnum):
    """The error codes (§5.1.3; from 0x100 on: 5.0 §4.7.6).

    5.0 renamed those of the optional parameters (``ESME_RINVTLVSTREAM`` and so on); either name is understood, and
    3.4's is said, which is the one that peers' documents have. Last come those that 3.3 had for customers and
    distribution lists kept in the SMSC: 3.4 reserved their numbers, old SMSCs still send them, we never do.
    """

    ESME_ROK = 0x00000000
    ESME_RINVMSGLEN = 0x00000001
    ESME_RINVCMDLEN = 0x00000002
    ESME_RINVCMDID = 0x00000003
    ESME_RINVBNDSTS = 0x00000004
    ESME_RALYBND = 0x00000005
    ESME_RINVPRTFLG = 0x00000006
    ESME_RINVREGDLVFLG = 0x00000007
    ESME_RSYSERR = 0x00000008
    ESME_RINVSRCADR = 0x0000000A
    ESME_RINVDSTADR = 0x0000000B
    ESME_RINVMSGID = 0x0000000C
    ESME_RBINDFAIL = 0x0000000D
    ESME_RINVPASWD = 0x0000000E
    ESME_RINVSYSID = 0x0000000F
    ESME_RCANCELFAIL = 0x00000011
    ESME_RREPLACEFAIL = 0x00000013
    ESME_RMSGQFUL = 0x00000014
    ESME_RINVSERTYP = 0x00000015
    ESME_RINVNUMDESTS = 0x00000033
    ESME_RINVDLNAME = 0x00000034
    ESME_RINVDESTFLAG = 0x00000040
    ESME_RINVSUBREP = 0x00000042
    ESME_RINVESMCLASS = 0x00000043
    ESME_RCNTSUBDL = 0x00000044
    ESME_RSUBMITFAIL = 0x00000045
    ESME_RINVSRCTON = 0x00000048
    ESME_RINVSRCNPI = 0x00000049
    ESME_RINVDSTTON = 0x00000050
    ESME_RINVDSTNPI = 0x00000051
    ESME_RINVSYSTYP = 0x00000053
    ESME_RINVREPFLAG = 0x00000054
    ESME_RINVNUMMSGS = 0x00000055
    ESME_RTHROTTLED = 0x00000058
    ESME_RINVSCHED = 0x00000061
    ESME_RINVEXPIRY = 0x00000062
    ESME_RINVDFTMSGID = 0x00000063
    ESME_RX_T_APPN = 0x00000064
    ESME_RX_P_APPN = 0x00000065
    ESME_RX_R_APPN = 0x00000066
    ESME_RQUERYFAIL = 0x00000067
    ESME_RINVOPTPARSTREAM = 0x000000C0
    ESME_ROPTPARNOTALLWD = 0x000000C1
    ESME_RINVPARLEN = 0x000000C2
    ESME_RMISSINGOPTPARAM = 0x000000C3
    ESME_RINVOPTPARAMVAL = 0x000000C4
    ESME_RINVTLVSTREAM = 0x000000C0
    ESME_RTLVNOTALLWD = 0x000000C1
    ESME_RINVTLVLEN = 0x000000C2
    ESME_RMISSINGTLV = 0x000000C3
    ESME_RINVTLVVAL = 0x000000C4
    ESME_RDELIVERYFAILURE = 0x000000FE
    ESME_RUNKNOWNERR = 0x000000FF
    ESME_RSERTYPUNAUTH = 0x00000100
    ESME_RPROHIBITED = 0x00000101
    ESME_RSERTYPUNAVAIL = 0x00000102
    ESME_RSERTYPDENIED = 0x00000103
    ESME_RINVDCS = 0x00000104
    ESME_RINVSRCADDRSUBUNIT = 0x00000105
    ESME_RINVDSTADDRSUBUNIT = 0x00000106
    ESME_RINVBCASTFREQINT = 0x00000107
    ESME_RINVBCASTALIAS_NAME = 0x00000108
    ESME_RINVBCASTAREAFMT = 0x00000109
    ESME_RINVNUMBCAST_AREAS = 0x0000010A
    ESME_RINVBCASTCNTTYPE = 0x0000010B
    ESME_RINVBCASTMSGCLASS = 0x0000010C
    ESME_RBCASTFAIL = 0x0000010D
    ESME_RBCASTQUERYFAIL = 0x0000010E
    ESME_RBCASTCANCELFAIL = 0x0000010F
    ESME_RINVBCAST_REP = 0x00000110
    ESME_RINVBCASTSRVGRP = 0x00000111
    ESME_RINVBCASTCHANIND = 0x00000112

    # 3.3
    ESME_RADDCUSTFAIL = 0x00000019
    ESME_RDELCUSTFAIL = 0x0000001A
    ESME_RMODCUSTFAIL = 0x0000001B
    ESME_RENQCUSTFAIL = 0x0000001C
    ESME_RINVCUSTID = 0x0000001D
    ESME_RINVCUSTNAME = 0x0000001F
    ESME_RINVCUSTADR = 0x00000021
    ESME_RINVADR = 0x00000022
    ESME_RCUSTEXIST = 0x00000023
    ESME_RCUSTNOTEXIST = 0x00000024
    ESME_RADDDLFAIL = 0x00000026
    ESME_RMODDLFAIL = 0x00000027
    ESME_RDELDLFAIL = 0x00000028
    ESME_RVIEWDLFAIL = 0x00000029
    ESME_RLISTDLSFAIL = 0x00000030
    ESME_RPARAMRETFAIL = 0x00000031
    ESME_RINVPARAM = 0x00000032
    ESME_RINVDLMEMBDESC = 0x00000035
    ESME_RINVDLMEMBTYP = 0x00000038
    ESME_RINVDLMODOPT = 0x00000039


class Ton(IntEnum):
    """Type of number (§5.2.5)."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER_NUMBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6


class Npi(IntEnum):
    """Numbering plan indicator (§5.2.6)."""

    UNKNOWN = 0
    ISDN = 1  # E.163, E.164
    DATA = 3  # X.121
    TELEX = 4  # F.69
    LAND_MOBILE = 6  # E.212
    NATIONAL = 8
    PRIVATE = 9
    ERMES = 10
    INTERNET = 14
    WAP_CLIENT_ID = 18


class MessageState(IntEnum):
    """message_state (§5.2.28; SCHEDULED and SKIPPED: 5.0)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


class DataCoding(IntEnum):
    """data_coding (§5.2.19), so far as it is not a GSM one: 0xC0…0xEF message waiting, 0xF0…0xFF message class."""

    SMSC_DEFAULT = 0x00
    IA5 = 0x01  # ASCII
    OCTETS_TDMA = 0x02
    LATIN_1 = 0x03
    OCTETS = 0x04
    JIS = 0x05  # X 0208-1990
    CYRILLIC = 0x06  # ISO 8859-5
    HEBREW = 0x07  # ISO 8859-8
    UCS2 = 0x08
    PICTOGRAM = 0x09
    ISO_2022_JP = 0x0A  # music codes
    EXTENDED_KANJI = 0x0D  # JIS X 0212-1990
    KS_C_5601 = 0x0E


class EsmClass(IntEnum):
    """The values that the bits of esm_class are made of (§5.2.12). Combine them with ``|``.

    DELIVERY_ACKNOWLEDGEMENT and USER_ACKNOWLEDGEMENT are what an SME sends; in a submit_sm they say that the message is
    one, in a deliver_sm that it comes from one.
    """

    MODE_DEFAULT = 0x00
    MODE_DATAGRAM = 0x01
    MODE_FORWARD = 0x02
    MODE_STORE_AND_FORWARD = 0x03
    DELIVERY_RECEIPT = 0x04
    DELIVERY_ACKNOWLEDGEMENT = 0x08
    USER_ACKNOWLEDGEMENT = 0x10
    CONVERSATION_ABORT = 0x18
    INTERMEDIATE_NOTIFICATION = 0x20
    UDHI = 0x40
    REPLY_PATH = 0x80


ESM_MODE_MASK: Final = 0x03
ESM_TYPE_MASK: Final = 0x3C
ESM_FEATURES_MASK: Final = 0xC0

_RECEIPT_TYPES: Final = frozenset(
    (EsmClass.DELIVERY_RECEIPT, EsmClass.DELIVERY_ACKNOWLEDGEMENT, EsmClass.INTERMEDIATE_NOTIFICATION)
)


class RegisteredDelivery(IntEnum):
    """The values that the bits of registered_delivery are made of (§5.2.17). Combine them with ``|``."""

    NONE = 0x00
    FINAL = 0x01  # success or failure
    FAILURE = 0x02
    SUCCESS = 0x03  # 5.0
    SME_DELIVERY_ACKNOWLEDGEMENT = 0x04
    SME_USER_ACKNOWLEDGEMENT = 0x08
    INTERMEDIATE = 0x10


REGISTERED_RECEIPT_MASK: Final = 0x03

_STATUS_NAMES: Final = {int(status): status.name for status in CommandStatus}


def status_name(command_status: int) -> str:
    """Name a command_status for logs and metrics.

    Returns: ``"ESME_RTHROTTLED"``; ``"vendor-0x0000040b"`` for 0x400…0x4FF, which is the vendors' (§5.1.3);
        ``"reserved-0x00000009"`` for all others.
    """
    name = _STATUS_NAMES.get(command_status)
    if name is not None:
        return name
    owner = "vendor" if 0x400 <= command_status <= 0x4FF else "reserved"
    return f"{owner}-0x{command_status:08x}"


def status_value(name: str) -> int:
    """The inverse of ``status_name``; case does not matter and the ``ESME_`` may be left out.

    Raises: ValueError: no such status.
    """
    word = name.strip().upper()
    for prefix in ("VENDOR-0X", "RESERVED-0X"):
        if word.startswith(prefix):
            return int(word[len(prefix) :], 16)
    try:
        return int(CommandStatus[word if word.startswith("ESME_") else f"ESME_{word}"])
    except KeyError:
        raise ValueError(f"no such command_status: {name!r}") from None


def message_type(esm_class: int) -> int:
    """Bits 5-2 of esm_class: what kind of message a deliver_sm or data_sm brings, 0 for an ordinary one."""
    return esm_class & ESM_TYPE_MASK


def is_receipt(esm_class: int) -> bool:
    """Whether the message is news of another one: a receipt, an SME's acknowledgement, an intermediate notification.

    The bits decide, never the text: ``id:77 stat:DELAYED why?`` may be a customer's own words.
    """
    return esm_class & ESM_TYPE_MASK in _RECEIPT_TYPES


def is_intermediate(esm_class: int) -> bool:
    """Whether the message is an intermediate notification, which is never final."""
    return esm_class & ESM_TYPE_MASK == EsmClass.INTERMEDIATE_NOTIFICATION


def has_udh(esm_class: int) -> bool:
    """Whether the message begins with a user data header (UDHI)."""
    return esm_class & EsmClass.UDHI != 0
