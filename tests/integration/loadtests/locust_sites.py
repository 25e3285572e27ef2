"""The scenarios' carrier and desk, met by a hub that is played by hand. Prints what happened, as one JSON object.

A process of its own, since they stand on gevent, which patches the process that imports it.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import json
import random
import socket
import time
from types import SimpleNamespace
from typing import Any

import gevent

import loadtests.locust.desk
from loadtests.locust.books import Books
from loadtests.locust.carrier import Carrier
from loadtests.locust.desk import Desk
from loadtests.locust.measures import Measures
from loadtests.locust.pdus import ANSWER, QUESTION, TEXT, read_text, write_bind, write_response, write_text
from loadtests.locust.scenario import CarrierScript, Conditions, DeskScript
from loadtests.locust.session import Answer, Session
from loadtests.locust.stanzas import BODY, IQ, MESSAGE, PRESENCE, StanzaReader, proof
from loadtests.wire import BIND_TRANSCEIVER, SUBMIT_SM

HOST, NUMBER = "127.0.0.1", b"18002530000"
PATIENCE_S = 60.0
GOOD = Conditions()
ERROR = (
    "<message type='error' from='{to}' to='csr@example.net/load' id='{own}'>"
    "<error type='{kind}'>{inside}</error></message>"
)


def until(is_so: Any) -> None:
    """Wait until it is so."""
    with gevent.Timeout(PATIENCE_S):
        while not is_so():
            gevent.sleep(0.01)


class Fired(list):
    """What locust would be told."""

    def fire(self, **words: Any) -> None:
        self.append((f"{words['request_type']} {words['name']}", words["exception"]))

    def failures(self) -> list[tuple[str, str]]:
        return [each for each in self if each[1] is not None]


def measures() -> tuple[Fired, Measures]:
    fired = Fired()
    return fired, Measures(SimpleNamespace(events=SimpleNamespace(request=fired)))  # type: ignore[arg-type]


class Link:
    """The hub's session at the carrier."""

    def __init__(self, port: int) -> None:
        self.answers: list[Answer] = []
        self.requests: list[bytes] = []
        self.status = 0
        self.is_silent = self.is_over = False
        self.session = Session(
            socket.create_connection((HOST, port)), self._take, lambda _, some: self.answers.extend(some), self._end
        )
        self.session.request(BIND_TRANSCEIVER, write_bind("hub", "bench"), "bind")

    def _take(self, session: Session, frames: Any) -> None:
        for frame in frames:
            self.requests.append(frame)
            if not self.is_silent:
                session.write(write_response(frame, self.status, b"\0"))

    def _end(self, _: Session) -> None:
        self.is_over = True

    def submit(self, books: Books, count: int, *, receipt: bool = False) -> None:
        for _ in range(count):
            key = books.texts.offer()
            text = books.write(TEXT, key, 40)
            self.session.request(SUBMIT_SM, write_text(b"12125550100", b"12000000001", text, receipt=receipt), key)
            books.texts.acknowledge(key)


def refused(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return True
    return False


def carrier() -> dict[str, Any]:
    books = Books(run=1, hub_window=3)
    fired, told = measures()
    site = Carrier(HOST, 0, NUMBER, CarrierScript(answer_ms=0, receipt_ms=0, window=2), books, told)
    found: dict[str, Any] = {}
    link = Link(site.port)
    until(lambda: site.is_bound and link.answers)

    site.behave(Conditions(per_s=3))
    link.submit(books, 20)
    until(lambda: len(link.answers) == 21)
    found["throttled"] = sum(answer.status == 0x58 for answer in link.answers)
    found["taken"] = books.texts.account().arrived

    site.behave(Conditions(answer_ms=300))
    begun = time.monotonic()
    link.submit(books, 1, receipt=True)
    until(lambda: len(link.answers) == 22)
    found["slow_s"] = time.monotonic() - begun
    until(lambda: books.text_receipts.account().acknowledged == 1)
    found["receipt"] = read_text(link.requests[0]).octets.decode().partition(" ")[0]

    site.behave(GOOD)
    link.status = 0x58
    _, answered = site.ask(7, 40)
    until(lambda: len(link.requests) == 2)
    link.status = 0
    until(lambda: books.questions.account().acknowledged == 1)
    found["questions"] = [read_text(frame).octets.decode()[:13] for frame in link.requests[1:]]
    found["failures"] = fired.failures()
    key = books.answers.offer()
    body = write_text(NUMBER, b"12500000007", books.write(ANSWER, key, 40), receipt=False)
    link.session.request(SUBMIT_SM, body, "answer")
    found["answered"] = answered.wait(PATIENCE_S)
    link.session.request(SUBMIT_SM, write_text(NUMBER, b"12500000007", b"STOP means stop", receipt=False), "strange")
    until(lambda: books.strange == 1)

    before = books.texts.account().doubtful
    site.behave(Conditions(down=True))
    until(lambda: link.is_over)
    found["refused"] = refused(site.port)
    found["doubtful"] = [before, books.texts.account().doubtful, books.answers.account().doubtful]
    site.ask(8, 40)
    site.behave(GOOD)
    link = Link(site.port)
    until(lambda: books.questions.account().acknowledged == 2)
    link.is_silent = True
    for customer in (9, 10, 11):
        site.ask(customer, 40)
    until(lambda: len(link.requests) == 3)  # as many as its window
    link.session.close()
    link = Link(site.port)
    until(lambda: books.questions.account().acknowledged == 5)
    found["unanswered"] = [read_text(frame).octets.decode()[:13] for frame in link.requests]
    found["owed"] = site.owed

    # A node that was stopped still holds its session; another sends the last of what it had, by a newer one.
    before = books.texts.account()
    link.submit(books, 4)
    until(lambda: books.texts.account().arrived == before.arrived + 4)
    newer = Link(site.port)
    keys = range(before.offered, before.offered + 4)
    for session, key in (
        (newer.session, keys[3]),
        (newer.session, keys[0]),
        (link.session, keys[2]),
        (newer.session, keys[3]),
    ):
        text = write_text(b"12125550100", b"12000000001", books.write(TEXT, key, 40), receipt=False)
        session.request(SUBMIT_SM, text, key)
        until(lambda session=session: not session.pending)
    after = books.texts.account()
    found["again"] = [after.again - before.again, after.doubled - before.doubled]
    site.close()
    until(lambda: link.is_over)
    return found


class Component:
    """The hub's stream at the desk."""

    def __init__(self, port: int, secret: str) -> None:
        self.stanzas: list[Any] = []
        self.octets = b""
        self.is_over = False
        self._socket = socket.create_connection((HOST, port))
        self._secret = secret
        self._reader = StanzaReader()
        self.write(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'"
            " to='sms.example.net'>"
        )
        gevent.spawn(self._read)

    def write(self, words: str) -> None:
        self._socket.sendall(words.encode())

    def _read(self) -> None:
        while octets := self._socket.recv(65_536):
            if not self.octets:
                own = octets.partition(b" id='")[2].partition(b"'")[0].decode()
                self.write(f"<handshake>{proof(own, self._secret)}</handshake>")
            self.octets += octets
            self.stanzas += self._reader.receive(octets)
        self.is_over = True

    def text(self, books: Books, customer: str = "+12500000001") -> None:
        """A customer's text."""
        body = books.write(QUESTION, books.questions.offer(), 40).decode()
        self.write(
            f"<message from='{customer}@sms.example.net/+18002530000' to='d@example.net' id='m1' type='chat'>"
            f"<body>{body}</body><token xmlns='urn:smshub:thread:1'>{'a' * 26}</token></message>"
        )

    def answers(self) -> list[Any]:
        return [stanza for stanza in self.stanzas if stanza.tag == MESSAGE and stanza.find(BODY) is not None]

    def came_back(self, at: int, kind: str, inside: str) -> None:
        """The hub does not take an answer."""
        answer = self.answers()[at]
        self.write(ERROR.format(to=answer.get("to"), own=answer.get("id"), kind=kind, inside=inside))


def desk() -> dict[str, Any]:
    loadtests.locust.desk.STOOD_S = 0.2
    books = Books(run=2, hub_window=3)
    fired, told = measures()
    script = DeskScript(answer_s=(0.0, 0.0))
    site = Desk(HOST, 0, "bench", "sms.example.net", script, books, told, random.Random(1))
    found: dict[str, Any] = {}
    stranger = Component(site.port, "guessed")
    until(lambda: stranger.is_over)
    found["stranger"] = [site.is_bound, site.strangers]
    hub = Component(site.port, "bench")
    until(lambda: site.is_bound)

    second = Component(site.port, "bench")
    until(lambda: second.is_over)
    found["second"] = b"<conflict " in second.octets
    for _ in range(4):
        hub.text(books)
    until(lambda: len(hub.answers()) == 4)
    hub.came_back(0, "wait", "<try-later xmlns='urn:smshub:thread:1' after='0.1'/>")
    hub.came_back(1, "cancel", "<unknown-token xmlns='urn:smshub:thread:1'/>")
    hub.came_back(2, "cancel", "<failed xmlns='urn:smshub:thread:1' state='UNDELIV' error='001'/>")
    until(lambda: len(hub.answers()) == 5)
    found["again"] = [hub.answers()[at].get("id") for at in (0, 4)]
    found["failures"] = fired.failures()
    until(lambda: any(stanza.tag == IQ for stanza in hub.stanzas))
    found["acknowledged_before_pong"] = books.answers.account().acknowledged
    hub.write("<iq from='sms.example.net' to='example.net' id='proof' type='result'/>")
    until(lambda: books.answers.account().acknowledged)

    site.behave(Conditions(away=True))
    site.behave(Conditions(answer_ms=300))
    until(lambda: sum(stanza.tag == PRESENCE for stanza in hub.stanzas) == 2)
    found["presence"] = [stanza.get("type") for stanza in hub.stanzas if stanza.tag == PRESENCE]
    begun = time.monotonic()
    hub.text(books)
    hub.text(books)
    until(lambda: books.questions.account().arrived == 6)
    found["slow_s"] = time.monotonic() - begun
    found["disordered"] = books.questions.account().disordered

    site.behave(Conditions(down=True))
    until(lambda: hub.is_over)
    found["refused"] = refused(site.port)
    found["doubtful"] = books.questions.account().doubtful
    site.behave(GOOD)
    hub = Component(site.port, "bench")
    until(lambda: site.is_bound)
    hub.write("<iq></oops>")
    until(lambda: hub.is_over)
    site.close()
    return found


if __name__ == "__main__":
    print(json.dumps({"carrier": carrier(), "desk": desk()}))
