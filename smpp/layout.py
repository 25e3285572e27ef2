"""What the octets of each PDU look like: one table, which the generic codec interprets.

A PDU is its header, its mandatory fields in a fixed order, and TLVs. The table has a row for each PDU and each row an
entry for each mandatory field; a PDU of a later version of the standard is a class in ``smpp.pdu`` and a row here.
An entry knows how to write one value strictly and how to read one leniently.

Strict means: what the standard's sizes do not allow is an ``EncodeError`` with the field's name. Values that a size
allows but a version reserves pass, since carriers use them.

Lenient means: a longer string than allowed is taken, with a word in ``faults``; nothing else is guessed here. A field
that cannot be read raises ``Malformed`` with the status to answer with.

Source: SMPP 3.4 §3.1 (types), §4 (sizes).
"""

from __future__ import annotations

from operator import index
from typing import Any, Final, Protocol

import msgspec

from smpp import pdu
from smpp.constants import CommandStatus
from smpp.errors import EncodeError
from smpp.pdu import PDU, DistributionList, SmeAddress, UnsuccessSme

DEST_FLAG_SME: Final = 1
DEST_FLAG_DISTRIBUTION_LIST: Final = 2


class Malformed(Exception):
    """A field cannot be read.

    Attributes:
        status: the command_status to answer with.
        problem: words for the log.
        at_end: True when the body ended where the field should have begun.
    """

    def __init__(self, status: CommandStatus, problem: str, *, at_end: bool = False) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.at_end = at_end


class Field(Protocol):
    """One mandatory field."""

    @property
    def name(self) -> str:
        """Its name in the standard, and the attribute's in the PDU."""
        ...

    def write(self, value: Any) -> bytes:
        """The octets of a value. Raises: EncodeError."""
        ...

    def read(self, frame: bytes, position: int, faults: list[str]) -> tuple[Any, int]:
        """Take the value that begins at ``position``, and say where the next field begins. Raises: Malformed."""
        ...


class CString(msgspec.Struct, frozen=True):
    """A C-octet string.

    Attributes:
        size: the most octets it may take, the NUL included.
        fixed: True for times: either empty or exactly of that size.
    """

    name: str
    size: int
    fixed: bool = False

    def write(self, value: Any) -> bytes:
        """The octets of a value."""
        if not isinstance(value, str):
            raise EncodeError(self.name, f"a {type(value).__name__}, not a str")
        try:
            octets = value.encode("latin-1")
        except UnicodeEncodeError:
            raise EncodeError(self.name, "a character that is no octet") from None
        if b"\0" in octets:
            raise EncodeError(self.name, "a NUL inside")
        if len(octets) >= self.size:
            raise EncodeError(self.name, f"{len(octets)} octets, at most {self.size - 1} allowed")
        if self.fixed and octets and len(octets) != self.size - 1:
            raise EncodeError(self.name, f"{len(octets)} octets, only 0 or {self.size - 1} allowed")
        return octets + b"\0"

    def read(self, frame: bytes, position: int, faults: list[str]) -> tuple[str, int]:
        """Take the value that begins at ``position``."""
        end = frame.find(b"\0", position)
        if end < 0:
            at_end = position >= len(frame)
            status = CommandStatus.ESME_RINVCMDLEN if at_end else CommandStatus.ESME_RINVPARLEN
            raise Malformed(status, f"{self.name} is {'missing' if at_end else 'unterminated'}", at_end=at_end)
        if end - position >= self.size:
            faults.append(f"over-long {self.name}")
        elif self.fixed and end != position and end - position != self.size - 1:
            faults.append(f"odd {self.name}")
        return str(frame[position:end], "latin-1"), end + 1


class Integer(msgspec.Struct, frozen=True):
    """An unsigned integer of ``size`` octets, most significant first."""

    name: str
    size: int = 1

    def write(self, value: Any) -> bytes:
        """The octets of a value."""
        try:
            return index(value).to_bytes(self.size, "big")
        except (OverflowError, TypeError):
            raise EncodeError(self.name, f"{value!r} is not within 0…{(1 << 8 * self.size) - 1}") from None

    def read(self, frame: bytes, position: int, faults: list[str]) -> tuple[int, int]:
        """Take the value that begins at ``position``."""
        end = position + self.size
        if end > len(frame):
            at_end = position >= len(frame)
            raise Malformed(CommandStatus.ESME_RINVCMDLEN, f"{self.name} is missing", at_end=at_end)
        return int.from_bytes(frame[position:end], "big"), end


class CountedOctets(msgspec.Struct, frozen=True):
    """An octet of length, and so many octets: sm_length and short_message.

    We write at most 254 (§5.2.22) and read 255, which 5.0 allows and real peers send.
    """

    name: str
    limit: int = 254

    def write(self, value: Any) -> bytes:
        """The octets of a value."""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise EncodeError(self.name, f"a {type(value).__name__}, not bytes")
        if len(value) > self.limit:
            raise EncodeError(self.name, f"{len(value)} octets, at most {self.limit} allowed")
        return bytes((len(value),)) + value

    def read(self, frame: bytes, position: int, faults: list[str]) -> tuple[bytes, int]:
        """Take the value that begins at ``position``."""
        if position >= len(frame):
            raise Malformed(CommandStatus.ESME_RINVCMDLEN, f"length of {self.name} is missing", at_end=True)
        begin = position + 1
        end = begin + frame[position]
        if end > len(frame):
            problem = f"{self.name} says {frame[position]} octets, {len(frame) - begin} are there"
            raise Malformed(CommandStatus.ESME_RINVMSGLEN, problem)
        return frame[begin:end], end


_TON: Final = Integer("dest_addr_ton")
_NPI: Final = Integer("dest_addr_npi")
_DESTINATION: Final = CString("destination_addr", 21)
_DL_NAME: Final = CString("dl_name", 21)
_ERROR: Final = Integer("error_status_code", 4)


class Destinations(msgspec.Struct, frozen=True):
    """number_of_dests and the destinations of a submit_multi (§4.5.1)."""

    name: str
    limit: int = 254

    def write(self, value: Any) -> bytes:
        """The octets of a value."""
        if not 1 <= len(value) <= self.limit:
            raise EncodeError("number_of_dests", f"{len(value)} is not within 1…{self.limit}")
        out = [bytes((len(value),))]
        for destination in value:
            if isinstance(destination, SmeAddress):
                out += (b"\x01", _TON.write(destination.dest_addr_ton), _NPI.write(destination.dest_addr_npi))
                out.append(_DESTINATION.write(destination.destination_addr))
            elif isinstance(destination, DistributionList):
                out += (b"\x02", _DL_NAME.write(destination.dl_name))
            else:
                raise EncodeError(self.name, f"a {type(destination).__name__} is no destination")
        return b"".join(out)

    def read(
        self, frame: bytes, position: int, faults: list[str]
    ) -> tuple[tuple[SmeAddress | DistributionList, ...], int]:
        """Take the value that begins at ``position``."""
        count, position = Integer("number_of_dests").read(frame, position, faults)
        if count == 0:
            raise Malformed(CommandStatus.ESME_RINVNUMDESTS, "number_of_dests is 0")
        found: list[SmeAddress | DistributionList] = []
        for _ in range(count):
            flag, position = Integer("dest_flag").read(frame, position, faults)
            if flag == DEST_FLAG_SME:
                ton, position = _TON.read(frame, position, faults)
                npi, position = _NPI.read(frame, position, faults)
                address, position = _DESTINATION.read(frame, position, faults)
                found.append(SmeAddress(ton, npi, address))
            elif flag == DEST_FLAG_DISTRIBUTION_LIST:
                dl_name, position = _DL_NAME.read(frame, position, faults)
                found.append(DistributionList(dl_name))
            else:
                raise Malformed(CommandStatus.ESME_RINVDESTFLAG, f"dest_flag is {flag}")
        return tuple(found), position


class Unsuccesses(msgspec.Struct, frozen=True):
    """no_unsuccess and the failed destinations of a submit_multi_resp (§4.5.2)."""

    name: str

    def write(self, value: Any) -> bytes:
        """The octets of a value."""
        if len(value) > 255:
            raise EncodeError("no_unsuccess", f"{len(value)} is not within 0…255")
        out = [bytes((len(value),))]
        for sme in value:
            if not isinstance(sme, UnsuccessSme):
                raise EncodeError(self.name, f"a {type(sme).__name__} is no UnsuccessSme")
            out += (_TON.write(sme.dest_addr_ton), _NPI.write(sme.dest_addr_npi))
            out += (_DESTINATION.write(sme.destination_addr), _ERROR.write(sme.error_status_code))
        return b"".join(out)

    def read(self, frame: bytes, position: int, faults: list[str]) -> tuple[tuple[UnsuccessSme, ...], int]:
        """Take the value that begins at ``position``."""
        count, position = Integer("no_unsuccess").read(frame, position, faults)
        found = []
        for _ in range(count):
            ton, position = _TON.read(frame, position, faults)
            npi, position = _NPI.read(frame, position, faults)
            address, position = _DESTINATION.read(frame, position, faults)
            error, position = _ERROR.read(frame, position, faults)
            found.append(UnsuccessSme(ton, npi, address, error))
        return tuple(found), position


def _address(prefix: str, name: str, size: int = 21) -> tuple[Field, ...]:
    return Integer(f"{prefix}_ton"), Integer(f"{prefix}_npi"), CString(name, size)


_SERVICE_TYPE: Final = CString("service_type", 6)
_MESSAGE_ID: Final = CString("message_id", 65)
_SOURCE: Final = _address("source_addr", "source_addr")
_DEST: Final = _address("dest_addr", "destination_addr")
_SCHEDULE: Final = CString("schedule_delivery_time", 17, fixed=True)
_VALIDITY: Final = CString("validity_period", 17, fixed=True)

_BIND: Final[tuple[Field, ...]] = (
    CString("system_id", 16),
    CString("password", 9),
    CString("system_type", 13),
    Integer("interface_version"),
    *_address("addr", "address_range", 41),
)
_BIND_RESP: Final[tuple[Field, ...]] = (CString("system_id", 16),)
_MESSAGE: Final[tuple[Field, ...]] = (  # how submit_sm, deliver_sm and submit_multi go on after the destination
    Integer("esm_class"),
    Integer("protocol_id"),
    Integer("priority_flag"),
    _SCHEDULE,
    _VALIDITY,
    Integer("registered_delivery"),
    Integer("replace_if_present_flag"),
    Integer("data_coding"),
    Integer("sm_default_msg_id"),
    CountedOctets("short_message"),
)
# deliver_sm_resp: the standard's size is 1, an unused NULL; real SMSCs and clients put an id there, as 5.0 allows.
_ID_RESP: Final[tuple[Field, ...]] = (_MESSAGE_ID,)

LAYOUTS: Final[dict[type[PDU], tuple[Field, ...]]] = {
    pdu.GenericNack: (),
    pdu.BindReceiver: _BIND,
    pdu.BindReceiverResp: _BIND_RESP,
    pdu.BindTransmitter: _BIND,
    pdu.BindTransmitterResp: _BIND_RESP,
    pdu.BindTransceiver: _BIND,
    pdu.BindTransceiverResp: _BIND_RESP,
    pdu.Outbind: (CString("system_id", 16), CString("password", 9)),
    pdu.Unbind: (),
    pdu.UnbindResp: (),
    pdu.EnquireLink: (),
    pdu.EnquireLinkResp: (),
    pdu.SubmitSm: (_SERVICE_TYPE, *_SOURCE, *_DEST, *_MESSAGE),
    pdu.SubmitSmResp: _ID_RESP,
    pdu.DeliverSm: (_SERVICE_TYPE, *_SOURCE, *_DEST, *_MESSAGE),
    pdu.DeliverSmResp: _ID_RESP,
    pdu.SubmitMulti: (_SERVICE_TYPE, *_SOURCE, Destinations("dest_address"), *_MESSAGE),
    pdu.SubmitMultiResp: (_MESSAGE_ID, Unsuccesses("unsuccess_sme")),
    pdu.DataSm: (
        _SERVICE_TYPE,
        *_address("source_addr", "source_addr", 65),
        *_address("dest_addr", "destination_addr", 65),
        Integer("esm_class"),
        Integer("registered_delivery"),
        Integer("data_coding"),
    ),
    pdu.DataSmResp: _ID_RESP,
    pdu.QuerySm: (_MESSAGE_ID, *_SOURCE),
    pdu.QuerySmResp: (
        _MESSAGE_ID,
        CString("final_date", 17, fixed=True),
        Integer("message_state"),
        Integer("error_code"),
    ),
    pdu.CancelSm: (_SERVICE_TYPE, _MESSAGE_ID, *_SOURCE, *_DEST),
    pdu.CancelSmResp: (),
    pdu.ReplaceSm: (
        _MESSAGE_ID,
        *_SOURCE,
        _SCHEDULE,
        _VALIDITY,
        Integer("registered_delivery"),
        Integer("sm_default_msg_id"),
        CountedOctets("short_message"),
    ),
    pdu.ReplaceSmResp: (),
    pdu.AlertNotification: (
        *_address("source_addr", "source_addr", 65),
        *_address("esme_addr", "esme_addr", 65),
    ),
    pdu.BroadcastSm: (
        _SERVICE_TYPE,
        *_SOURCE,
        _MESSAGE_ID,
        Integer("priority_flag"),
        _SCHEDULE,
        _VALIDITY,
        Integer("replace_if_present_flag"),
        Integer("data_coding"),
        Integer("sm_default_msg_id"),
    ),
    pdu.BroadcastSmResp: _ID_RESP,
    pdu.QueryBroadcastSm: (_MESSAGE_ID, *_SOURCE),
    pdu.QueryBroadcastSmResp: _ID_RESP,
    pdu.CancelBroadcastSm: (_SERVICE_TYPE, _MESSAGE_ID, *_SOURCE),
    pdu.CancelBroadcastSmResp: (),
}
"""The mandatory fields of every PDU, in the order of the wire, which is also that of the class."""

BODYLESS_ERRORS: Final[frozenset[type[PDU]]] = frozenset(
    (pdu.BindReceiverResp, pdu.BindTransmitterResp, pdu.BindTransceiverResp, pdu.SubmitSmResp)
)
"""Responses whose body "is not returned if the command_status field contains a non-zero value" (§4.1.2, §4.4.2)."""
