"""Lean SMPP peers: what the load tools have in common.

A tool must cost less than what it measures, on the one core it has. So nothing here decodes a PDU: frames are written
from a template in which two fields change, and read as four integers of their header (over ``loadtests.channel``).

A tool is a process that is told what to do by lines of JSON on its standard input and answers each with one line.
Times are ``time.monotonic()`` seconds, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import repeat
from struct import Struct
from typing import Any

import trio

from loadtests.channel import Channel

HEADER = Struct(">IIII")
SUBMIT_SM, DELIVER_SM, ENQUIRE_LINK, UNBIND = 0x04, 0x05, 0x15, 0x06
BIND_TRANSCEIVER = 0x09
RESPONSE = 0x80000000
RECEIPT = 0x04  # esm_class of a delivery receipt
TICK_S = 0.004  # how often an open loop sends what has become due
FIRST_CUSTOMER = 2_000_000_000  # ten digits behind +1
FIRST_KNOWN = 5_000_000_000  # the first of the customers of whom the store knew before the load began
CUSTOMERS_OF_A_LINK = 100_000_000  # where texts are dealt out to several: the third digit is the link's
STRIDE = 7_368_787  # a prime: between customers that follow each other where they shall not be neighbours
COUNTER_DIGITS = 10  # of the running number that a text begins with

Command = dict[str, Any]
Commands = dict[str, Callable[[Command], Awaitable[Command]]]


class Template:
    """A submit_sm or deliver_sm in which the sequence number and one address vary, or more.

    Args:
        command_id: SUBMIT_SM or DELIVER_SM.
        fixed: the address that stays: digits.
        varies: "source" or "destination", the customer.
        text: octets of the text, at most 254.
        registered_delivery: 1 to ask for receipts.
        spread: over how many links the customers are dealt out in turns.
        apart: customers between a link and the next one.
        among: known customers that there are, of whom each is taken in its turn, neighbours far from each other; 0
            for customers that are all different.
        numbers: how many addresses there are on the other side, from ``fixed`` on, taken in turns; only where the
            source varies.
        lanes: texts go to so many customers in turns, and begin with their running number in ten digits; 0 for
            customers that are all different.
        share: with ``lanes``: after so many texts others' lanes begin: what one session sends.
    """

    def __init__(
        self,
        command_id: int,
        fixed: str,
        varies: str,
        text: bytes,
        registered_delivery: int = 0,
        *,
        spread: int = 1,
        apart: int = CUSTOMERS_OF_A_LINK,
        among: int = 0,
        numbers: int = 1,
        lanes: int = 0,
        share: int = 1,
    ) -> None:
        if numbers > 1 and varies != "source":
            raise ValueError("numbers vary where texts come from customers")
        if lanes and len(text) < COUNTER_DIGITS:
            raise ValueError(f"a text that bears its number has {COUNTER_DIGITS} octets or more")
        self._spread, self._apart, self._among = spread, apart, among
        self._numbers, self._lanes, self._share = numbers, lanes, share
        self._fixed = int(fixed)
        customer, other = b"\1\1" + b"0" * 11 + b"\0", b"\1\1" + fixed.encode() + b"\0"
        addresses = customer + other if varies == "source" else other + customer
        tail = b"\0\0\0\0\0" + bytes((registered_delivery, 0, 0, 0, len(text))) + text
        body = b"\0" + addresses + tail
        at = 1 + 2 + (0 if varies == "source" else len(other))
        self.length = 16 + len(body)
        self._head = HEADER.pack(self.length, command_id, 0, 0)[:12]
        self._middle = body[:at] + b"1"
        self._tail = body[at + 11 :]
        self._text_at = len(self._tail) - len(text)

    def frames(self, first: int, count: int, customer: int) -> bytes:
        """Frames with consecutive sequence numbers, each of another customer."""
        head, middle = self._head, self._middle
        return b"".join(
            [
                head + sequence.to_bytes(4, "big") + middle + str(each).encode() + tail
                for sequence, each, tail in zip(
                    range(first, first + count),
                    self._customers(customer, count),
                    self._tails(customer, count),
                    strict=False,  # tails that are all alike never end
                )
            ]
        )

    def _customers(self, customer: int, count: int) -> Iterable[int]:
        if self._spread == 1 and not self._among and not self._lanes:
            return range(customer, customer + count)
        places = range(customer - FIRST_CUSTOMER, customer - FIRST_CUSTOMER + count)
        if self._lanes:
            lanes, share = self._lanes, self._share
            return [FIRST_CUSTOMER + at // share * lanes + at % share % lanes for at in places]
        if self._among:
            return [FIRST_KNOWN + at * STRIDE % self._among for at in places]
        spread, apart = self._spread, self._apart
        return [FIRST_CUSTOMER + at % spread * apart + at // spread for at in places]

    def _tails(self, customer: int, count: int) -> Iterable[bytes]:
        tail, at = self._tail, self._text_at
        if self._numbers == 1 and not self._lanes:
            return repeat(tail)
        places = range(customer - FIRST_CUSTOMER, customer - FIRST_CUSTOMER + count)
        if self._lanes:
            before, after = tail[:at], tail[at + COUNTER_DIGITS :]
            return [before + b"%010d" % (place % self._share) + after for place in places]
        digits = 1 + 2  # behind the customer's end: type and plan of the other address
        before, after = tail[:digits], tail[digits + len(str(self._fixed)) :]
        fixed, numbers = self._fixed, self._numbers
        return [before + str(fixed + place % numbers).encode() + after for place in places]


def receipts_of(frames: Iterable[bytes], ids: Iterable[bytes], first: int) -> list[bytes]:
    """The receipts for submit_sm frames, as deliver_sm frames with consecutive sequence numbers."""
    made: list[bytes] = []
    for sequence, (frame, message_id) in enumerate(zip(frames, ids, strict=True), first):
        a = frame.index(b"\0", 16)
        b = frame.index(b"\0", a + 3)
        c = frame.index(b"\0", b + 3)
        text = (
            b"id:" + message_id + b" sub:001 dlvrd:001 submit date:2601010000 done date:2601010000"
            b" stat:DELIVRD err:000 text:"
        )
        addresses = frame[b + 1 : c + 1] + frame[a + 1 : b + 1]  # the other way round
        tail = bytes((RECEIPT, 0, 0, 0, 0, 0, 0, 0, 0, len(text))) + text
        body = b"\0" + addresses + tail
        made.append(HEADER.pack(16 + len(body), DELIVER_SM, 0, sequence) + body)
    return made


class Peer:
    """One session of either role, bound or about to be.

    Attributes:
        sent, acked: requests of ours in the load under way, and those answered.
        statuses: how the answers came out, by command_status.
        latencies: seconds, of each answer.
    """

    def __init__(self) -> None:
        self.channel: Channel
        self.bound = trio.Event()
        self.is_over = False
        self.latencies = array("d")
        self.statuses: dict[int, int] = {}
        self.sent = self.acked = self.requests = 0
        self.first_sent = self.last_acked = 0.0
        self.done = trio.Event()
        self._buffer = b""
        self._sequence = 1
        self._sent_at: dict[int, float] = {}
        self._template: Template | None = None
        self._customer = 0
        self._left = 0
        self._window = 0

    # --- loadtests.channel.Peer ----------------------------------------------------------------------------------

    def connected(self, channel: Channel) -> None:
        """See ``loadtests.channel``."""
        self.channel = channel

    def lost(self) -> None:
        """See ``loadtests.channel``."""
        self.is_over = True
        self.done.set()
        self.bound.set()

    def received(self, data: bytes) -> None:
        """See ``loadtests.channel``."""
        data = self._buffer + data if self._buffer else data
        position, size = 0, len(data)
        requests: list[tuple[int, int, int]] = []  # command_id, begin, end
        unpack = HEADER.unpack_from
        now = time.monotonic()
        answered = 0
        while size - position >= 16:
            length, command_id, status, sequence = unpack(data, position)
            if size - position < length:
                break
            if command_id >= RESPONSE:
                sent_at = self._sent_at.pop(sequence, None)
                if sent_at is not None:
                    answered += 1
                    self.latencies.append(now - sent_at)
                    self.statuses[status] = self.statuses.get(status, 0) + 1
                elif command_id == RESPONSE | BIND_TRANSCEIVER:
                    self.statuses[-1] = status
                    self.bound.set()
            else:
                requests.append((command_id, position, position + length))
            position += length
        self._buffer = data[position:]
        if requests:
            self.requests += len(requests)
            self.take(data, requests)
        if answered:
            self.acked += answered
            self.last_acked = now
            self.fill()
            if not self._left and not self._sent_at:
                self.done.set()

    # --- for the tools -------------------------------------------------------------------------------------------

    def take(self, data: bytes, requests: list[tuple[int, int, int]]) -> None:
        """Answer requests of the peer."""
        self.channel.write(b"".join([self.answer(data, *request) for request in requests]))

    def answer(self, data: bytes, command_id: int, begin: int, end: int) -> bytes:
        """The response to one request: positive, bearing an empty message_id where one belongs."""
        extra = b"\0" if command_id in (SUBMIT_SM, DELIVER_SM) else b""
        sequence = data[begin + 12 : begin + 16]
        return (
            (16 + len(extra)).to_bytes(4, "big")
            + (RESPONSE | command_id).to_bytes(4, "big")
            + bytes(4)
            + sequence
            + extra
        )

    def bind(self, system_id: str, password: str) -> None:
        """Ask to be bound as a transceiver."""
        body = f"{system_id}\0{password}\0\0".encode() + b"\x34\0\0\0"
        self.channel.write(HEADER.pack(16 + len(body), BIND_TRANSCEIVER, 0, self._sequence) + body)
        self._sequence += 1

    def begin(self, template: Template, count: int, customer: int, window: int) -> None:
        """Start a load: a closed loop with a window, or with window 0 nothing until ``send``."""
        self.latencies = array("d")
        self.statuses = {}
        self.sent = self.acked = 0
        self.last_acked = 0.0
        self.done = trio.Event()
        self._template, self._customer, self._left, self._window = template, customer, count, window
        self.first_sent = time.monotonic()
        self.fill()

    def fill(self) -> None:
        """Send what the window has room for."""
        room = min(self._window - len(self._sent_at), self._left)
        if room > 0:
            self.send(room, time.monotonic())

    def send(self, count: int, due: float) -> None:
        """Send so many now; their latency counts from when they were due."""
        template = self._template
        assert template is not None
        first = self._sequence
        self.channel.write(template.frames(first, count, self._customer))
        self._sent_at.update(dict.fromkeys(range(first, first + count), due))
        self._sequence += count
        self._customer += count
        self._left -= count
        self.sent += count


class Meter:
    """Counts what arrives, and says when all that is expected has."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self._expected = 0
        self._reached = trio.Event()

    def add(self, count: int) -> None:
        now = time.monotonic()
        if not self.count:
            self.first = now
        self.count += count
        self.last = now
        if self.count >= self._expected:
            self._reached.set()

    async def expect(self, command: Command) -> Command:
        """Wait for ``count`` arrivals since ``reset``, at most ``within_s``."""
        self._expected = command["count"]
        if self.count < self._expected:
            self._reached = trio.Event()
            with trio.move_on_after(command["within_s"]):
                await self._reached.wait()
        return {"count": self.count, "first": self.first, "last": self.last}

    def reset(self) -> None:
        self.count = 0
        self.first = self.last = 0.0


async def load(peers: list[Peer], template: Template, command: Command) -> Command:
    """Drive a load over sessions.

    ``command``: ``count`` messages in all, ``customer`` the first, and either ``window`` for each session (a closed
    loop: as fast as the other side answers) or ``rate`` (an open loop: messages a second, whatever comes back).
    """
    started, cpu = time.monotonic(), time.process_time()
    shares = [command["count"] // len(peers)] * len(peers)
    shares[0] += command["count"] - sum(shares)
    customer = FIRST_CUSTOMER + command["customer"]
    for peer, share in zip(peers, shares, strict=True):
        peer.begin(template, share, customer, 0 if "rate" in command else command["window"])
        customer += share
    if "rate" in command:
        await _pace(peers, shares, command["rate"], started)
    with trio.move_on_after(command["within_s"]):
        for peer in peers:
            await peer.done.wait()
    latencies = sorted(value for peer in peers for value in peer.latencies)
    statuses: dict[str, int] = {}
    for peer in peers:
        for status, count in peer.statuses.items():
            statuses[f"{status:#x}"] = statuses.get(f"{status:#x}", 0) + count
    last = max(peer.last_acked for peer in peers)
    return {
        "sent": sum(peer.sent for peer in peers),
        "acked": len(latencies),
        "first": started,
        "last": last,
        "p50_ms": quantile(latencies, 0.5) * 1e3,
        "p99_ms": quantile(latencies, 0.99) * 1e3,
        "p999_ms": quantile(latencies, 0.999) * 1e3,
        "max_ms": (latencies[-1] if latencies else 0.0) * 1e3,
        "statuses": statuses,
        "cpu_s": time.process_time() - cpu,
    }


def quantile(ordered: list[float], share: float) -> float:
    """A quantile of values in order, 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def _pace(peers: list[Peer], shares: list[int], rate: float, started: float) -> None:
    total, sent = sum(shares), 0
    left = deque(zip(peers, shares, strict=True))
    while sent < total and left:
        now = time.monotonic()
        due = min(total, int((now - started) * rate)) - sent
        if due > 0:
            peer, share = left.popleft()
            count = min(due, share)
            # All of a tick count from its begin: a tool that is late itself makes the figure worse, never better.
            peer.send(count, max(started + sent / rate, now - TICK_S))
            sent += count
            if share > count:
                left.append((peer, share - count))
        if sent < total:
            await trio.sleep(TICK_S)


async def serve_commands(tool: Callable[[trio.Nursery], Commands]) -> None:
    """Do what standard input says, until it ends.

    Args:
        tool: makes it, with the nursery that what it begins belongs to. Returns: its commands by name.
    """
    rest = b""
    async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        commands = tool(nursery)
        async for octets in stream:
            *lines, rest = (rest + octets).split(b"\n")
            for line in lines:
                command = json.loads(line)
                cpu = time.process_time()
                answer = await commands[command["do"]](command)
                answer.setdefault("cpu_s", time.process_time() - cpu)
                print(json.dumps(answer), flush=True)
        nursery.cancel_scope.cancel()
