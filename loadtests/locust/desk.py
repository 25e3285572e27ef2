"""The XMPP side: the server that the hub's desk is a component of (XEP-0114), its director and its CSRs.

Every customer's text is answered once, after as long as a CSR needs. The component protocol acknowledges nothing, so
an answer counts as acknowledged when it has arrived; or when a ping that was sent after it has been answered, which
says that the hub has read it, and the stream has stood for ten seconds more, in which it can be written down. What was
sent on a stream that fell before is in doubt.
"""

from __future__ import annotations

import hmac
import random
import socket
import time
from collections import deque
from typing import NamedTuple
from xml.etree.ElementTree import Element

import gevent

from loadtests.locust.books import Books
from loadtests.locust.ledger import Flow
from loadtests.locust.line import Line, Port
from loadtests.locust.measures import Measures
from loadtests.locust.pdus import ANSWER, QUESTION
from loadtests.locust.scenario import Conditions, DeskScript
from loadtests.locust.stanzas import (
    BODY,
    ERROR,
    FAILED,
    HANDSHAKE,
    IQ,
    MESSAGE,
    PING,
    PRESENCE,
    RECEIVED,
    TOKEN,
    TRY_LATER,
    NotXml,
    StanzaReader,
    proof,
    write_answer,
    write_conflict,
    write_header,
    write_ping,
    write_pong,
    write_presence,
    write_refusal,
)

HOST = "example.net"
DIRECTOR, CSR = f"director@{HOST}/acd", f"csr@{HOST}/load"
PROOF_S = 0.1  # how often a ping follows answers
STOOD_S = 10.0  # a hub that cannot write for longer takes nothing more in


class _Reply(NamedTuple):
    """A CSR's answer.

    Attributes:
        key: its own.
        to: the customer's JID.
        token: the thread's.
        begun: when the CSR sent it.
    """

    key: int
    to: str
    token: str
    begun: float


class _Stream:
    """The hub's connection, and what is known of it."""

    def __init__(self, desk: Desk, connected: socket.socket) -> None:
        self.is_open = False
        self.unproven: list[int] = []
        self.pinged: list[int] = []  # what the ping that is not answered yet stands behind
        self.read: deque[tuple[float, int]] = deque()  # and when its pong came
        self.taken: deque[tuple[Flow, int]] = deque(maxlen=desk.books.hub_window)
        self._desk = desk
        self._waiting: deque[tuple[float, Element]] = deque()  # what a slow server has not looked at, and when it will
        self._id = f"{random.getrandbits(64):016x}"
        self._reader = StanzaReader()
        self._line = Line(connected, self._take, lambda: desk.ended(self))
        self.close = self._line.close

    @property
    def unacknowledged(self) -> list[int]:
        """Answers that were sent on it and may not have been written down by the hub."""
        return self.unproven + self.pinged + [key for _, key in self.read]

    def write(self, words: str) -> None:
        self._line.write(words.encode())

    def _take(self, octets: bytes) -> None:
        greeted = bool(self._reader.domain)
        stanzas = self._reader.receive(octets)
        if self._reader.domain and not greeted:
            self.write(write_header(self._reader.domain, self._id))
        for stanza in stanzas:
            if not self.is_open:
                self._prove(stanza)
            elif self._desk.delay_s or self._waiting:
                self._wait(stanza)
            else:
                self._desk.take(self, stanza)
        if self._reader.is_over:
            self.close()

    def _wait(self, stanza: Element) -> None:
        self._waiting.append((time.monotonic() + self._desk.delay_s, stanza))
        if len(self._waiting) == 1:
            gevent.spawn(self._take_waiting)

    def _take_waiting(self) -> None:
        while self._waiting and not self._line.is_over:
            due, stanza = self._waiting[0]
            if due > time.monotonic():
                gevent.sleep(due - time.monotonic())
            else:
                self._desk.take(self, stanza)
                self._waiting.popleft()

    def _prove(self, stanza: Element) -> None:
        wanted = proof(self._id, self._desk.secret)
        if stanza.tag != HANDSHAKE or not hmac.compare_digest(wanted, (stanza.text or "").strip()):
            self._desk.strangers += 1
            raise NotXml("the component does not know the secret")
        if self._desk.is_bound:
            # Servers differ; the one that refuses the second shows a hub that opens two (ejabberd would split replies).
            self._line.finish(write_conflict().encode())
            return
        self.is_open = True
        self.write("<handshake/>")
        self._desk.opened(self)


class Desk:
    """See the module's head.

    Args:
        host, port: where the hub finds it.
        secret: shared with the hub.
        domain: the component's.
        script: how it is in good weather.
        books: where it is written down.
        measures: where it is told.
        chance: decides how long a CSR needs.

    Attributes:
        strangers: connections that did not know the secret.
    """

    def __init__(
        self,
        host: str,
        port: int,
        secret: str,
        domain: str,
        script: DeskScript,
        books: Books,
        measures: Measures,
        chance: random.Random,
    ) -> None:
        self.books, self.secret = books, secret
        self.strangers = 0
        self._domain, self._script, self._measures, self._chance = domain, script, measures, chance
        self._weather = Conditions()
        self._lines: set[_Stream] = set()
        self._stream: _Stream | None = None
        self._replies: dict[int, _Reply] = {}  # that may still come back
        self._unsent: deque[_Reply] = deque()
        self._thinking = 0
        self._closed = False
        self._port = Port(host, port, self._serve)
        gevent.spawn(self._prove_answers)

    @property
    def port(self) -> int:
        """Where the hub finds it."""
        return self._port.number

    @property
    def is_bound(self) -> bool:
        """The hub's component is connected."""
        return self._stream is not None

    @property
    def owed(self) -> int:
        """Answers that CSRs write, or that were not sent, or of which it is not known that the hub has read them."""
        stream = self._stream
        open_keys = [key for key in stream.unacknowledged if not self.books.answers.is_over(key)] if stream else ()
        return self._thinking + len(self._unsent) + len(open_keys)

    @property
    def delay_s(self) -> float:
        """How long a stanza waits to be looked at."""
        return (self._weather.answer_ms or 0.0) / 1e3

    def behave(self, weather: Conditions) -> None:
        """Be so from now on."""
        self._weather, before = weather, self._weather
        if weather.down and not before.down:
            self._port.close()
            for stream in list(self._lines):
                stream.close()
        elif before.down and not weather.down:
            self._port.open()
        if weather.away != before.away and self._stream is not None:
            self._stream.write(write_presence(DIRECTOR, self._domain, there=not weather.away))

    def close(self) -> None:
        """End all, at once."""
        self._closed = True
        self._weather = Conditions(down=True)
        self._port.close()
        for stream in list(self._lines):
            stream.close()

    # --- the hub's stream --------------------------------------------------------------------------------------------

    def _serve(self, connected: socket.socket) -> None:
        stream = _Stream(self, connected)
        self._lines.add(stream)
        if self._weather.down:
            stream.close()

    def opened(self, stream: _Stream) -> None:
        """The hub has proved that it knows the secret."""
        self._stream = stream
        self._send_unsent()

    def ended(self, stream: _Stream) -> None:
        """It is gone."""
        self._lines.discard(stream)
        if self._stream is stream:
            self._stream = None
        for flow, key in stream.taken:
            flow.doubt([key])
        self.books.answers.doubt(stream.unacknowledged)

    def take(self, stream: _Stream, stanza: Element) -> None:
        """A stanza came."""
        if stanza.tag == MESSAGE:
            self._message(stream, stanza)
        elif stanza.tag == IQ:
            self._iq(stream, stanza)
        elif stanza.tag == PRESENCE and stanza.get("type") == "probe":
            stream.write(write_presence(DIRECTOR, self._domain, there=not self._weather.away))

    def _iq(self, stream: _Stream, stanza: Element) -> None:
        if stanza.get("type") == "get" and stanza.find(PING) is not None:
            stream.write(write_pong(stanza))
        elif stanza.get("type") in ("result", "error"):
            now = time.monotonic()
            stream.read.extend((now, key) for key in stream.pinged)
            stream.pinged = []
        else:
            stream.write(write_refusal(stanza))

    def _message(self, stream: _Stream, stanza: Element) -> None:
        received, body = stanza.find(RECEIVED), stanza.find(BODY)
        if stanza.get("type") == "error":
            self._came_back(stanza)
        elif received is not None:
            self._receipt(stream, received.get("id", ""))
        elif body is not None:
            self._question(stream, stanza, (body.text or "").encode())

    def _question(self, stream: _Stream, stanza: Element, octets: bytes) -> None:
        known = self.books.read(octets, QUESTION)
        if known is None:
            return
        key = known[1]
        sender = stanza.get("from", "")
        stream.taken.append((self.books.questions, key))
        if not self.books.questions.arrive(key, int(sender.partition("@")[0])):
            return
        since = self.books.since(QUESTION, key)
        if since is not None:
            self._measures.fire("XMPP text to desk", since, len(octets))
        token = stanza.find(TOKEN)
        self._thinking += 1
        gevent.spawn_later(
            self._chance.uniform(*self._script.answer_s),
            self._answer,
            sender,
            (token.text or "") if token is not None else "",
        )

    # --- CSRs ------------------------------------------------------------------------------------------------------

    def _answer(self, to: str, token: str) -> None:
        self._thinking -= 1
        now = time.monotonic()
        key = self.books.answers.offer()
        self.books.begin(ANSWER, key, now)
        self._unsent.append(_Reply(key, to, token, now))
        self._send_unsent()

    def _send_unsent(self) -> None:
        stream = self._stream
        while stream is not None and self._unsent:
            reply = self._unsent.popleft()
            self._replies[reply.key] = reply
            stream.unproven.append(reply.key)
            own = self.books.label(ANSWER, reply.key).decode()
            body = self.books.write(ANSWER, reply.key, self._script.length).decode()
            stream.write(write_answer(own, CSR, reply.to, body, reply.token))

    def _prove_answers(self) -> None:
        while not self._closed:
            gevent.sleep(PROOF_S)
            stream = self._stream
            if stream is not None:
                self._acknowledge(stream.read)
            if stream is not None and stream.unproven and not stream.pinged:
                stream.pinged, stream.unproven = stream.unproven, []
                stream.write(write_ping("proof", HOST, self._domain))

    def _acknowledge(self, read: deque[tuple[float, int]]) -> None:
        answers, stood = self.books.answers, time.monotonic() - STOOD_S
        while read and (read[0][0] < stood or answers.is_over(read[0][1])):
            _, key = read.popleft()
            if answers.has_arrived(key) or not answers.is_over(key):
                answers.acknowledge(key)

    def _reply_of(self, own: str) -> _Reply | None:
        known = self.books.read(own.encode(), ANSWER)
        return self._replies.get(known[1]) if known is not None else None

    def _receipt(self, stream: _Stream, own: str) -> None:
        reply = self._reply_of(own)
        if reply is not None:
            stream.taken.append((self.books.answer_receipts, reply.key))
        if reply is not None and self.books.answer_receipts.arrive(reply.key, None):
            self._measures.fire("XMPP answer to receipt", reply.begun, self._script.length)

    def _came_back(self, stanza: Element) -> None:
        reply = self._reply_of(stanza.get("id", ""))
        error = stanza.find(ERROR)
        if reply is None or error is None:
            return
        later, failed = error.find(TRY_LATER), error.find(FAILED)
        word = next((child.tag.rpartition("}")[2] for child in error if child.tag.startswith("{urn:smshub")), "")
        if failed is not None:
            word = f"receipt says {failed.get('state', '')}"
            self.books.answers.fail(reply.key)
        elif later is None:
            self.books.answers.refuse(reply.key)
        else:
            self._thinking += 1
            gevent.spawn_later(float(later.get("after", "1")), self._again, reply)
        self._measures.fire(
            "XMPP answer to carrier", reply.begun, self._script.length, word or error.get("type", "error")
        )

    def _again(self, reply: _Reply) -> None:
        self._thinking -= 1
        self._unsent.append(reply)
        self._send_unsent()
