"""What holds for any PDU and any octets."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import assume, example, given, settings

from smpp import pdu as pdus
from smpp.codec import decode, encode, message_body, split_frames
from smpp.constants import MAX_SEQUENCE_NUMBER, CommandStatus
from smpp.errors import BadFrame, EncodeError, UnparsablePDU
from smpp.generic import decode_generic, encode_generic
from smpp.hotpath import DECODERS, ENCODERS
from smpp.layout import LAYOUTS, CountedOctets, CString, Destinations, Field, Integer, Unsuccesses
from smpp.pdu import PDU, PDU_CLASSES


def at_least(examples: int) -> settings:
    """The spaces here are large and an example costs little; a profile that asks for more still gets it."""
    return settings(max_examples=max(examples, settings.default.max_examples if settings.default else 0))


octet = st.integers(0, 255)
word = st.integers(0, 0xFFFFFFFF)


def c_string(most: int, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=1, max_codepoint=255), min_size=least, max_size=most)


def c_string_of(field: CString) -> st.SearchStrategy[str]:
    size = field.size - 1
    return st.just("") | c_string(size, size) if field.fixed else c_string(size)


address = st.builds(pdus.SmeAddress, octet, octet, c_string(20))
destination = address | st.builds(pdus.DistributionList, c_string(20))
unsuccess = st.builds(pdus.UnsuccessSme, octet, octet, c_string(20), word)


def value_of(field: Field) -> st.SearchStrategy[Any]:
    match field:
        case CString():
            return c_string_of(field)
        case Integer():
            return st.integers(0, (1 << 8 * field.size) - 1)
        case CountedOctets():
            return st.binary(max_size=field.limit)
        case Destinations():
            return st.lists(destination, min_size=1, max_size=4).map(tuple)
        case Unsuccesses():
            return st.lists(unsuccess, max_size=4).map(tuple)
    raise AssertionError(field)


tlvs_strategy = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=20)), max_size=4).map(tuple)


@st.composite
def pdu_of(draw: st.DrawFn, pdu_class: type[PDU]) -> PDU:
    fields = {field.name: draw(value_of(field)) for field in LAYOUTS[pdu_class]}
    return pdu_class(
        sequence_number=draw(word),
        command_status=draw(st.just(0) | word),
        tlvs=draw(st.just(()) | tlvs_strategy),
        **fields,
    )


any_class = st.sampled_from(sorted(PDU_CLASSES.values(), key=lambda each: each.__name__))
hot_class = st.sampled_from(sorted(ENCODERS, key=lambda each: each.__name__))
any_pdu = any_class.flatmap(pdu_of)
hot_pdu = hot_class.flatmap(pdu_of)


@given(any_pdu)
@at_least(500)
def test_what_is_written_is_read_back(pdu: PDU) -> None:
    frame = encode(pdu)
    assert int.from_bytes(frame[:4], "big") == len(frame)
    assert decode(frame) == pdu


@given(hot_pdu, st.none() | word)
@at_least(500)
def test_the_hot_writer_equals_the_generic_one(pdu: PDU, number: int | None) -> None:
    assert encode(pdu, number) == encode_generic(pdu, number)


def outcome(read: Any, frame: bytes) -> Any:
    faults: list[str] = []
    try:
        return read(frame, faults), faults
    except UnparsablePDU as error:
        return error.command_status, error.command_id, error.sequence_number, error.problem, faults


@st.composite
def bent(draw: st.DrawFn, source: st.SearchStrategy[PDU]) -> bytes:
    """A sound frame in which some octets were changed, cut out or put in; mostly with a true command_length."""
    frame = bytearray(encode(draw(source)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(frame)))
        match draw(st.sampled_from(("change", "cut", "insert", "end"))):
            case "change" if at < len(frame):
                frame[at] = draw(st.just(0) | octet)
            case "cut":
                del frame[at : at + draw(st.integers(1, 8))]
            case "insert":
                frame[at:at] = draw(st.just(b"\0") | st.binary(max_size=8))
            case _:
                del frame[at:]
    if draw(st.integers(0, 9)):
        frame[:4] = len(frame).to_bytes(4, "big")
    return bytes(frame)


@given(bent(hot_pdu))
@at_least(1500)
def test_the_hot_reader_equals_the_generic_one(frame: bytes) -> None:
    assert outcome(decode, frame) == outcome(decode_generic, frame)


def test_the_hot_reader_is_used_for_what_is_clean() -> None:
    # Otherwise the equality above would hold for a hot reader that always answers None.
    for pdu_class, write in ENCODERS.items():
        frame = encode_generic(pdu_class(sequence_number=3))
        assert DECODERS[frame[4:8]](frame) == pdu_class(sequence_number=3)
        assert write(pdu_class(sequence_number=3), None) == frame


@st.composite
def framed(draw: st.DrawFn) -> bytes:
    body = draw(st.binary(max_size=120))
    command_id = draw(st.sampled_from(sorted(PDU_CLASSES)) | word)
    status = draw(st.just(0) | word)
    return b"".join(value.to_bytes(4, "big") for value in (16 + len(body), command_id, status, draw(word))) + body


@given(framed() | st.binary(max_size=200) | bent(any_pdu))
@at_least(2000)
@example(b"")
@example(bytes(16))
def test_any_octets_are_a_pdu_or_unparsable(frame: bytes) -> None:
    result = outcome(decode, frame)
    if isinstance(result[0], int):
        assert result[0] in set(CommandStatus) - {CommandStatus.ESME_ROK}
        return
    pdu, faults = result
    message_body(pdu)
    # Nothing was forgiven: then it is written back as it came, but for what the standard allows two ways to write,
    # and an sm_length of 255, which is read and not written.
    if faults or len(getattr(pdu, "short_message", b"")) == 255:
        return
    again = encode(pdu)
    assert decode(again) == pdu
    if len(frame) > 16 and len(again) > 16:
        assert again == frame


@given(framed())
def test_the_type_of_the_buffer_does_not_matter(frame: bytes) -> None:
    assert outcome(decode, frame) == outcome(decode, bytearray(frame)) == outcome(decode, memoryview(frame))


@given(any_class, st.data())
@at_least(500)
def test_a_value_beyond_its_size_is_refused_by_name(pdu_class: type[PDU], data: st.DataObject) -> None:
    fields = [field for field in LAYOUTS[pdu_class] if isinstance(field, CString | Integer | CountedOctets)]
    assume(fields)
    bad = data.draw(st.sampled_from(fields))
    value: Any
    match bad:
        case CString():
            value = data.draw(
                c_string(bad.size + 9, bad.size)
                | st.sampled_from(("a\0b", "\0", "€", "" if not bad.fixed else "short")).filter(bool)
                | st.none()
                | st.binary(max_size=3)
            )
        case Integer():
            value = data.draw(st.integers(1 << 8 * bad.size) | st.integers(max_value=-1) | st.none() | st.just("7"))
        case CountedOctets():
            value = data.draw(st.binary(min_size=bad.limit + 1, max_size=bad.limit + 9) | st.just("text") | st.none())
    sound = data.draw(pdu_of(pdu_class))
    fields_of = {field.name: getattr(sound, field.name) for field in LAYOUTS[pdu_class]}
    with pytest.raises(EncodeError) as caught:
        encode(pdu_class(**{**fields_of, bad.name: value}))
    assert caught.value.field == bad.name


@given(hot_pdu, st.sampled_from(("sequence_number", "command_status")), st.sampled_from((-1, 1 << 32, "1", None)))
def test_a_header_beyond_its_size_is_refused_by_name(pdu: PDU, name: str, value: Any) -> None:
    header = {"sequence_number": 1, "command_status": 0, name: value}
    with pytest.raises(EncodeError) as caught:
        encode(type(pdu)(**header))
    assert caught.value.field == name


@given(st.lists(any_pdu, max_size=6), st.binary(max_size=3), st.data())
def test_any_chunking_gives_the_same_frames(sent: list[PDU], rest: bytes, data: st.DataObject) -> None:
    frames = [encode(pdu) for pdu in sent]
    stream = b"".join(frames) + rest
    assert split_frames(stream) == (frames, len(stream) - len(rest))
    buffer = bytearray()
    found: list[bytes] = []
    # Each chunk ends where it likes, within a length or a body.
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        some, consumed = split_frames(buffer)
        found += some
        del buffer[:consumed]
    assert found == frames
    assert bytes(buffer) == rest


@given(st.binary(max_size=300), st.integers(16, 400))
def test_any_octets_are_frames_or_a_bad_frame(stream: bytes, most: int) -> None:
    bad: BadFrame | None = None
    try:
        frames, consumed = split_frames(stream, most)
    except BadFrame as error:
        bad, frames, consumed = error, error.frames, error.consumed
    rest = stream[consumed:]
    if bad is not None:
        assert not 16 <= bad.command_length <= most
        assert rest[:4] == bad.command_length.to_bytes(4, "big")
    else:
        assert len(rest) < 4 or len(rest) < int.from_bytes(rest[:4], "big") <= most
    assert b"".join(frames) == stream[:consumed]
    assert all(16 <= len(frame) <= most and int.from_bytes(frame[:4], "big") == len(frame) for frame in frames)


@given(hot_pdu, st.integers(1, MAX_SEQUENCE_NUMBER))
def test_a_given_sequence_number_replaces_the_own_one(pdu: PDU, number: int) -> None:
    frame = encode(pdu, number)
    assert decode(frame).sequence_number == number
    assert frame[16:] == encode(pdu)[16:]
