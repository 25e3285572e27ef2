"""One SMPP session of either role: requests with what they are about, answers, the other side's requests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gevent

from loadtests.locust.line import Line
from loadtests.locust.pdus import cut_frames, write_request, write_response
from loadtests.wire import ENQUIRE_LINK, HEADER, RESPONSE, UNBIND

LAST_WORDS_S = 1.0  # for the answer to unbind


class Answer(NamedTuple):
    """An answer of the other side, or the end of hope for one.

    Attributes:
        about: what the request was given with.
        status: its command_status; None: the session ended first.
        frame: the response; empty without.
    """

    about: Any
    status: int | None
    frame: bytes


class Session:
    """See the module's head.

    Args:
        connected: a TCP connection; the session's own from now on.
        take_requests: called with frames of the other side's requests, in order; answers with ``write``. Enquiries and
            unbinds are answered here.
        take_answers: called with what came back, and at the end with all that did not.
        ended: called once, after the last of the others.

    Attributes:
        pending: what our unanswered requests are about, by sequence number.
    """

    def __init__(
        self,
        connected: socket.socket,
        take_requests: Callable[[Session, Sequence[bytes]], None],
        take_answers: Callable[[Session, Sequence[Answer]], None],
        ended: Callable[[Session], None],
    ) -> None:
        self.pending: dict[int, Any] = {}
        self._take_requests, self._take_answers, self._ended = take_requests, take_answers, ended
        self._sequence = 1
        self._buffer = bytearray()
        self._line = Line(connected, self._take, self._end)
        self.write = self._line.write
        self.close = self._line.close

    @property
    def is_over(self) -> bool:
        """Nothing comes or goes any more."""
        return self._line.is_over

    def request(self, command_id: int, body: bytes, about: Any) -> None:
        """Send a request; its answer comes with what it is about."""
        sequence = self._sequence
        self._sequence = sequence % 0x7FFF_FFFF + 1
        self.pending[sequence] = about
        self.write(write_request(command_id, sequence, body))

    def unbind(self) -> None:
        """Leave properly: unbind, and close once it is answered or time is up."""
        if not self.is_over:
            self.request(UNBIND, b"", UNBIND)
            with gevent.Timeout(LAST_WORDS_S, False):
                while not self.is_over and UNBIND in self.pending.values():
                    gevent.sleep(0.01)
            self.close()

    def _take(self, octets: bytes) -> None:
        self._buffer += octets
        requests: list[bytes] = []
        answers: list[Answer] = []
        for frame in cut_frames(self._buffer):
            _, command_id, status, sequence = HEADER.unpack_from(frame)
            if command_id >= RESPONSE:
                if sequence in self.pending:
                    answers.append(Answer(self.pending.pop(sequence), status, frame))
            elif command_id in (ENQUIRE_LINK, UNBIND):
                self.write(write_response(frame))
            else:
                requests.append(frame)
        if requests:
            self._take_requests(self, requests)
        if answers:
            self._take_answers(self, answers)

    def _end(self) -> None:
        lost = [Answer(about, None, b"") for about in self.pending.values()]
        self.pending.clear()
        if lost:
            self._take_answers(self, lost)
        self._ended(self)
