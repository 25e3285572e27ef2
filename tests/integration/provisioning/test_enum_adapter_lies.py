"""The ENUM adapter before servers that answer wrongly, twice, or never: one answer a task, nothing believed."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import dns.tsig
import pytest

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import Answer, Finding, Listing, Task
from provisioning.directories.enum import EnumAdapter
from provisioning.secret import Secret, SecretKind
from tests.fixtures_bind import SECRETS, ZONE
from tests.fixtures_lying_dns import LyingServer

KEY = dns.tsig.Key("hub-key", b64decode(SECRETS["hub-key"]), "hmac-sha256.")
TASKS = [
    Task(
        f"key-{place}", Listing(number=f"+1617555{place:04d}", real_number="", call_centre="acme", element="SPID:6006")
    )
    for place in range(5)
]
SILENCE_S = 0.3  # waited for in vain
PATIENCE_S = 60.0  # for an answer that comes


@pytest.fixture
def timeout_s() -> float:
    return PATIENCE_S


@pytest.fixture
def adapter(lying_server: LyingServer, timeout_s: float) -> Iterator[EnumAdapter]:
    directory = CarrierDirectory(
        name="carriers",
        adapter="enum",
        server="127.0.0.1",
        port=lying_server.port,
        zone=ZONE,
        tsig_name="hub-key",
        tsig_secret=Secret(SecretKind.LITERAL, SECRETS["hub-key"]),
        gateway="gw.example.net",
        timeout_s=timeout_s,
    )
    made = EnumAdapter(directory, {})
    yield made
    made.close()


def read(wire: bytes) -> dns.message.Message:
    return dns.message.from_wire(wire, keyring=KEY)


def answer_to(question: dns.message.Message, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    answer = dns.message.make_response(question)
    answer.flags |= dns.flags.AA
    answer.set_rcode(code)
    return answer


def signed(answer: dns.message.Message, question: dns.message.Message, key: dns.tsig.Key = KEY) -> bytes:
    answer.use_tsig(key, algorithm=key.algorithm)
    answer.request_mac = question.mac
    return answer.to_wire()


def good(wire: bytes, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    question = read(wire)
    return signed(answer_to(question, code), question)


def unsigned(wire: bytes) -> bytes:
    answer = answer_to(dns.message.from_wire(wire, keyring=False))
    answer.tsig = None
    return answer.to_wire()


def to_another(wire: bytes) -> bytes:
    question = read(wire)
    other = dns.message.make_query("1.e164.test", "TXT")
    other.id, other.flags = question.id, question.flags
    answer = dns.message.make_response(other)
    answer.set_opcode(question.opcode())
    return signed(answer, question)


def wrongly_signed(wire: bytes) -> bytes:
    question = read(wire)
    return signed(answer_to(question), question, dns.tsig.Key("hub-key", b"x" * 32, "hmac-sha256."))


LIES: dict[str, tuple[Callable[[bytes], list[bytes]], str]] = {
    "hangs up": (lambda wire: [b""], "connection broke"),
    "rubbish": (lambda wire: [wire[:2] + os.urandom(60)], ""),
    "too short": (lambda wire: [b"\x00"], "not asked"),
    "another id": (lambda wire: [bytes([wire[0] ^ 0x40]) + good(wire)[1:]], "not asked"),
    "unsigned": (lambda wire: [unsigned(wire)], "without a TSIG signature"),
    "wrongly signed": (lambda wire: [wrongly_signed(wire)], "signature is wrong"),
    "the question": (lambda wire: [wire], ""),
    "another question": (lambda wire: [to_another(wire)], ""),
    "failed": (lambda wire: [good(wire, dns.rcode.SERVFAIL)], "SERVFAIL"),
    "not understood": (lambda wire: [good(wire, dns.rcode.NOTIMP)], "NOTIMP"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("call", ["publish", "withdraw", "confirm"])
def test_nothing_is_decided_by_a_lie(adapter: EnumAdapter, lying_server: LyingServer, lie: str, call: str) -> None:
    lying_server.by_tcp, why = LIES[lie]
    answers: list[Answer] = getattr(adapter, call)(TASKS)
    assert [answer.finding for answer in answers] == [Finding.LATER] * len(TASKS)
    assert any(why in answer.reason for answer in answers)
    assert all(answer.reason.isprintable() and 0 < len(answer.reason) <= 200 for answer in answers)


@pytest.mark.parametrize("timeout_s", [SILENCE_S])
def test_a_silent_server_is_waited_for_once_in_a_call(adapter: EnumAdapter, lying_server: LyingServer) -> None:
    many = [
        Task(f"k{place}", Listing(number=f"+1617556{place:04d}", real_number="", call_centre="acme"))
        for place in range(500)
    ]
    answers = adapter.publish(many)
    assert {answer.finding for answer in answers} == {Finding.LATER}
    assert "did not answer within 0.3 s" in answers[0].reason
    assert len(lying_server.asked) == 1


def test_what_was_taken_and_cannot_be_looked_up_is_submitted(adapter: EnumAdapter, lying_server: LyingServer) -> None:
    """The update was answered; the look-ups are not."""

    def updates_only(wire: bytes) -> list[bytes]:
        return [good(wire) if read(wire).opcode() == dns.opcode.UPDATE else b""]

    lying_server.by_tcp = updates_only
    answers = adapter.publish(TASKS)
    assert {answer.finding for answer in answers} == {Finding.SUBMITTED}
    assert "could not be looked up" in answers[0].reason


def test_a_server_that_says_yes_and_does_nothing_is_found_out(adapter: EnumAdapter, lying_server: LyingServer) -> None:
    lying_server.by_tcp = lambda wire: [good(wire)]
    assert {answer.finding for answer in adapter.publish(TASKS)} == {Finding.ABSENT}


def test_answers_that_come_twice_break_nothing(adapter: EnumAdapter, lying_server: LyingServer) -> None:
    lying_server.by_tcp = lambda wire: [good(wire), good(wire)]
    assert {answer.finding for answer in adapter.confirm(TASKS)} <= {Finding.LATER, Finding.ABSENT}
    lying_server.by_tcp = lambda wire: [good(wire)]
    assert {answer.finding for answer in adapter.confirm(TASKS)} == {Finding.ABSENT}


def test_an_answer_without_authority_is_no_answer(adapter: EnumAdapter, lying_server: LyingServer) -> None:
    def from_a_cache(wire: bytes) -> list[bytes]:
        question = read(wire)
        answer = answer_to(question)
        answer.flags &= ~dns.flags.AA
        return [signed(answer, question)]

    lying_server.by_tcp = from_a_cache
    answers = adapter.confirm(TASKS)
    assert {answer.finding for answer in answers} == {Finding.LATER}
    assert "without authority" in answers[0].reason


def test_a_delegated_name_is_anothers(adapter: EnumAdapter, lying_server: LyingServer) -> None:
    def referral(wire: bytes) -> list[bytes]:
        question = read(wire)
        answer = answer_to(question)
        answer.flags &= ~dns.flags.AA
        zone = ".".join(question.question[0].name.to_text().split(".")[3:])
        answer.authority = [dns.rrset.from_text(zone, 300, "IN", "NS", "ns.example.")]
        return [signed(answer, question)]

    lying_server.by_tcp = referral
    answers = adapter.confirm(TASKS)
    assert {answer.finding for answer in answers} == {Finding.CONFLICT}
    assert "delegated" in answers[0].reason
