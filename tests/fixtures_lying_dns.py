"""A name server that says what a test tells it to: the lies that no real one can be made to tell."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.rrset
import pytest

Answers = Callable[[bytes], list[bytes]]


def reply_to(wire: bytes, *records: str, authority: str = "", flags: int = 0) -> dns.message.Message:
    """An unsigned answer to a question.

    Args:
        wire: the question.
        records: ``"300 IN NAPTR 1 1 …"``, at the name that was asked for.
        authority: a record, with its name.
        flags: set beside QR.
    """
    question = dns.message.from_wire(wire, keyring=False)
    answer = dns.message.make_response(question, our_payload=4096)
    answer.flags |= flags
    name = question.question[0].name
    for record in records:
        answer.answer += [dns.rrset.from_text(name, *record.split(" ", 3))]
    if authority:
        owner, rest = authority.split(" ", 1)
        answer.authority += [dns.rrset.from_text(owner, *rest.split(" ", 3))]
    return answer


class LyingServer:
    """UDP and TCP on one port of an address of loopback.

    Attributes:
        port: where.
        by_udp, by_tcp: what is sent back for a question: any number of messages. Over TCP, an empty message hangs up.
        asked: questions so far, over both.
        faults: what went wrong while an answer was made up; ``close`` raises the first.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        self.by_udp: Answers = lambda wire: []
        self.by_tcp: Answers = lambda wire: []
        self.asked: list[bytes] = []
        self.faults: list[Exception] = []
        self._open: list[socket.socket] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._host = host
        self._tcp = socket.create_server((host, port))
        self._udp.bind((host, port))
        self._threads = [threading.Thread(target=run) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop serving."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (self._host, self.port))  # nothing else wakes a thread that waits for a datagram
        for each in (self._udp, self._tcp, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._udp, self._tcp, *self._open):
            each.close()
        if self.faults:
            raise self.faults[0]

    def _made_up(self, answers: Answers, wire: bytes) -> list[bytes]:
        try:
            return answers(wire)
        except Exception as error:
            self.faults.append(error)
            return []

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, peer = self._udp.recvfrom(65_535)
                if not wire:
                    return
                self.asked.append(wire)
                for answer in self._made_up(self.by_udp, wire):
                    self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._tcp.accept()
                self._open.append(peer)
                thread = threading.Thread(target=self._serve_peer, args=(peer,))
                thread.start()
                self._threads.append(thread)

    def _serve_peer(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer.makefile("rb") as stream:
            while head := stream.read(2):
                wire = stream.read(int.from_bytes(head, "big"))
                self.asked.append(wire)
                for answer in self._made_up(self.by_tcp, wire):
                    if not answer:
                        peer.shutdown(socket.SHUT_RDWR)
                        return
                    peer.sendall(len(answer).to_bytes(2, "big") + answer)


@pytest.fixture
def lying_server(unused_tcp_port: int) -> Iterator[LyingServer]:
    """A server of a test's own."""
    server = LyingServer(unused_tcp_port)
    yield server
    server.close()
