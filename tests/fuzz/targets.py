"""What must hold for any octets: a function for each reader of what strangers send. It returns, or something is wrong.

An ``AssertionError`` is a broken promise, any other error is one that a peer could cause. Plain functions, so that a
seed or a find can be replayed without the fuzzer: ``python -m tests.fuzz.run decode --replay FILE``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from hub.journal import arrival_body, arrival_of
from hub.model import Arrival, Kind, Message
from provisioning.directories import soap_xml
from provisioning.directories.adapter import Finding, Listing, Task
from provisioning.directories.replies import (
    MAX_AFTER_S,
    Entry,
    answers_to_confirm,
    answers_to_publish,
    answers_to_withdraw,
)
from provisioning.directories.rest_json import Unreadable, read_looked_up, read_submitted
from provisioning.directories.xml_reading import BadXml
from smpp.alphabet import BY_NAME, alphabet_of, fill_bits, looks_like_ucs2, pack, unpack
from smpp.alphabet import UnencodableText as Unencodable
from smpp.codec import decode, encode, message_body, split_frames
from smpp.connection import Connection
from smpp.constants import CommandStatus
from smpp.downgrade import downgrade
from smpp.errors import BadFrame, BadTime, EncodeError, UnparsablePDU
from smpp.events import Settings
from smpp.generic import decode_generic
from smpp.pdu import PDU, BindTransceiver, DataSm, DeliverSm, SmeAddress, SubmitMulti, SubmitSm
from smpp.proxy_protocol import BadHeader as NoProxyHeader
from smpp.proxy_protocol import More, Own, Proxied, read_header
from smpp.reassembly import BadHeader, concatenation_of, user_data
from smpp.receipt import read, write
from smpp.segmentation import Method
from smpp.states import Role
from smpp.timeformat import format_absolute, parse_time
from smpp.tlv import DEFINITIONS, get_all
from translators.smpp_dialect import DATA_SM, TO_FIT, Dialect
from translators.smpp_messages import BadMessage, read_message
from translators.smpp_requests import check_multi, completed, single
from translators.smpp_writing import Unsplittable, write_messages
from translators.xmpp.stream import Element, StreamReader, serialise

NOW_US = 1_760_000_000_000_000
ALPHABETS = tuple(BY_NAME.values())
DIALECTS = (
    Dialect(),
    Dialect(default=BY_NAME["latin1"], method=Method.SAR, transliterate=TO_FIT, send_validity=True),
    Dialect(packed=True, allowed=ALPHABETS, method=Method.UDH16, submit_with=DATA_SM, country_code="1"),
    Dialect(default=BY_NAME["ucs2"], method=Method.PAYLOAD, plus=True),
    Dialect(method=Method.BLOCKS, ask_receipts="always"),
)
BIND = BindTransceiver(system_id="esme", password="secret")
SUBMIT = SubmitSm(destination_addr="1", short_message=b"hello")
DELIVER = DeliverSm(destination_addr="1", short_message=b"hello")


def pdus(data: bytes) -> None:
    """A frame is a PDU or an UnparsablePDU; both codecs agree; what can be written again reads the same."""
    frame = with_length(data)
    pdu = _read(decode, frame)
    assert _read(decode_generic, frame) == pdu
    if isinstance(pdu, int):
        assert pdu != CommandStatus.ESME_ROK
        return
    assert repr(pdu)
    message_body(pdu)
    for tag in DEFINITIONS.values():
        get_all(pdu, tag)
    for version in (0x33, 0x34, 0x50):
        try:
            plain = downgrade(pdu, version)
            octets = encode(plain)
        except EncodeError:  # the version has no word for it, or it was forgiven and has no strict form
            continue
        assert decode(octets) == plain


def with_length(data: bytes) -> bytes:
    """The same with a true command_length: the fuzzer need not find it out."""
    return len(data).to_bytes(4, "big") + data[4:] if len(data) >= 16 else data


def _read(codec: Callable[[bytes], PDU], frame: bytes) -> PDU | int:
    """The PDU, or the status to answer with."""
    try:
        return codec(frame)
    except UnparsablePDU as error:
        return error.command_status


def frames(data: bytes) -> None:
    """A stream cut in two anywhere gives the same frames as whole."""
    cut, stream = data[0] if data else 0, data[1:]
    whole, taken, bad = _split(stream)
    first, first_taken, first_bad = _split(stream[:cut])
    if first_bad is not None:
        assert (first, first_taken, first_bad) == (whole, taken, bad)
        return
    second, second_taken, second_bad = _split(stream[first_taken:])
    assert first + second == whole
    assert first_taken + second_taken == taken
    assert second_bad == bad
    assert b"".join(whole) == stream[:taken]


def _split(stream: bytes) -> tuple[list[bytes], int, int | None]:
    try:
        found, taken = split_frames(stream, 4096)
    except BadFrame as error:
        return error.frames, error.consumed, error.command_length
    return found, taken, None


def connection(data: bytes) -> None:
    """Any octets in any state: events, octets to send, or the session's end. Never an error, never a wait for ever."""
    role = Role.SMSC if data[:1] < b"\x80" else Role.ESME
    bound = data[1:2] < b"\xc0"
    machine = Connection(role, Settings(), now=0)
    if bound:
        other = Connection(role.peer, Settings(), now=0)
        esme, smsc = (machine, other) if role is Role.ESME else (other, machine)
        smsc.receive_data(esme.send(BIND, 0), 0)
        esme.receive_data(smsc.accept_bind("smsc", 0), 0)
        if machine.room:
            machine.send(SUBMIT if role is Role.ESME else DELIVER, 0)
    size = max(1, data[2] if len(data) > 2 else 1)
    for start in range(3, len(data), size):
        if machine.is_over:
            break
        machine.receive_data(data[start : start + size], start / 100)
        machine.data_to_send()
    machine.tick(1e6)
    machine.receive_eof()
    assert machine.is_over


def receipts(data: bytes) -> None:
    """A receipt's text is read or not a receipt; what was understood can be written, and says the same."""
    esm_class, data_coding, kind, body = data[:1], data[1:2], data[2:3], data[3:]
    tlvs = ((0x001E, body[:10]), (0x0427, kind), (0x0423, body[-3:])) if kind > b"\x80" else ()
    found = read(esm_class[0] if esm_class else 4, body, data_coding[0] if data_coding else 0, tlvs, NOW_US)
    if found is None:
        return
    for text in (found.message_id, found.text, found.err):
        assert text is None or text.encode("utf-8") is not None
    # The id is replaced, as in transit: a stranger's may be one that no receipt can name.
    written, written_tlvs = write(msgspec.structs.replace(found, message_id="7"))
    assert len(written) <= 254
    again = read(4, written, 0, written_tlvs, NOW_US)
    assert again is not None
    assert again.state == found.state


def headers(data: bytes) -> None:
    """A message with a user data header, or sar_* TLVs, has a place among its parts, or none, or a BadHeader."""
    esm_class, kind, body = data[:1], data[1:2], data[2:]
    tlvs = ((0x020C, body[:2]), (0x020E, body[2:3]), (0x020F, body[3:4])) if kind > b"\x80" else ()
    esm = esm_class[0] if esm_class else 0x40
    try:
        found = user_data(body, esm, tlvs)
        place = concatenation_of(body, esm, tlvs)
    except BadHeader:
        return
    assert found.concatenation == place
    if place is not None:
        assert 1 <= place.number <= place.total <= 255


def alphabets(data: bytes) -> None:
    """Any octets are a text in any alphabet; what a text is written as reads the same; packing comes back."""
    choice, coding, octets = data[:1], data[1:2], data[2:]
    alphabet = ALPHABETS[(choice[0] if choice else 0) % len(ALPHABETS)]
    text = alphabet.decode(octets)
    text.encode("utf-8")
    try:
        written = alphabet.encode(text)
    except Unencodable:
        assert not alphabet.encodable(text)
    else:
        assert alphabet.decode(written) == text
        assert alphabet.units(text) * alphabet.unit_octets == len(written)
    assert 0 <= alphabet.reach(text) <= len(text)
    looks_like_ucs2(octets)
    other = alphabet_of(coding[0] if coding else 0, alphabet)
    if other is not None:
        other.decode_part(octets)
    septets = bytes(octet & 0x7F for octet in octets)
    fill = fill_bits(len(choice) + len(coding))
    assert unpack(pack(septets, fill), fill)[: len(septets)] == septets


def messages(data: bytes) -> None:
    """What a peer submits or delivers becomes an arrival that can be journalled, and sent on, or is refused."""
    dialect = DIALECTS[data[0] % len(DIALECTS)] if data else DIALECTS[0]
    pdu = _read(decode, with_length(data[1:]))
    if isinstance(pdu, SubmitMulti):
        try:
            check_multi(pdu)
        except BadMessage:
            return
        for to in pdu.dest_address:
            if isinstance(to, SmeAddress):
                _arrives(single(pdu, to), dialect)
    elif isinstance(pdu, SubmitSm | DeliverSm | DataSm):
        _arrives(pdu, dialect)


def _arrives(pdu: SubmitSm | DeliverSm | DataSm, dialect: Dialect) -> None:
    try:
        arrival = completed(pdu, read_message(pdu, dialect, NOW_US))
    except BadMessage as error:
        if error.command_status == CommandStatus.ESME_ROK:
            raise AssertionError("refused as taken") from error
        return
    assert arrival_of(arrival_body(arrival)) == arrival
    assert 0 <= arrival.validity_us < 1 << 63
    assert 0 <= arrival.not_before_us < 1 << 63
    if arrival.concatenation is None and arrival.receipt is None:
        _goes_on(arrival, dialect)


def _goes_on(arrival: Arrival, dialect: Dialect) -> None:
    message = Message(
        id=1,
        kind=Kind.TEXT,
        origin="account:a",
        endpoint="link:l",
        received_us=NOW_US,
        source=arrival.source,
        destination=arrival.destination,
        expires_us=NOW_US + 10**9,
        text=arrival.text,
        data=arrival.data,
        attributes=arrival.attributes,
    )
    for make in (SubmitSm, DeliverSm):
        try:
            written = write_messages(message, dialect, make)
        except Unsplittable:
            continue
        for pdu in written:
            try:
                assert decode(encode(pdu)) == pdu
            except EncodeError as error:  # the addresses: intake lets none pass that is too long
                if error.field not in ("source_addr", "destination_addr"):
                    raise


def times(data: bytes) -> None:
    """A time is one or a BadTime; what it says can be written, unless it is in no year of ours."""
    try:
        moment = parse_time(str(data, "latin-1"), NOW_US)
    except BadTime:
        return
    if moment is None:
        return
    try:
        written = format_absolute(moment)
    except BadTime:
        return
    again = parse_time(written, NOW_US)
    assert again is not None
    assert 0 <= moment - again < 100_000


def xmpp(data: bytes) -> None:
    """An XML stream cut in two gives the same stanzas as whole, and ends in an error when the whole does.

    In which error may differ: of two faults in one piece the parser tells the later first, when the earlier is a text
    that it still holds back.
    """
    cut, stream = data[0] if data else 0, STREAM_HEAD + data[1:]
    whole, whole_error = _stanzas([stream])
    parts, parts_error = _stanzas([stream[: len(STREAM_HEAD) + cut], stream[len(STREAM_HEAD) + cut :]])
    assert (parts, parts_error is None) == (whole, whole_error is None)
    for element in whole:
        again, error = _stanzas([STREAM_HEAD + serialise(element).encode()])
        assert error is None
        assert again == [element]


def _stanzas(pieces: list[bytes]) -> tuple[list[Element], str | None]:
    reader = StreamReader()
    found = [element for piece in pieces for element in reader.feed(piece)]
    return found, reader.error.condition if reader.error is not None else None


def registries(data: bytes) -> None:
    """What a registry answers is read, or is no answer; each number gets one answer, decided only by what is of it."""
    entries: Sequence[Entry] | soap_xml.Fault
    try:
        if data[:1] == b"<":
            entries = soap_xml.read_answer(data, soap_xml.SUBMIT if b"Submit" in data else soap_xml.QUERY)
        else:
            entries = read_submitted(data) if b"items" in data else read_looked_up(data)
    except (BadXml, Unreadable):
        return
    if isinstance(entries, soap_xml.Fault):
        assert 0 <= entries.after_s < 1e9
        return
    for answers_of in (answers_to_publish, answers_to_withdraw, answers_to_confirm):
        answers = answers_of(REGISTRY_TASKS, entries)
        assert len(answers) == len(REGISTRY_TASKS)
        for task, answer in zip(REGISTRY_TASKS, answers, strict=True):
            assert answer.reason.isprintable()
            assert 0 <= answer.after_s <= MAX_AFTER_S
            assert answer.finding is Finding.LATER or task.listing.number in {entry.number for entry in entries}


def proxies(data: bytes) -> None:
    """A PROXY header is read by taking just what is asked for, is none, or is not whole yet; a cut changes nothing."""
    at = 0
    while isinstance(found := read_header(data[:at]), More):
        assert 1 <= found.octets <= 4096
        at += found.octets
        if at > len(data):
            assert isinstance(read_header(data), More | NoProxyHeader)
            return
    if isinstance(found, NoProxyHeader):
        assert isinstance(read_header(data), NoProxyHeader)
    else:
        assert isinstance(found, Own | Proxied)
        assert found.length == at
        assert read_header(data) == found


def canary(data: bytes) -> None:
    """Breaks on four octets that chance does not find, and who follows branches does: it proves the fuzzer awake."""
    # A branch for each octet: that is what there is to follow.
    if data[:1] == b"s":  # noqa: SIM102
        if data[1:2] == b"i":  # noqa: SIM102
            if data[2:3] == b"n":  # noqa: SIM102
                if data[3:4] == b"g":
                    raise AssertionError("the canary sings")


STREAM_HEAD = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept'"
    b" xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
)

REGISTRY_TASKS = [
    Task(f"k{n}", Listing(number=f"+1617555010{n}", real_number="", call_centre="", loa="l")) for n in range(2)
]

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (pdus, frames, connection, receipts, headers, alphabets, messages, times, xmpp, registries, proxies)
}
"""By name; all but the canary, which is there to break."""
