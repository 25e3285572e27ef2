"""The external component protocol (XEP-0114), both sides, as a pure machine.

    connecting side (the hub)               accepting side (a server)
    NEW      start            → OPENING     NEW      header           → PROVING   (answers a header with an id)
    OPENING  header           → PROVING     PROVING  right handshake  → OPEN      (answers <handshake/>)
    PROVING  <handshake/>     → OPEN        PROVING  wrong handshake  → CLOSED    (not-authorized)
    OPEN     stanza           → OPEN        OPEN     stanza           → OPEN

    both: our end sent → CLOSING; their end, their stream error, or anything that is not in the table → CLOSED.

The proof is ``SHA1(stream id + secret)`` in lower-case hex (XEP-0114 §3). It is as weak as it is old: the link
belongs on loopback, in a private network or inside TLS, and the standard says so.

The machine never writes: it collects octets that its shell takes with ``take_octets`` and sends, in order.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from enum import Enum

from translators.xmpp.errors import StreamError
from translators.xmpp.stream import (
    COMPONENT_NS,
    MAX_DEPTH,
    MAX_STANZA_OCTETS,
    STREAM_ERROR,
    STREAM_ERRORS_NS,
    STREAMS_NS,
    Element,
    StreamReader,
    escape_attribute,
)


class Role(Enum):
    """Which side of the stream."""

    CONNECT = "connect"
    ACCEPT = "accept"


class Phase(Enum):
    """Where the stream stands. See the table at the head."""

    NEW = "new"
    OPENING = "opening"
    PROVING = "proving"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Input(Enum):
    """What can come."""

    HEADER = "header"
    HANDSHAKE = "handshake"
    STANZA = "stanza"
    ERROR = "stream error"
    END = "end"


class Act(Enum):
    """What to do about it."""

    GREET = "greet"  # their header came first: check whom it asks for, answer with ours
    PROVE = "prove"  # their header answered ours: send the proof
    CHECK = "check"  # check the proof
    OPEN = "open"
    PASS = "pass"  # noqa: S105 - give the stanza to the shell
    IGNORE = "ignore"
    FAIL = "fail"  # they said why it is over
    FINISH = "finish"  # they closed
    REFUSE = "refuse"  # not in the table: a breach of the protocol


STANZAS = frozenset(("message", "presence", "iq"))

_NAMED = {
    (Role.CONNECT, Phase.OPENING, Input.HEADER): Act.PROVE,
    (Role.CONNECT, Phase.PROVING, Input.HANDSHAKE): Act.OPEN,
    (Role.ACCEPT, Phase.NEW, Input.HEADER): Act.GREET,
    (Role.ACCEPT, Phase.PROVING, Input.HANDSHAKE): Act.CHECK,
    (Role.CONNECT, Phase.OPEN, Input.STANZA): Act.PASS,
    (Role.ACCEPT, Phase.OPEN, Input.STANZA): Act.PASS,
    # Stanzas that were on their way when we closed still count: each was a thing somebody said.
    (Role.CONNECT, Phase.CLOSING, Input.STANZA): Act.PASS,
    (Role.ACCEPT, Phase.CLOSING, Input.STANZA): Act.PASS,
}


def _act(role: Role, phase: Phase, event: Input) -> Act:
    if phase is Phase.CLOSED:
        return Act.IGNORE
    if event is Input.ERROR:
        return Act.FAIL
    if event is Input.END:
        return Act.FINISH
    return _NAMED.get((role, phase, event), Act.REFUSE)


#: The whole of the protocol: what to do with each input in each phase, for both roles.
TABLE = {(role, phase, event): _act(role, phase, event) for role in Role for phase in Phase for event in Input}


def proof(stream_id: str, secret: str) -> str:
    """The handshake's text. Source: XEP-0114 §3."""
    # The algorithm is the standard's; its weakness is why the link must be private.
    return hashlib.sha1((stream_id + secret).encode(), usedforsecurity=False).hexdigest()


class ComponentStream:
    """One stream, from either side.

    Attributes:
        phase: where it stands.
        error: why it ended, None while it has not or when it ended properly.
        domain: the component's domain; on the accepting side known once the header came.
    """

    def __init__(
        self,
        role: Role,
        *,
        secret: str,
        domain: str = "",
        domains: Collection[str] = (),
        stream_id: str = "",
        max_stanza_octets: int = MAX_STANZA_OCTETS,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        """Make one side of a stream.

        Args:
            secret: what both sides know.
            domain: connecting: the component's domain.
            domains: accepting: the domains that may be asked for.
            stream_id: accepting: an unpredictable id for this stream.
        """
        self.role = role
        self.phase = Phase.NEW
        self.error: StreamError | None = None
        self.domain = domain
        self._secret = secret
        self._domains = domains
        self._stream_id = stream_id
        self._reader = StreamReader(max_stanza_octets=max_stanza_octets, max_depth=max_depth)
        self._greeted = False
        self._output: list[bytes] = []

    @property
    def elements(self) -> int:
        """How many elements the other side has begun."""
        return self._reader.elements

    def start(self) -> None:
        """Connecting side: open the stream."""
        self._write(
            f"<?xml version='1.0'?><stream:stream xmlns='{COMPONENT_NS}' xmlns:stream='{STREAMS_NS}' "
            f"to='{escape_attribute(self.domain)}'>"
        )
        self.phase = Phase.OPENING

    def receive(self, data: bytes) -> list[Element]:
        """Take octets as they came.

        Returns: the stanzas for the shell, in order. Afterwards look at ``phase`` and send ``take_octets()``.
        """
        reader = self._reader
        found = reader.feed(data)
        if not self._greeted and reader.header is not None:
            self._greeted = True
            self._do(Input.HEADER, None)
        stanzas = found
        if self.phase is not Phase.OPEN or any(item.name not in STANZAS for item in found):
            stanzas = [item for item in found if self._classify(item)]
        if reader.error is not None and self.phase is not Phase.CLOSED:
            self.fail(reader.error)
        elif reader.ended:
            self._do(Input.END, None)
        return stanzas

    def receive_end(self) -> None:
        """The transport ended. Without the stream's own end before it, that is an error."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase is not Phase.CLOSING:
            self.error = StreamError("connection-closed", "transport ended inside the stream", remote=True)
        self.phase = Phase.CLOSED

    def close(self) -> None:
        """End our side properly; the other side's end then closes the stream."""
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        if self.phase is Phase.NEW:
            self.phase = Phase.CLOSED
            return
        self._write("</stream:stream>")
        self.phase = Phase.CLOSING

    def fail(self, error: StreamError) -> None:
        """End the stream with an error of ours. Source: RFC 6120 §4.9."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase is Phase.NEW and self.role is Role.ACCEPT:
            self._write_header("")  # an error needs a stream to stand in (RFC 6120 §4.9.1.1)
        if self.phase is not Phase.CLOSING:
            self._write(f"<stream:error><{error.condition} xmlns='{STREAM_ERRORS_NS}'/></stream:error></stream:stream>")
        self.error = error
        self.phase = Phase.CLOSED

    def take_octets(self) -> bytes:
        """What is to be sent now, in order; empty when nothing is."""
        if not self._output:
            return b""
        octets = b"".join(self._output)
        self._output.clear()
        return octets

    def _write(self, text: str) -> None:
        self._output.append(text.encode())

    def _write_header(self, domain: str) -> None:
        sender = f" from='{escape_attribute(domain)}'" if domain else ""
        self._write(
            f"<?xml version='1.0'?><stream:stream xmlns='{COMPONENT_NS}' xmlns:stream='{STREAMS_NS}'{sender} "
            f"id='{escape_attribute(self._stream_id)}'>"
        )

    def _classify(self, item: Element) -> bool:
        """Put one element through the table. Returns: True when it is the shell's."""
        if item.name in STANZAS:
            return self._do(Input.STANZA, item)
        if item.name == "handshake":
            return self._do(Input.HANDSHAKE, item)
        if item.name == STREAM_ERROR:
            return self._do(Input.ERROR, item)
        if self.phase is not Phase.CLOSED:
            self.fail(StreamError("unsupported-stanza-type", "neither message, presence nor iq"))
        return False

    def _do(self, event: Input, item: Element | None) -> bool:
        act = TABLE[self.role, self.phase, event]
        if act is Act.PASS:
            return True
        if act is Act.GREET:
            self._greet()
        elif act is Act.PROVE:
            self._prove()
        elif act is Act.CHECK and item is not None:
            self._check(item.text.strip())
        elif act is Act.OPEN:
            self.phase = Phase.OPEN
        elif act is Act.FAIL and item is not None:
            self._failed(item)
        elif act is Act.FINISH:
            self._finish()
        elif act is Act.REFUSE:
            condition = "not-authorized" if self.phase is Phase.PROVING else "unsupported-stanza-type"
            self.fail(StreamError(condition, f"{event.value} while {self.phase.value}"))
        return False

    def _greet(self) -> None:
        header = self._reader.header
        if header is None or header.namespace != COMPONENT_NS:
            self.fail(StreamError("invalid-namespace", "XEP-0114 §3"))
            return
        self.domain = header.get("to")
        if self.domain not in self._domains:
            self.fail(StreamError("host-unknown", "XEP-0114 §3"))
            return
        self._write_header(self.domain)
        self.phase = Phase.PROVING

    def _prove(self) -> None:
        header = self._reader.header
        if header is None or not header.get("id"):
            self.fail(StreamError("bad-format", "header without an id"))
            return
        self._write(f"<handshake>{proof(header.get('id'), self._secret)}</handshake>")
        self.phase = Phase.PROVING

    def _check(self, given: str) -> None:
        if hmac.compare_digest(given.encode(), proof(self._stream_id, self._secret).encode()):
            self._write("<handshake/>")
            self.phase = Phase.OPEN
        else:
            self.fail(StreamError("not-authorized", "XEP-0114 §3"))

    def _failed(self, item: Element) -> None:
        condition = "undefined-condition"
        for child in item.children:
            space, _, local = child.name.rpartition(" ")
            if space == STREAM_ERRORS_NS and local != "text":
                condition = local
                break
        self.error = StreamError(condition, remote=True)
        if self.phase is not Phase.CLOSING:
            self._write("</stream:stream>")
        self.phase = Phase.CLOSED

    def _finish(self) -> None:
        if self.phase is not Phase.CLOSING:
            self._write("</stream:stream>")
        self.phase = Phase.CLOSED
