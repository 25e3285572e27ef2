"""Load on an HTTP interface for texts: so many connections, each with one request unanswered.

A tool of ``loadtests.peers``, told what to do as ``loadtests.wire`` says. What it drives is a daemon in C, and both
share two cores, so it must be lean: one epoll, sockets that block only for as long as the kernel copies, a request made
by joining two strings round a number, and of an answer no more read than its status and its length.

Command ``load``: ``port``; ``target``, the request target with ``{customer}`` in it; ``connections``; ``count``;
``customer``, the first; ``within_s``. The answer has the keys of ``wire.load``; statuses are those of HTTP.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import IO, Any

from loadtests.wire import FIRST_CUSTOMER, Command, quantile

MAX_ANSWER = 65536  # of the servers driven here, an answer has some hundred octets


class BadAnswer(RuntimeError):
    """The server's answer is not one of HTTP/1.1 with a length, or it hung up."""


def answer_end(data: bytes) -> int | None:
    """Where the answer at the beginning of some octets ends; None while it is not all there.

    Raises:
        BadAnswer: this is no answer with a Content-Length.
    """
    head = data.find(b"\r\n\r\n")
    if head < 0:
        if len(data) > MAX_ANSWER:
            raise BadAnswer(f"{len(data)} octets without the end of a header")
        return None
    at = data.find(b"ontent-", 0, head)  # servers write Length with a capital or without
    while at >= 0 and data[at + 7 : at + 14].lower() != b"length:":
        at = data.find(b"ontent-", at + 7, head)
    if at < 0:
        raise BadAnswer(f"an answer without Content-Length: {data[:40]!r}")
    length = data[at + 14 : data.find(b"\r\n", at)]
    if not length.strip().isdigit():
        raise BadAnswer(f"Content-Length {length!r}")
    end = head + 4 + int(length)
    return end if len(data) >= end else None


def status_of(data: bytes) -> str:
    """The status of an answer. Raises: BadAnswer."""
    if not data.startswith(b"HTTP/1.") or not data[9:12].isdigit():
        raise BadAnswer(f"not HTTP: {data[:40]!r}")
    return data[9:12].decode()


def load(command: Command) -> dict[str, Any]:
    """Drive a closed loop. Raises: BadAnswer, OSError."""
    before, _, after = command["target"].partition("{customer}")
    opening, closing = f"GET {before}1".encode(), f"{after} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    count, customer = command["count"], FIRST_CUSTOMER + command["customer"]
    poll = select.epoll()
    connections: dict[int, socket.socket] = {}
    for _ in range(min(command["connections"], count)):
        each = socket.create_connection(("127.0.0.1", command["port"]), 10.0)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[each.fileno()] = each
        poll.register(each, select.EPOLLIN)
    sent_at: dict[int, float] = {}
    rest: dict[int, bytes] = {}
    statuses: Counter[str] = Counter()
    latencies = array("d")
    started, cpu = time.monotonic(), time.process_time()
    give_up_at = started + command["within_s"]
    sent, last = 0, started
    try:
        for number, each in connections.items():
            sent_at[number] = time.monotonic()
            each.sendall(opening + str(customer + sent).encode() + closing)
            sent += 1
        while sent_at and last < give_up_at:
            ready = poll.poll(1.0)
            last = time.monotonic()
            for number, _ in ready:
                each = connections[number]
                received = each.recv(MAX_ANSWER)
                if not received:
                    raise BadAnswer("the server hung up")
                data = rest.pop(number, b"") + received
                end = answer_end(data)
                if end is None:
                    rest[number] = data
                    continue
                if end < len(data):
                    raise BadAnswer("more than the answer came")
                statuses[status_of(data)] += 1
                latencies.append(last - sent_at.pop(number))
                if sent < count:
                    sent_at[number] = last
                    each.sendall(opening + str(customer + sent).encode() + closing)
                    sent += 1
    finally:
        poll.close()
        for each in connections.values():
            each.close()
    ordered = sorted(latencies)
    return {
        "sent": sent,
        "acked": len(ordered),
        "first": started,
        "last": last,
        "p50_ms": quantile(ordered, 0.5) * 1e3,
        "p99_ms": quantile(ordered, 0.99) * 1e3,
        "max_ms": (ordered[-1] if ordered else 0.0) * 1e3,
        "statuses": dict(statuses),
        "cpu_s": time.process_time() - cpu,
    }


def serve(commands: Iterable[str], answers: IO[str]) -> None:
    """Do what each line says, and answer each with a line; an error is an answer too, and then nothing is measured."""
    for line in commands:
        try:
            answer = load(json.loads(line))
        except (BadAnswer, OSError) as error:
            answer = {"error": str(error), "acked": 0, "statuses": {str(error): 1}}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
