"""A connection to a zone's primary name server: signed DNS messages over TCP, several on their way at once.

Whoever sits on the wire may write what they like, so an answer counts only when its TSIG (RFC 8945) is right for the
question it answers; then it is the server's word. Everything else (no signature, another's id, garbage, an answer to
another question) is a ``Fault`` with its reason: nothing was decided, and the caller asks again some other time.

Blocking; for a worker thread.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from typing import Final

import dns.exception
import dns.message
import dns.rcode
import dns.tsig
import msgspec

WINDOW_MESSAGES: Final = 32  # on their way at once: their answers must fit in what the system buffers for a socket
WINDOW_OCTETS: Final = 65_537
MAX_MESSAGE_OCTETS: Final = 65_535  # RFC 1035 §4.2.2

_PEER_SAYS: Final[dict[type[Exception], str]] = {
    dns.tsig.PeerBadKey: "it does not know the TSIG key: are tsig_name and tsig_algorithm right?",
    dns.tsig.PeerBadSignature: "it finds the TSIG signature wrong: is tsig_secret right?",
    dns.tsig.PeerBadTime: "its clock and ours differ too much for TSIG: set the clocks",
    dns.tsig.BadTime: "its clock and ours differ too much for TSIG: set the clocks",
    dns.tsig.BadSignature: "an answer's TSIG signature is wrong: it was not believed",
}


class Fault(msgspec.Struct, frozen=True):
    """No answer, or none to believe.

    Attributes:
        reason: for people.
    """

    reason: str


class Primary:
    """Speaks to one server; opens its connection when it needs one.

    Args:
        host: name or address.
        port: of TCP.
        key: signs what is sent, and has to have signed what comes.
        timeout_s: how long each answer, and the connection, is waited for.
    """

    def __init__(self, host: str, port: int, key: dns.tsig.Key, timeout_s: float) -> None:
        self._where = (host, port)
        self._key = key
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._next_id = time.monotonic_ns() & 0xFFFF
        self._buffer = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._socket is not None

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None
        self._buffer.clear()

    def ask(self, messages: Sequence[dns.message.Message]) -> list[dns.message.Message | Fault]:
        """Send messages and wait for the answer to each.

        Args:
            messages: unsigned; each gets an id and a signature. At most 65,535 octets each.

        Returns: beside each its answer. After the first that did not come, those of the rest are faults too.

        Raises: OSError: the server cannot be reached. dns.exception.TooBig: a message is too long.
        """
        was_open = self._socket is not None
        answers = self._exchange(messages)
        if was_open and answers and all(isinstance(answer, Fault) for answer in answers) and self._socket is None:
            answers = self._exchange(messages)  # servers hang up on the idle, which the first to speak finds out
        return answers

    def _exchange(self, messages: Sequence[dns.message.Message]) -> list[dns.message.Message | Fault]:
        if self._socket is None:
            self._socket = socket.create_connection(self._where, self._timeout_s)
        answers: list[dns.message.Message | Fault] = [Fault("it was not asked")] * len(messages)
        waiting: dict[int, int] = {}  # id → place
        sent = octets = 0
        try:
            while sent < len(messages) or waiting:
                while sent < len(messages) and len(waiting) < WINDOW_MESSAGES:
                    wire = self._signed(messages[sent])
                    if waiting and octets + len(wire) > WINDOW_OCTETS:
                        break
                    waiting[messages[sent].id] = sent
                    octets += len(wire)
                    sent += 1
                    self._socket.settimeout(self._timeout_s)
                    self._socket.sendall(wire)
                frame = self._receive()
                place = waiting.pop(int.from_bytes(frame[:2], "big"), None)
                if place is None:
                    raise OSError("it answered what was not asked")
                answers[place] = self._believed(messages[place], frame)
                octets = octets if waiting else 0
        except TimeoutError:
            self._give_up(answers, waiting, sent, f"it did not answer within {self._timeout_s:g} s")
        except OSError as error:
            self._give_up(answers, waiting, sent, f"the connection broke: {error.strerror or error}")
        return answers

    def _give_up(
        self, answers: list[dns.message.Message | Fault], waiting: dict[int, int], sent: int, reason: str
    ) -> None:
        self.close()
        for place in (*waiting.values(), *range(sent, len(answers))):
            answers[place] = Fault(reason)

    def _signed(self, message: dns.message.Message) -> bytes:
        self._next_id = (self._next_id + 1) & 0xFFFF
        message.id = self._next_id
        message.use_tsig(self._key, algorithm=self._key.algorithm)
        return message.to_wire(max_size=MAX_MESSAGE_OCTETS, prepend_length=True)

    def _receive(self) -> bytes:
        """One message. Raises: TimeoutError, OSError."""
        until = time.monotonic() + self._timeout_s
        while True:
            size = int.from_bytes(self._buffer[:2], "big") if len(self._buffer) >= 2 else MAX_MESSAGE_OCTETS
            if len(self._buffer) >= 2 + size:
                frame = bytes(self._buffer[2 : 2 + size])
                del self._buffer[: 2 + size]
                return frame
            left_s = until - time.monotonic()
            if left_s <= 0 or self._socket is None:
                raise TimeoutError
            self._socket.settimeout(left_s)
            octets = self._socket.recv(MAX_MESSAGE_OCTETS)
            if not octets:
                raise OSError("the server hung up")
            self._buffer += octets

    def _believed(self, question: dns.message.Message, frame: bytes) -> dns.message.Message | Fault:
        """Read an answer and see that it is one."""
        try:
            answer = dns.message.from_wire(frame, keyring=self._key, request_mac=question.mac)
        except (dns.exception.DNSException, ValueError) as error:
            known = next((words for kind, words in _PEER_SAYS.items() if isinstance(error, kind)), "")
            return Fault(known or _unread(frame, error))
        if not answer.had_tsig:
            return Fault(_unread(frame, None))
        # RFC 2136 §2.3: the zone section of an update stands where the question does.
        if not question.is_response(answer) or (answer.question and answer.question != question.question):
            return Fault("it answered another question")
        return answer


def _unread(frame: bytes, error: Exception | None) -> str:
    code = dns.rcode.to_text(dns.rcode.Rcode(frame[3] & 0x0F)) if len(frame) > 3 else "nothing"
    if error is None or "TSIG" in str(error):
        return f"it answered {code} without a TSIG signature: not believed"
    return f"it answered {code} in a message that cannot be read ({type(error).__name__})"
