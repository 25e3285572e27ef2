"""A second reading of what an SMPP session is, to hold ``smpp.connection`` against.

Written from SMPP 3.4 §2.2, §2.3, §4 and §7.2, SMPP 5.0 table 2-1 and §2.6, and from what this project promises where
they leave a choice. It shares nothing with the code that it judges: neither its tables nor its types nor its codec. It
reads frames by itself, one at a time and as slowly as it likes; it knows one end of a session, which is told what
arrives and what its owner does, and says what the owner must hear and what must be sent.

Events are tuples: ("request", name, number), ("answer", key, outcome), ("bind", kind), ("bound",), ("denied", status),
("outbind",), ("unbinding",), ("ended", why). An outcome is a status as a number, or a word.
"""

from __future__ import annotations

import struct

# name: command_id, in which states an ESME may ask it, in which states an SMSC may, and since which version.
OPERATIONS = {
    "bind_receiver": (0x01, "OPEN OUTBOUND", "", 0),
    "bind_transmitter": (0x02, "OPEN OUTBOUND", "", 0),
    "query_sm": (0x03, "BOUND_TX BOUND_TRX", "", 0),
    "submit_sm": (0x04, "BOUND_TX BOUND_TRX", "", 0),
    "deliver_sm": (0x05, "", "BOUND_RX BOUND_TRX", 0),
    "unbind": (0x06, "BOUND_TX BOUND_RX BOUND_TRX", "BOUND_TX BOUND_RX BOUND_TRX", 0),
    "replace_sm": (0x07, "BOUND_TX BOUND_TRX", "", 0),
    "cancel_sm": (0x08, "BOUND_TX BOUND_TRX", "", 0),
    "bind_transceiver": (0x09, "OPEN OUTBOUND", "", 0),
    "outbind": (0x0B, "", "OPEN", 0),
    "enquire_link": (0x15, "BOUND_TX BOUND_RX BOUND_TRX", "BOUND_TX BOUND_RX BOUND_TRX", 0),
    "submit_multi": (0x21, "BOUND_TX BOUND_TRX", "", 0),
    "alert_notification": (0x102, "", "BOUND_RX BOUND_TRX", 0x34),
    "data_sm": (0x103, "BOUND_TX BOUND_RX BOUND_TRX", "BOUND_TX BOUND_RX BOUND_TRX", 0x34),
    "broadcast_sm": (0x111, "BOUND_TX BOUND_TRX", "", 0x50),
    "query_broadcast_sm": (0x112, "BOUND_TX BOUND_TRX", "", 0x50),
    "cancel_broadcast_sm": (0x113, "BOUND_TX BOUND_TRX", "", 0x50),
}
UNANSWERED = ("outbind", "alert_notification")
BINDS = {"bind_receiver": "BOUND_RX", "bind_transmitter": "BOUND_TX", "bind_transceiver": "BOUND_TRX"}
SESSION_OPERATIONS = (*BINDS, "unbind", "outbind", "enquire_link")
NAME_OF = {command: name for name, (command, *_) in OPERATIONS.items()}

GENERIC_NACK = 0x80000000
RESPONSE = 0x80000000
RINVCMDLEN, RINVCMDID, RINVBNDSTS, RALYBND = 2, 3, 4, 5
LONGEST = 0x10000 + 4096


def header(command: int, status: int, number: int) -> bytes:
    return struct.pack(">IIII", 16, command, status, number)


def told_version(body: bytes) -> int | None:
    """sc_interface_version of a bind response, or None."""
    rest = body[body.find(b"\0") + 1 :]
    while len(rest) >= 4:
        tag, size = struct.unpack(">HH", rest[:4])
        if tag == 0x0210 and size:
            return rest[4]
        rest = rest[4 + size :]
    return None


def said_version(body: bytes) -> int:
    """interface_version of a bind: what follows three C-octet strings."""
    for _ in range(3):
        body = body[body.index(b"\0") + 1 :]
    return body[0]


class End:
    """One end. Times are numbers, None is never. ``out`` gathers what must be sent of itself, in order."""

    def __init__(
        self, role: str, now: int, *, window: int, init: int, enquire: int, inactive: int, response: int
    ) -> None:
        self.role, self.peer = role, "SMSC" if role == "ESME" else "ESME"
        self.window, self.enquire, self.inactive, self.response = window, enquire, inactive, response
        self.linger = 2
        self.state = "OPEN"
        self.version: int | None = None
        self.why = ""
        self.out: list[bytes] = []
        self.asked: dict[int, tuple[object, str, int, bool]] = {}  # number: key, name, when, whether it has left
        self.owes = 0
        self.number = 0
        self.buffer = b""
        self.bind_sent: tuple[int, str, int] | None = None  # number, name, version
        self.bind_wanted: tuple[int, str, int] | None = None
        self.unbind_sent: int | None = None
        self.unbind_owed: int | None = None
        self.enquiry: int | None = None
        self.init_at: int | None = now + init
        self.heard_at = self.active_at = now
        self.enquired_at: int | None = None
        self.over_at: int | None = None
        self.over_as = "closed"

    # -- What its owner sees -----------------------------------------------------------------------------------------

    @property
    def bound(self) -> bool:
        return self.state.startswith("BOUND")

    @property
    def room(self) -> int:
        return self.window - len(self.asked) if self.bound and self.unbind_sent is None else 0

    def may_ask(self, name: str) -> bool:
        _, esme, smsc, _ = OPERATIONS[name]
        return self.state in (esme if self.role == "ESME" else smsc).split()

    def has(self, name: str) -> bool:
        """Whether the session's version has such an operation."""
        return (self.version or 0) >= OPERATIONS[name][3]

    def deadline(self) -> float:
        if self.state == "CLOSED":
            return float("inf")
        dues = [self.init_at, self.over_at]
        if self.asked:
            dues.append(min(when for _, _, when, _ in self.asked.values()) + self.response)
        if self.bound and self.unbind_sent is None:
            if self.enquired_at is not None:
                dues.append(self.enquired_at + self.response)
            else:
                dues.append(self.heard_at + self.enquire)
            if self.inactive:
                dues.append(self.active_at + self.inactive)
        return min((due for due in dues if due is not None), default=float("inf"))

    # -- What its owner does -----------------------------------------------------------------------------------------

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def binds(self, name: str, version: int) -> tuple[int, int, int]:
        self.bind_sent = (self.next_number(), name, version)
        return OPERATIONS[name][0], 0, self.number

    def says_outbind(self) -> tuple[int, int, int]:
        self.state = "OUTBOUND"
        return OPERATIONS["outbind"][0], 0, self.next_number()

    def asks(self, name: str, key: object, now: int) -> tuple[int, int, int]:
        number = self.next_number()
        if name not in UNANSWERED:
            self.asked[number] = (key, name, now, False)
            self.active_at = now
        return OPERATIONS[name][0], 0, number

    def has_written(self) -> None:
        """All that was given out so far has left."""
        self.asked = {number: (key, name, when, True) for number, (key, name, when, _) in self.asked.items()}

    def enquires(self, now: int) -> tuple[int, int, int]:
        self.enquiry, self.enquired_at = self.next_number(), now
        return OPERATIONS["enquire_link"][0], 0, self.number

    def unbinds(self, now: int, why: str = "unbound") -> tuple[int, int, int]:
        self.unbind_sent, self.over_at, self.over_as = self.next_number(), now + self.response, why
        return OPERATIONS["unbind"][0], 0, self.number

    def accepts(self, now: int) -> tuple[int, int, int]:
        assert self.bind_wanted is not None
        number, name, _ = self.bind_wanted
        self.is_bound(BINDS[name], now)
        return OPERATIONS[name][0] | RESPONSE, 0, number

    def refuses(self, status: int) -> tuple[int, int, int]:
        assert self.bind_wanted is not None
        number, name, _ = self.bind_wanted
        self.state, self.why = "CLOSED", "bind refused"
        return OPERATIONS[name][0] | RESPONSE, status, number

    def answers(self, count: int, now: int) -> None:
        self.owes -= count
        self.active_at = now
        if self.unbind_owed is not None and self.owes <= 0:
            self.answer_unbind(now)

    # -- What happens ------------------------------------------------------------------------------------------------

    def ends(self, why: str) -> list[tuple]:
        self.state, self.why, self.buffer = "CLOSED", why, b""
        lost = [("answer", key, "in doubt" if left else "unsent") for key, _, _, left in self.asked.values()]
        self.asked = {}
        return [*lost, ("ended", why)]

    def end_of_stream(self) -> list[tuple]:
        return self.ends(self.over_as if self.state == "UNBOUND" else "closed by peer")

    def is_bound(self, state: str, now: int) -> None:
        self.state, self.init_at = state, None
        self.heard_at = self.active_at = now

    def reply(self, command: int, status: int, number: int) -> None:
        self.out.append(header(command, status, number))

    def answer_unbind(self, now: int) -> None:
        assert self.unbind_owed is not None
        self.reply(0x80000006, 0, self.unbind_owed)
        self.unbind_owed = None
        self.leaves(now)

    def leaves(self, now: int) -> None:
        self.state, self.init_at = "UNBOUND", None
        self.over_at, self.over_as = now + self.linger, "unbound by peer"

    def is_forgotten(self, now: int) -> None:
        if self.role == "ESME" and self.bound and self.unbind_sent is None:
            self.out.append(header(*self.unbinds(now, "bind forgotten")))

    def receives(self, octets: bytes, now: int) -> list[tuple]:
        events: list[tuple] = []
        if self.state == "CLOSED":
            return events
        self.buffer += octets
        while len(self.buffer) >= 4 and self.state != "CLOSED":
            length = int.from_bytes(self.buffer[:4], "big")
            if not 16 <= length <= LONGEST:
                if self.bound:
                    self.reply(GENERIC_NACK, RINVCMDLEN, 0)
                return events + self.ends("protocol error")
            if len(self.buffer) < length:
                break
            frame, self.buffer = self.buffer[:length], self.buffer[length:]
            self.heard_at, self.enquired_at = now, None
            events += self.takes(frame, now)
        return events

    def takes(self, frame: bytes, now: int) -> list[tuple]:
        command, status, number = struct.unpack(">III", frame[4:16])
        if command & RESPONSE:
            return self.takes_response(command, status, number, frame[16:], now)
        name = NAME_OF.get(command)
        if name is None:
            self.reply(GENERIC_NACK, RINVCMDID, number)
        elif name == "enquire_link":
            self.reply(0x80000015, 0, number)
        elif name == "unbind":
            return self.takes_unbind(number, now)
        elif name in BINDS:
            return self.takes_bind(name, number, frame[16:])
        elif name == "outbind":
            if self.role == "ESME" and self.state == "OPEN":
                self.state = "OUTBOUND"
                return [("outbind",)]
        elif self.state in OPERATIONS[name][1 if self.peer == "ESME" else 2].split():
            self.active_at = now
            self.owes += name not in UNANSWERED
            return [("request", name, number)]
        elif name not in UNANSWERED:
            self.reply(command | RESPONSE, RINVBNDSTS, number)
        return []

    def takes_unbind(self, number: int, now: int) -> list[tuple]:
        if self.state == "UNBOUND":
            self.reply(0x80000006, 0, number)
            return []
        self.unbind_owed = number
        if self.bound:
            self.state, self.over_as, self.over_at = "UNBOUND", "unbound by peer", now + self.response
            if self.owes <= 0:
                self.answer_unbind(now)
        else:
            self.answer_unbind(now)
        return [("unbinding",)]

    def takes_bind(self, name: str, number: int, body: bytes) -> list[tuple]:
        command = OPERATIONS[name][0] | RESPONSE
        if self.role == "ESME" or self.state == "UNBOUND":
            self.reply(command, RINVBNDSTS, number)
        elif self.bound or self.bind_wanted is not None:
            self.reply(command, RALYBND, number)
        else:
            self.bind_wanted = (number, name, said_version(body))
            self.version = min(self.bind_wanted[2], 0x50)
            return [("bind", BINDS[name])]
        return []

    def takes_response(self, command: int, status: int, number: int, body: bytes, now: int) -> list[tuple]:
        if command == GENERIC_NACK:
            return self.takes_nack(status, number, now)
        name = NAME_OF.get(command & ~RESPONSE)
        if name in BINDS:
            if self.state in ("OPEN", "OUTBOUND") and self.bind_sent and self.bind_sent[:2] == (number, name):
                version, self.bind_sent = self.bind_sent[2], None
                if status:
                    return [("denied", status), *self.ends("bind refused")]
                told = told_version(body)
                self.version = min(version, 0x33 if told is None else told, 0x50)
                self.is_bound(BINDS[name], now)
                return [("bound",)]
        elif name == "unbind":
            if self.bound and number == self.unbind_sent:
                return self.ends(self.over_as)
        elif name == "enquire_link":
            if status == RINVBNDSTS and number == self.enquiry:
                self.is_forgotten(now)
        elif number in self.asked and self.asked[number][1] == name:
            return self.is_answered(status, number, now)
        return []

    def is_answered(self, status: int, number: int, now: int) -> list[tuple]:
        key = self.asked.pop(number)[0]
        self.active_at = now
        if status == RINVBNDSTS and self.role == "ESME":
            self.is_forgotten(now)
            return [("answer", key, "not bound")]
        return [("answer", key, status)]

    def takes_nack(self, status: int, number: int, now: int) -> list[tuple]:
        if number in self.asked:
            return self.is_answered(status, number, now)
        if number == 0:
            return self.ends("protocol error")
        if self.bind_sent is not None and number == self.bind_sent[0]:
            return [("denied", status), *self.ends("bind refused")]
        if number == self.unbind_sent:
            return self.ends(self.over_as)
        return []

    def time_passes(self, now: int) -> list[tuple]:
        events: list[tuple] = []
        if self.state == "CLOSED":
            return events
        for number, (key, _, when, _) in list(self.asked.items()):
            if when + self.response <= now:
                del self.asked[number]
                events.append(("answer", key, "timeout"))
        if self.init_at is not None and self.init_at <= now:
            return events + self.ends("no bind in time")
        if self.over_at is not None and self.over_at <= now:
            if self.unbind_owed is None:
                return events + self.ends(self.over_as)
            self.answer_unbind(now)
        if self.bound and self.unbind_sent is None:
            if self.inactive and self.active_at + self.inactive <= now:
                self.out.append(header(*self.unbinds(now, "inactive")))
            elif self.enquired_at is not None:
                if self.enquired_at + self.response <= now:
                    return events + self.ends("not answering")
            elif self.heard_at + self.enquire <= now:
                self.out.append(header(*self.enquires(now)))
        return events
