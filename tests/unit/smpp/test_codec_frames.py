"""Cutting a stream into frames; senseless lengths are refused before anything is buffered for them."""

import pytest

from smpp.codec import encode, split_frames
from smpp.constants import DEFAULT_MAX_COMMAND_LENGTH
from smpp.errors import BadFrame
from smpp.pdu import EnquireLink, SubmitSm

ENQUIRE = encode(EnquireLink(sequence_number=1))
SUBMIT = encode(SubmitSm(sequence_number=2, short_message=b"hello"))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_whole_frames_and_a_rest(kind: type) -> None:
    frames, consumed = split_frames(kind(ENQUIRE + SUBMIT + ENQUIRE[:9]))
    assert frames == [ENQUIRE, SUBMIT]
    assert all(type(frame) is bytes for frame in frames)
    assert consumed == len(ENQUIRE + SUBMIT)


@pytest.mark.parametrize("buffer", [b"", b"\xff", b"GET", b"\0\0\0", ENQUIRE[:4], ENQUIRE[:15]])
def test_too_little_to_tell(buffer: bytes) -> None:
    assert split_frames(buffer) == ([], 0)


@pytest.mark.parametrize("length", [0, 1, 15, DEFAULT_MAX_COMMAND_LENGTH + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_senseless_length(length: int) -> None:
    with pytest.raises(BadFrame) as caught:
        split_frames(length.to_bytes(4, "big"))
    assert (caught.value.command_length, caught.value.word, caught.value.frames) == (length, "", [])


def test_the_bounds_are_taken() -> None:
    assert split_frames(ENQUIRE, 16) == ([ENQUIRE], 16)
    assert split_frames(DEFAULT_MAX_COMMAND_LENGTH.to_bytes(4, "big")) == ([], 0)
    with pytest.raises(BadFrame):
        split_frames(SUBMIT, len(SUBMIT) - 1)


def test_the_default_bound_has_room_for_the_longest_submit_sm() -> None:
    longest = SubmitSm(
        service_type="x" * 5,
        source_addr="1" * 20,
        destination_addr="1" * 20,
        schedule_delivery_time="0" * 16,
        validity_period="0" * 16,
        short_message=b"x" * 254,
        tlvs=((0x0424, b"x" * 0xFFFF), *((tag, b"x" * 260) for tag in range(0x1400, 0x140D))),
    )
    frame = encode(longest)
    assert split_frames(frame) == ([frame], len(frame))


def test_sound_frames_before_a_bad_one_are_not_lost() -> None:
    with pytest.raises(BadFrame) as caught:
        split_frames(ENQUIRE + SUBMIT + b"\0\0\0\x02rest")
    assert caught.value.frames == [ENQUIRE, SUBMIT]
    assert caught.value.consumed == len(ENQUIRE + SUBMIT)
    assert caught.value.command_length == 2


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"GET / HTTP/1.1\r\n", "http"),
        (b"POST /", "http"),
        (b"HEAD /", "http"),
        (b"OPTIONS *", "http"),
        (b"PRI * HTTP/2.0", "http"),
        (b"HTTP/1.1 400", "http"),
        (b"\x16\x03\x01\x02\0\x01", "tls"),
        (b"\x16\x03\x03\0", "tls"),
        (b"SSH-2.0-x", "ssh"),
        (b"<?xml version", "xml"),
        (b"<stream:stream", "xml"),
        (b"\xde\xad\xbe\xef", ""),
    ],
)
def test_other_protocols_are_told_by_their_first_four_octets(octets: bytes, word: str) -> None:
    with pytest.raises(BadFrame) as caught:
        split_frames(octets[:4])
    assert caught.value.word == word
    assert str(caught.value).endswith(word or ")")
