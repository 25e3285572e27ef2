"""Any octets that a name server sends are an answer with its signature, or a fault in words; nothing else comes out."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.tsig
from hypothesis import given
from hypothesis import strategies as st

from provisioning.directories.primary import Fault, Primary

KEY = dns.tsig.Key("hub-key", b"0" * 32, "hmac-sha256.")


def asked() -> dns.message.Message:
    question = dns.message.make_query("1.e164.test", "NAPTR")
    question.id = 4711
    question.use_tsig(KEY, algorithm=KEY.algorithm)
    question.to_wire()
    return question


def answered(question: dns.message.Message, code: int) -> bytes:
    answer = dns.message.make_response(question)
    answer.flags |= dns.flags.AA | code
    answer.use_tsig(KEY, algorithm=KEY.algorithm)
    answer.request_mac = question.mac
    return answer.to_wire()


def believed(frame: bytes, question: dns.message.Message) -> dns.message.Message | Fault:
    return Primary("127.0.0.1", 1, KEY, 1.0)._believed(question, frame)


@given(code=st.integers(0, 15))
def test_whatever_code_is_signed_is_believed(code: int) -> None:
    question = asked()
    found = believed(answered(question, code), question)
    assert isinstance(found, dns.message.Message)
    assert found.rcode() == code


@given(data=st.data(), code=st.integers(0, 15))
def test_a_changed_octet_is_a_fault_in_words(data: st.DataObject, code: int) -> None:
    question = asked()
    frame = bytearray(answered(question, code))
    # The id is what answers are told apart by; TSIG keeps the original one beside it (RFC 8945 §4.2).
    place = data.draw(st.integers(2, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    found = believed(bytes(frame), question)
    if isinstance(found, dns.message.Message):
        # What the signature does not cover: the case of letters in names, the time to live of the signature itself.
        before = dns.message.from_wire(answered(question, code), keyring=KEY, request_mac=question.mac)
        assert (found.flags, found.sections[:3], found.rcode()) == (before.flags, before.sections[:3], code)
    else:
        assert found.reason.isprintable()


@given(frame=st.binary(max_size=300), head=st.binary(min_size=10, max_size=10))
def test_rubbish_is_a_fault_in_words(frame: bytes, head: bytes) -> None:
    question = asked()
    for octets in (frame, question.id.to_bytes(2, "big") + head + frame):
        found = believed(octets, question)
        assert isinstance(found, Fault)
        assert found.reason.isprintable()
