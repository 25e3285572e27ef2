"""Histories: what senders, sinks and faults did and when, as files of JSON lines that ``check`` judges.

One line is one event. Whoever takes part appends its own (``Recorder``), to a file of its own or to one that a process
shares; ``read`` merges files by time. Times are nanoseconds of CLOCK_MONOTONIC, which all processes of one machine
share and no clock jump moves: histories of several machines cannot be merged.

    do      how      told by      means
    send    invoke   sender       a piece of a text is about to be written to the hub
    send    ok/fail  sender       the hub answered: acknowledged, with the ``id`` it gave / refused, with the status
    take    invoke   sink         a part of a text was read from the hub
    take    ok/fail  sink         it is about to be answered: taken / refused, with the status
    take    info     sink         it is not going to be answered, and may have been taken all the same
    news    ok       sink         it is about to tell the hub what became of a part: ``word``
    told    ok       sender       the hub told what became of a text: ``word``, of ``id`` or ``name``
    bind    ok       both         a session began; ``node`` says which hub it belongs to, where there are several
    end     ok       both         it ended: what it left unanswered stays so
    fault   invoke   the weather  something is about to be broken: ``word``
    fault   ok       the weather  it is whole again

The order of the two sides' notes is what makes a check of real time sound: an *invoke* is noted before the octets are
written (by a sender) or after they were read (by a sink), an answer after it was read (by a sender) or before it is
written (by a sink). So what a history calls concurrent may have been, and what it calls earlier was.

A sink that answers nothing by itself, like a component's stream, notes ``take ok`` alone. A sender that is never
answered (a desk) notes ``send invoke`` alone.

An event costs some microseconds; lines are kept back until there are 64 KiB of them, or ``flush``.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

import msgspec

KEPT_OCTETS = 64 * 1024

Do = Literal["send", "take", "news", "told", "bind", "end", "fault"]
How = Literal["invoke", "ok", "fail", "info"]


class BadHistory(ValueError):
    """A file is no history.

    Attributes:
        path, line: where.
        why: what is wrong with it.
    """

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(f"{path}, line {line}: {why}")
        self.path, self.line, self.why = path, line, why


class Event(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        at: nanoseconds of CLOCK_MONOTONIC.
        who: who notes it; each name is one party in one process.
        do, how: see the module's head.
        session: of ``who``, counted from 1; 0 where there are none.
        name: of the text.
        lane: of the text, in its ``send invoke``: texts of one lane have an order.
        part, total: which of how many pieces (as the sender cut it) or parts (as the sink sees it).
        id: that the hub gave, or tells of.
        word: a status, a receipt's state, what is broken.
        node: which hub a session belongs to.
        asked: in ``send invoke``: the sender wants a receipt.
        whole: in ``take``: False for a text that came with parts missing.
    """

    at: int
    who: str
    do: Do
    how: How
    session: int = 0
    name: str = ""
    lane: str = ""
    part: int = 1
    total: int = 1
    id: str = ""
    word: str = ""
    node: str = ""
    asked: bool = False
    whole: bool = True


class History:
    """A file that events are appended to.

    Args:
        path: the file, made anew.

    Attributes:
        events: noted so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = 0
        self._encode = msgspec.json.Encoder().encode
        self._kept = bytearray()
        self._file: IO[bytes] | None = path.open("wb", buffering=0)

    def note(self, event: Event) -> None:
        """Append an event. After ``close`` it is dropped: peers die after the account was made."""
        if self._file is None:
            return
        self.events += 1
        self._kept += self._encode(event)
        self._kept += b"\n"
        if len(self._kept) >= KEPT_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write what is kept back."""
        if self._file is not None:
            self._file.write(self._kept)
            self._kept.clear()

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def fault(self, word: str, *, over: bool = False) -> None:
        """Note that something is about to be broken, or, when it is over, is whole again."""
        how: How = "ok" if over else "invoke"
        self.note(Event(at=time.monotonic_ns(), who="weather", do="fault", how=how, word=word))


class Recorder:
    """One party's pen.

    Args:
        history: where to.
        who: whose.

    Attributes:
        session: the latest session, counted from 1.
    """

    def __init__(self, history: History, who: str) -> None:
        self.who = who
        self.session = 0
        self._history = history

    def sending(
        self, name: str, lane: str, *, session: int, part: int = 1, total: int = 1, asked: bool = False
    ) -> None:
        """A piece of a text is about to be written."""
        self._history.note(
            Event(
                at=time.monotonic_ns(),
                who=self.who,
                do="send",
                how="invoke",
                session=session,
                name=name,
                lane=lane,
                part=part,
                total=total,
                asked=asked,
            )
        )

    def sent(self, name: str, *, session: int, part: int = 1, status: int = 0, id: str = "") -> None:
        """The hub answered for a piece."""
        how: How = "fail" if status else "ok"
        word = f"0x{status:08x}" if status else ""
        self._note("send", how, session, name=name, part=part, id=id, word=word)

    def came(self, name: str, *, session: int, part: int = 1, total: int = 1, whole: bool = True) -> None:
        """A part was read; ``took`` follows, or the end of its session."""
        self._note("take", "invoke", session, name=name, part=part, total=total, whole=whole)

    def took(
        self, name: str, *, session: int, part: int = 1, total: int = 1, status: int = 0, whole: bool = True
    ) -> None:
        """A part is about to be answered with this status; for sinks that answer nothing, it was read."""
        how: How = "fail" if status else "ok"
        word = f"0x{status:08x}" if status else ""
        self._note("take", how, session, name=name, part=part, total=total, whole=whole, word=word)

    def swallowed(self, name: str, *, session: int, part: int = 1, total: int = 1) -> None:
        """A part that came is not going to be answered."""
        self._note("take", "info", session, name=name, part=part, total=total)

    def reporting(self, name: str, word: str, *, session: int, part: int = 1) -> None:
        """The hub is about to be told what became of a part."""
        self._note("news", "ok", session, name=name, part=part, word=word)

    def told(self, word: str, *, session: int, id: str = "", name: str = "") -> None:
        """The hub told what became of a text."""
        self._note("told", "ok", session, name=name, id=id, word=word)

    def began(self, node: str = "") -> int:
        """A session began. Returns: its number."""
        self.session += 1
        self._note("bind", "ok", self.session, node=node)
        return self.session

    def ended(self, session: int) -> None:
        """A session ended."""
        self._note("end", "ok", session)

    def _note(self, do: Do, how: How, session: int, **more: str | int | bool) -> None:
        self._history.note(
            Event(at=time.monotonic_ns(), who=self.who, do=do, how=how, session=session, **more)  # type: ignore[arg-type]
        )


def read(paths: Iterable[Path]) -> Iterator[Event]:
    """The events of some files, by time. Raises: BadHistory, OSError."""
    return heapq.merge(*(_read_one(path) for path in paths), key=lambda event: event.at)


def _read_one(path: Path) -> Iterator[Event]:
    decoder = msgspec.json.Decoder(Event)
    last = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                event = decoder.decode(line)
            except msgspec.DecodeError as error:
                if not line.endswith(b"\n"):  # its writer was killed in the middle of it
                    return
                raise BadHistory(path, number, str(error)) from error
            if event.at < last:
                raise BadHistory(path, number, "earlier than the line before it: give each file by itself, not joined")
            last = event.at
            yield event
