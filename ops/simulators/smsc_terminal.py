"""A simulated SMSC at a terminal: type what handsets write, see what comes back.

It reads lines from whoever gives them, so a file or a pipe serves as well as a person: at the end of the input it waits
for the answers to what was sent, then leaves.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from ops.simulators.smsc import SimulatedSmsc, open_simulated_smsc
from ops.simulators.smsc_errors import BadScript, BadWords, SimulatorError, status_words
from ops.simulators.smsc_handset import Acknowledgement, PartArrival, Reception
from ops.simulators.smsc_outbox import Sent
from ops.simulators.smsc_script import run_script
from ops.simulators.smsc_settings import BindNews, Event, SmscSettings
from ops.simulators.smsc_words import change, help_lines, read_duration
from smpp.states import State

Write = Callable[[str], None]
ReadLine = Callable[[], Awaitable[str]]

LAST_ANSWERS_S: Final = 5.0
"""How long answers are waited for when the input has ended."""

COMMANDS: Final = (
    ("+FROM +TO TEXT", "a handset writes"),
    ("/as +FROM", "the lines that follow are from this handset"),
    ("/to +TO", "… and to this number"),
    ("TEXT", "from the one of /as to the one of /to"),
    ("/receipt on|off", "ask for receipts"),
    ("/handsets", "list them, and how many texts each got"),
    ("/binds", "who is bound, and what was done"),
    ("/set NAME VALUE", "change how it behaves; /delay, /drop, /error, /throttle, /dlr … for short"),
    ("/disconnect", "cut every connection now; with N, each session at its Nth request"),
    ("/alert +NUMBER", "say that a handset can be reached again"),
    ("/wait TIME", "before the next line"),
    ("/help", "this"),
    ("/quit", "leave"),
)

_ADDRESS: Final = re.compile(r"\+?[0-9]{3,15}")
_BOUND_AS: Final = {State.BOUND_TX: "transmitter", State.BOUND_RX: "receiver", State.BOUND_TRX: "transceiver"}


def render(event: Event) -> str:
    """One line for an event. Control characters in a text do nothing to the terminal."""
    when = clock_words(event.at_us)
    match event:
        case Reception():
            body = f"{len(event.data)} octets of data" if event.data is not None else safe(event.text)
            parts = ""
            if len(event.parts) > 1:
                first_us = event.parts[0].at_us
                times = " ".join(f"{(part.at_us - first_us) / 1e6:+.3f}" for part in event.parts)
                parts = f"  ({len(event.parts)} parts: {times} s)"
            return f"{when}  {event.to} ← {event.from_}: {body}{parts}"
        case PartArrival():
            return f"{when}    part {event.number} of {event.total} from {event.from_}"
        case Acknowledgement():
            news = event.receipt
            return f"{when}  {event.to} ← {event.from_}: receipt {news.state.value} for {news.message_id}"
        case BindNews():
            who = f"{event.system_id or 'nameless'} ({event.peer or 'here'})"
            kind = _BOUND_AS.get(event.state, event.state.name)
            return f"{when}  {who} bound as {kind}" if event.bound else f"{when}  {who}, {kind}, gone: {event.ending}"


def clock_words(at_us: int) -> str:
    """``14:03:21.512``, UTC."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]


def safe(text: str) -> str:
    """A text that a terminal may show: line ends as ⏎, other control characters as ?."""
    text = text.replace("\r\n", "⏎").replace("\n", "⏎").replace("\r", "⏎")
    return text if text.isprintable() else "".join([c if c.isprintable() else "?" for c in text])


class _Terminal:
    """Who sits there: which handset they are, and what their lines mean."""

    def __init__(self, smsc: SimulatedSmsc, write: Write, nursery: trio.Nursery) -> None:
        self.smsc = smsc
        self.write = write
        self._nursery = nursery
        self._as = self._to = ""
        self._wants_receipt = False
        self._open: set[Sent] = set()

    async def obey(self, line: str) -> bool:
        """Do what a line says. Returns: False when it is time to go."""
        line = line.strip()
        words = line.split(None, 2)
        if not words:
            return True
        try:
            if line.startswith("/"):
                return await self._command(line[1:].split())
            if words[0] == "as" and len(words) == 2 and _ADDRESS.fullmatch(words[1]):
                self._as = words[1]
            elif len(words) == 3 and _ADDRESS.fullmatch(words[0]) and _ADDRESS.fullmatch(words[1]):
                self._as, self._to = words[0], words[1]
                self._text(words[2])
            elif self._as and self._to:
                self._text(line)
            else:
                self.write("? +FROM +TO TEXT, or /as and /to first; /help says more")
        except SimulatorError as error:
            self.write(f"? {error}")
        return True

    async def finish(self) -> None:
        """Wait for the answers to what was sent."""
        with trio.move_on_after(LAST_ANSWERS_S):
            for sent in list(self._open):
                try:
                    await sent.answered()
                except SimulatorError:
                    continue  # it has been shown
        if self._open:
            self.write(f"! {len(self._open)} text(s) not answered")

    def _text(self, text: str) -> None:
        from_, to = self._as, self._to
        sent = self.smsc.text_nowait(from_, to, text, wants_receipt=self._wants_receipt)
        self._open.add(sent)
        if not self.smsc.receivers:
            self.write("  waits: no receiver is bound")
        self._nursery.start_soon(self._show_answer, sent, from_, to)

    async def _show_answer(self, sent: Sent, from_: str, to: str) -> None:
        try:
            answer = status_words(await sent.answered())
        except SimulatorError as error:
            answer = str(error)
        self._open.discard(sent)
        parts = f", {len(sent.statuses)} parts" if len(sent.statuses) > 1 else ""
        self.write(f"{clock_words(self.smsc.now_us())}  {from_} → {to}: {answer}{parts}")

    async def _command(self, words: list[str]) -> bool:
        verb, *rest = words or ["help"]
        if verb == "quit":
            return False
        if verb in ("as", "to") and len(rest) == 1:
            if verb == "as":
                self._as = rest[0]
            else:
                self._to = rest[0]
        elif verb == "receipt" and rest in (["on"], ["off"]):
            self._wants_receipt = rest == ["on"]
        elif verb == "wait" and len(rest) == 1:
            await trio.sleep(read_duration(rest[0]))
        elif verb == "alert" and len(rest) == 1:
            self.write(f"  told {self.smsc.alert(rest[0])} receiver(s)")
        elif verb == "disconnect" and not rest:
            self.write(f"  {self.smsc.disconnect()} connection(s) cut")
        elif verb in ("help", "handsets", "binds"):
            self._show(verb)
        elif verb == "set":
            self.smsc.behaviour = change(self.smsc.behaviour, rest)
        else:
            self._set(words)
        return True

    def _set(self, words: list[str]) -> None:
        try:
            self.smsc.behaviour = change(self.smsc.behaviour, words)
        except BadWords as error:
            raise BadWords(f"{error}; /help says what there is") from None

    def _show(self, what: str) -> None:
        smsc = self.smsc
        if what == "help":
            for usage, meaning in COMMANDS:
                self.write(f"{usage:<18} {meaning}")
            self.write("to be set:")
            for line in help_lines():
                self.write(f"  {line}")
        elif what == "handsets":
            for number, handset in smsc.handsets.items():
                waiting = f", {handset.phone.waiting} not whole" if handset.phone.waiting else ""
                self.write(f"{'*' if number == self._as else ' '} {number}: {handset.count} text(s){waiting}")
        else:
            for system_id, state in smsc.binds:
                self.write(f"  {system_id or 'nameless'} as {_BOUND_AS.get(state, state.name)}")
            s = smsc.statistics()
            self.write(
                f"  {s.received} received: {s.accepted} accepted, {s.refused} refused, {s.throttled} throttled, "
                f"{s.dropped} dropped, {s.cut} cut; {s.waiting} wait for a receiver"
            )


async def run_terminal(smsc: SimulatedSmsc, *, write: Write, read_line: ReadLine) -> None:
    """Let somebody be the handsets, until the end of input or ``/quit``.

    Args:
        smsc: running.
        write: shows one line.
        read_line: the next line, with its line end; empty at the end of input.
    """
    write(f"SMSC on port {smsc.port}; times are UTC; /help says what there is")
    events = smsc.events()
    async with events, trio.open_nursery() as nursery:
        nursery.start_soon(_follow, events, write)
        terminal = _Terminal(smsc, write, nursery)
        while line := await read_line():
            if not await terminal.obey(line):
                break
        else:
            await terminal.finish()
        nursery.cancel_scope.cancel()


async def _follow(events: trio.MemoryReceiveChannel[Event], write: Write) -> None:
    async for event in events:
        write(render(event))


async def simulate_smsc(
    settings: SmscSettings,
    *,
    script: Path | None = None,
    write: Write,
    read_line: ReadLine | None = None,
    task_status: trio.TaskStatus[SimulatedSmsc] = trio.TASK_STATUS_IGNORED,
) -> bool:
    """Run an SMSC: by script, at a terminal, or for as long as it is let.

    Args:
        settings: see ``SmscSettings``.
        script: a file of steps (see ``smsc_script``); run to its end.
        write: shows one line.
        read_line: the terminal's next line, empty at the end of input; None to show what happens until cancelled.
        task_status: started when it listens.

    Returns: False when a script failed, or cannot be run.
    Raises: OSError: the port cannot be listened on, the script cannot be read.
    """
    lines = (await trio.Path(script).read_text("utf-8")).splitlines() if script is not None else None
    async with open_simulated_smsc(settings) as smsc:
        task_status.started(smsc)
        if lines is not None:
            write(f"SMSC on port {smsc.port} runs a script")
            try:
                return (await run_script(smsc, lines, write)).ok
            except BadScript as bad:
                for number, why in bad.errors:
                    write(f"line {number}: {why}")
                return False
        if read_line is not None:
            await run_terminal(smsc, write=write, read_line=read_line)
        else:
            write(f"SMSC on port {smsc.port}; times are UTC")
            async with smsc.events() as events:
                await _follow(events, write)
    return True
