"""A simulated desk: the XMPP server, the director and a CSR in one, for trying the hub out and for tests.

It is the accepting side of XEP-0114 and nobody else's server: what it knows, it knows of docs/reference/xmpp.md. In
code it is an asynchronous context manager::

    async with SimulatedDesk(secret="…", domain="sms.desk.example") as desk:     # desk.port
        text = await desk.next_text()
        answer_id = desk.answer(text, "We are on our way")
        await desk.receipt_of(answer_id)

Headless it answers by script (the first pattern that is found in a text gives the answer); at a terminal, by who sits
there.
It misbehaves on demand: ``pongs = False`` makes it deaf, ``director_away = True`` returns texts, ``refuse`` returns
some.
"""

from __future__ import annotations

import re
import secrets
import shlex
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import msgspec
import trio

from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.discovery import answer_iq
from translators.xmpp.errors import BadJid, StreamError
from translators.xmpp.jid import parse_jid
from translators.xmpp.stanzas import (
    DELAY_NS,
    PING_NS,
    RECEIPTS_NS,
    RECEIVED,
    REQUEST,
    THREAD_NS,
    TOKEN,
    StanzaError,
    build_error,
    build_presence,
    build_result,
    read_error,
    stamp,
)
from translators.xmpp.stream import Element, escape_attribute, escape_text

KEPT = 1_000  # texts, receipts, errors and conversations remembered: enough for a terminal and for a test

PING = f"{PING_NS} ping"
_HELP = """\
text            answer the customer you are talking to
/threads        list the conversations      /to N        talk to another
/designate [JID]  take the thread, or give it to somebody who may take it
/transfer JID   give it to somebody else     /release     end it
/history [N]    what there was with the customer
/call in|out [SECONDS] [OUTCOME]   note a voice call
/help           this                         /quit        leave"""


class ReceivedText(msgspec.Struct, frozen=True, gc=False):
    """A customer's text as it reached the desk.

    Attributes:
        id: of its stanza.
        customer, number: who wrote, and to which number of the call centre.
        sender, to: their JIDs.
        body: the text.
        token: the thread's.
        news: ``"new"`` or ``"continued"``; ``reason``: why it is new, else empty.
        late: it carries when it came.
    """

    id: str
    customer: str
    number: str
    sender: str
    to: str
    body: str
    token: str
    news: str
    reason: str
    late: bool


class Returned(msgspec.Struct, frozen=True):
    """An answer of ours that came back.

    Attributes:
        id: of our stanza.
        error: why.
        specific: the element of the hub's own namespace, or None.
    """

    id: str
    error: StanzaError
    specific: Element | None


class CommandRefused(Exception):
    """The hub answered a command with an error.

    Attributes:
        error: why; ``specific``: in the hub's own words, or empty.
    """

    def __init__(self, error: StanzaError, specific: str) -> None:
        super().__init__(f"{specific or error.condition} ({error.kind}/{error.condition})")
        self.error = error
        self.specific = specific


class StanzaQueue:
    """Stanzas on their way out: those that gather during one write go out in the next."""

    def __init__(self) -> None:
        self._stanzas: list[str] = []
        self._news = trio.Event()

    def put(self, stanza: str) -> None:
        """Add a stanza, as it is written."""
        self._stanzas.append(stanza)
        self._news.set()

    def clear(self) -> None:
        """Forget what waits."""
        self._stanzas.clear()

    async def take(self) -> bytes:
        """All that waits, as octets; waits for the first. Cancellation: takes nothing."""
        if not self._stanzas:
            self._news = trio.Event()
            await self._news.wait()
        octets = "".join(self._stanzas).encode()
        self._stanzas.clear()
        return octets


class SimulatedDesk:
    """See the module's head.

    Args:
        host, port: where to listen; port 0 takes a free one.
        secret, domain: the component's.
        desk_domain: the domain of the director and the CSRs.
        director, csr: their local parts.
        script: pairs of a regular expression and the answer to a text in which it is found.
        receipts: say for each text that asks that it has been received (XEP-0184).
        self_designate: take each new thread for the CSR.

    Attributes:
        port: where it listens.
        count: texts received since the start.
        pongs: False makes it deaf to pings.
        director_away: True returns what is for the director, as a server does for a user that is not there.
        refuse: says for a text why it is returned, or None to take it.
        receipts_got: by the id of our answer, ``"DELIVRD"`` or the state of the failure.
        returned: answers that came back, oldest first.
    """

    def __init__(
        self,
        *,
        secret: str,
        domain: str,
        host: str = "127.0.0.1",
        port: int = 0,
        desk_domain: str = "desk.example",
        director: str = "director",
        csr: str = "csr",
        script: Sequence[tuple[str, str]] = (),
        receipts: bool = True,
        self_designate: bool = False,
    ) -> None:
        self.host, self.port = host, port
        self.domain, self.desk_domain = domain, desk_domain
        self.director = f"{director}@{desk_domain}"
        self.csr = f"{csr}@{desk_domain}"
        self.count = 0
        self.pongs = True
        self.director_away = False
        self.refuse: Callable[[ReceivedText], StanzaError | None] | None = None
        self.receipts = receipts
        self.self_designate = self_designate
        self.receipts_got: dict[str, str] = {}
        self.returned: deque[Returned] = deque(maxlen=KEPT)
        self.texts: deque[ReceivedText] = deque(maxlen=KEPT)
        self.conversations: dict[tuple[str, str], ReceivedText] = {}
        self.presences: deque[Element] = deque(maxlen=KEPT)
        self.on_text: Callable[[ReceivedText], None] | None = None
        self._secret = secret
        self._script = [(re.compile(pattern, re.IGNORECASE), answer) for pattern, answer in script]
        self._output = StanzaQueue()
        self._machine: ComponentStream | None = None
        self._waiting: dict[str, Element | None] = {}
        self._serial = 0
        self._changed = trio.Event()
        self._nurseries: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._nurseries = trio.open_nursery()
        self._nursery = await self._nurseries.__aenter__()
        listeners: list[trio.SocketListener] = await self._nursery.start(self._listen)
        self.port = listeners[0].socket.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._nurseries is not None and self._nursery is not None  # noqa: S101, PT018 - entered
        self._nursery.cancel_scope.cancel()
        return await self._nurseries.__aexit__(kind, error, traceback)

    async def _listen(self, *, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        await trio.serve_tcp(self.serve_stream, self.port, host=self.host, task_status=task_status)

    # --- one connection ----------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """A component is up."""
        return self._machine is not None and self._machine.phase is Phase.OPEN

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one component until it leaves; a second one of the same domain meanwhile is a conflict."""
        machine = ComponentStream(
            Role.ACCEPT, secret=self._secret, domains=(self.domain,), stream_id=secrets.token_hex(8)
        )
        try:
            async with trio.open_nursery() as nursery:
                while machine.phase is not Phase.CLOSED:
                    data = await stream.receive_some()
                    if not data:
                        machine.receive_end()
                        break
                    opened = machine.phase is not Phase.OPEN
                    stanzas = machine.receive(bytes(data))
                    if machine.phase is Phase.OPEN and opened:
                        if self.connected:
                            machine.take_octets()
                            machine.fail(StreamError("conflict"))
                            break
                        self._machine = machine
                        await stream.send_all(machine.take_octets())
                        nursery.start_soon(self._write, stream, nursery.cancel_scope)
                        self._change()
                    self._take(stanzas)
                    octets = machine.take_octets()
                    if octets and machine.phase is not Phase.OPEN:
                        await stream.send_all(octets)
                octets = machine.take_octets()
                if octets:
                    await stream.send_all(octets)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # it is gone, or was cut off in the middle of a write
        finally:
            if self._machine is machine:
                self._machine = None
                self._output.clear()
            await trio.aclose_forcefully(stream)
            self._change()

    async def _write(self, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        while True:
            octets = await self._output.take()
            try:
                await stream.send_all(octets)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                scope.cancel()
                return

    def send(self, stanza: str) -> None:
        """Send a stanza as it is written."""
        self._output.put(stanza)

    def _take(self, stanzas: list[Element]) -> None:
        for stanza in stanzas:
            if stanza.name == "message":
                self._message(stanza)
            elif stanza.name == "iq":
                self._iq(stanza)
            else:
                self._presence(stanza)
        if stanzas:
            self._change()

    def _message(self, stanza: Element) -> None:
        if stanza.get("type") == "error":
            self._came_back(stanza)
            return
        received = stanza.child(RECEIVED)
        if received is not None:
            self._remember(received.get("id"), "DELIVRD")
            return
        text = _read(stanza)
        if text is None:
            return
        why = self.refuse(text) if self.refuse is not None else None
        if why is None and self.director_away and text.to.partition("/")[0] == self.director:
            why = StanzaError("cancel", "service-unavailable")
        if why is not None:
            self.send(build_error(stanza, why.kind, why.condition))
            return
        self.count += 1
        self.texts.append(text)
        is_new = text.news == "new"
        if len(self.conversations) >= KEPT and (text.customer, text.number) not in self.conversations:
            del self.conversations[next(iter(self.conversations))]
        self.conversations[text.customer, text.number] = text
        if self.receipts and stanza.child(REQUEST) is not None:
            self.send(
                f"<message from='{self.csr}/sim' to='{escape_attribute(text.sender)}'>"
                f"<received xmlns='{RECEIPTS_NS}' id='{escape_attribute(text.id)}'/></message>"
            )
        if self.self_designate and is_new:
            self._serial += 1
            self._designation(f"d{self._serial}", "designate", text.token, "address", self.csr)
        if self.on_text is not None:
            self.on_text(text)
        for pattern, answer in self._script:
            if pattern.search(text.body):
                self.answer(text, answer)
                break

    def _came_back(self, stanza: Element) -> None:
        own = stanza.get("id")
        error = stanza.child("error")
        specific = None
        for child in error.children if error is not None else ():
            if child.name.startswith(f"{THREAD_NS} "):
                specific = child
        if specific is not None and specific.name == f"{THREAD_NS} failed":
            self._remember(own, specific.get("state"))
        self.returned.append(Returned(own, read_error(stanza), specific))

    def _remember(self, own: str, state: str) -> None:
        if len(self.receipts_got) >= KEPT and own not in self.receipts_got:
            del self.receipts_got[next(iter(self.receipts_got))]
        self.receipts_got[own] = state

    def _iq(self, stanza: Element) -> None:
        if stanza.get("type") in ("result", "error"):
            if stanza.get("id") in self._waiting:
                self._waiting[stanza.get("id")] = stanza
            return
        if len(stanza.children) == 1 and stanza.children[0].name == PING:
            if self.pongs:
                self.send(build_result(stanza))
            return
        try:
            self.send(answer_iq(stanza, parse_jid(stanza.get("to"))))
        except BadJid:
            self.send(build_error(stanza, "modify", "jid-malformed"))

    def _presence(self, stanza: Element) -> None:
        self.presences.append(stanza)
        if stanza.get("type") == "probe" and not self.director_away:
            self.announce()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # --- what a director and a CSR do --------------------------------------------------------------------------------

    def announce(self, *, available: bool = True) -> None:
        """The director says that it is there, or gone."""
        self.send(build_presence(f"{self.director}/acd", self.domain, "" if available else "unavailable"))

    def write(
        self,
        customer: str,
        body: str,
        *,
        number: str = "",
        token: str = "",
        own_id: str = "",
        receipt: bool = True,
        sender: str = "",
    ) -> str:
        """Write to a customer.

        Args:
            customer, number: addresses; without a number it is the thread's.
            token: the thread's, or empty.
            own_id: the stanza's id; one is made when it is empty.
            receipt: ask to hear when it was delivered.
            sender: JID; the CSR when it is empty.

        Returns: the stanza's id.
        """
        self._serial += 1
        own_id = own_id or f"a{self._serial}"
        resource = f"/{escape_attribute(number)}" if number else ""
        named = f"<token xmlns='{THREAD_NS}'>{escape_text(token)}</token>" if token else ""
        asked = f"<request xmlns='{RECEIPTS_NS}'/>" if receipt else ""
        self.send(
            f"<message from='{escape_attribute(sender or f'{self.csr}/sim')}' "
            f"to='{escape_attribute(customer)}@{self.domain}{resource}' id='{escape_attribute(own_id)}' type='chat'>"
            f"<body>{escape_text(body)}</body>{named}{asked}</message>"
        )
        return own_id

    def answer(self, text: ReceivedText, body: str) -> str:
        """Answer a text in its thread. Returns: the stanza's id."""
        return self.write(text.customer, body, number=text.number, token=text.token)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that comes over the stream makes a condition true."""
        while not condition():
            await self._changed.wait()

    async def next_text(self) -> ReceivedText:
        """The oldest text not taken yet."""
        await self.wait_until(lambda: bool(self.texts))
        return self.texts.popleft()

    async def receipt_of(self, own_id: str) -> str:
        """Wait for what became of an answer. Returns: ``"DELIVRD"`` or the state of its failure."""
        await self.wait_until(lambda: own_id in self.receipts_got)
        return self.receipts_got[own_id]

    async def command(self, kind: str, content: str, *, sender: str = "") -> Element | None:
        """Send an IQ to the component and wait for its answer.

        Returns: the result's content, None when it has none.
        Raises: CommandRefused.
        """
        self._serial += 1
        own_id = f"c{self._serial}"
        self._waiting[own_id] = None
        try:
            self._ask(own_id, kind, content, sender or f"{self.director}/acd")
            await self.wait_until(lambda: self._waiting[own_id] is not None)
            answer = self._waiting[own_id]
        finally:
            del self._waiting[own_id]
        assert answer is not None  # noqa: S101 - it was waited for
        if answer.get("type") == "error":
            error = answer.child("error")
            names = [child.name for child in error.children] if error is not None else []
            specific = next((name.rpartition(" ")[2] for name in names if name.startswith(f"{THREAD_NS} ")), "")
            raise CommandRefused(read_error(answer), specific)
        return answer.children[0] if answer.children else None

    async def designate(self, token: str, value: str = "", kind: str = "address", *, transfer: bool = False) -> Element:
        """Designate a thread, or transfer it, to the CSR or to somebody else. Returns: the thread."""
        verb = "transfer" if transfer else "designate"
        return _present(await self.command("set", _designation_content(verb, token, kind, value or self.csr)))

    async def release(self, token: str) -> Element:
        """End a thread. Returns: the thread."""
        return _present(await self.command("set", f"<release xmlns='{THREAD_NS}' token='{escape_attribute(token)}'/>"))

    async def history(self, token: str, limit: int = 50) -> Element:
        """Ask what there was with a customer. Returns: the history."""
        named = f"token='{escape_attribute(token)}' max='{limit}'"
        return _present(await self.command("get", f"<history xmlns='{THREAD_NS}' {named}/>"))

    async def note_call(self, token: str, direction: str, duration_s: int = 0, outcome: str = "") -> Element:
        """Note a voice call that ended now. Returns: the thread."""
        started = stamp(time.time_ns() // 1000 - duration_s * 1_000_000)
        named = f"token='{escape_attribute(token)}' direction='{direction}' started='{started}'"
        about = f"duration='{duration_s}' outcome='{escape_attribute(outcome)}'"
        return _present(await self.command("set", f"<call xmlns='{THREAD_NS}' {named} {about}/>"))

    def _ask(self, own_id: str, kind: str, content: str, sender: str) -> None:
        self.send(
            f"<iq from='{escape_attribute(sender)}' to='{self.domain}' id='{own_id}' type='{kind}'>{content}</iq>"
        )

    def _designation(self, own_id: str, verb: str, token: str, kind: str, value: str) -> None:
        self._ask(own_id, "set", _designation_content(verb, token, kind, value), f"{self.director}/acd")


def _designation_content(verb: str, token: str, kind: str, value: str) -> str:
    return (
        f"<{verb} xmlns='{THREAD_NS}' token='{escape_attribute(token)}'>"
        f"<csr kind='{escape_attribute(kind)}'>{escape_text(value)}</csr></{verb}>"
    )


def _present(element: Element | None) -> Element:
    if element is None:
        raise CommandRefused(StanzaError("cancel", "undefined-condition"), "empty result")
    return element


def _read(stanza: Element) -> ReceivedText | None:
    body = stanza.child_text("body")
    if not body:
        return None
    sender = stanza.get("from")
    bare, _, number = sender.partition("/")
    token = stanza.child(TOKEN)
    return ReceivedText(
        stanza.get("id"),
        bare.partition("@")[0],
        number,
        sender,
        stanza.get("to"),
        body,
        token.text if token is not None else "",
        token.get("news") if token is not None else "",
        token.get("reason") if token is not None else "",
        stanza.child(f"{DELAY_NS} delay") is not None,
    )


Write = Callable[[str], None]
ReadLine = Callable[[], Awaitable[str]]


class _Terminal:
    """A CSR at a terminal: which conversation they are in, and what their lines mean."""

    def __init__(self, desk: SimulatedDesk, write: Write) -> None:
        self.desk = desk
        self.write = write
        self.listed: list[tuple[str, str]] = []
        self.current: tuple[str, str] | None = None

    def show(self, text: ReceivedText) -> None:
        """Show a text that came."""
        key = (text.customer, text.number)
        if key not in self.listed:
            self.listed.append(key)
        if self.current is None:
            self.current = key
        new = f" new thread: {text.reason}" if text.news == "new" else ""
        self.write(f"[{self.listed.index(key) + 1}] {text.customer} → {text.number}{new}: {text.body}")

    async def obey(self, line: str) -> bool:
        """Do what a line says. Returns: False when it is time to go."""
        if not line.startswith("/"):
            self._answer(line)
            return True
        try:
            verb, *words = shlex.split(line[1:]) or ["help"]
        except ValueError as error:
            self.write(f"? {error}")
            return True
        if verb == "quit":
            return False
        if verb == "help":
            self.write(_HELP)
        elif verb == "threads":
            for number, key in enumerate(self.listed, 1):
                self.write(f"{'*' if key == self.current else ' '}[{number}] {key[0]} → {key[1]}")
        elif verb == "to" and words and words[0].isdigit() and 0 < int(words[0]) <= len(self.listed):
            self.current = self.listed[int(words[0]) - 1]
        else:
            await self._command(verb, words)
        return True

    def _answer(self, line: str) -> None:
        text = self.desk.conversations.get(self.current) if self.current is not None else None
        if text is None:
            self.write("? nobody wrote yet")
        elif line.strip():
            self.desk.answer(text, line)

    async def _command(self, verb: str, words: list[str]) -> None:
        text = self.desk.conversations.get(self.current) if self.current is not None else None
        if text is None:
            self.write("? nobody wrote yet")
            return
        desk, token = self.desk, text.token
        try:
            if verb in ("designate", "transfer"):
                shown = await desk.designate(token, words[0] if words else "", transfer=verb == "transfer")
            elif verb == "release":
                shown = await desk.release(token)
            elif verb == "history":
                shown = await desk.history(token, int(words[0]) if words and words[0].isdigit() else 20)
            elif verb == "call":
                seconds = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
                shown = await desk.note_call(token, words[0] if words else "in", seconds, " ".join(words[2:]))
            else:
                self.write("? /help says what there is")
                return
        except CommandRefused as error:
            self.write(f"! {error}")
            return
        self._show_element(shown)

    def _show_element(self, element: Element) -> None:
        if element.name == f"{THREAD_NS} thread":
            csr = element.child_text(f"{THREAD_NS} csr") or "nobody"
            self.write(f"  {element.get('state')} thread, {element.get('channel')}, with {csr}")
        for entry in reversed(element.children) if element.name == f"{THREAD_NS} history" else ():
            what = entry.text or " ".join(
                f"{key}={value}" for key, value in entry.attributes.items() if key not in ("id", "stamp")
            )
            self.write(f"  {entry.get('stamp')} {entry.get('direction')} {what}")


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _read_line() -> str:
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


async def run_terminal(desk: SimulatedDesk, *, write: Write = _write_line, read_line: ReadLine = _read_line) -> None:
    """Let somebody at a terminal be the CSR, until end of input or ``/quit``.

    Args:
        write: shows one line.
        read_line: the next line typed, with its line end; empty at the end of input.
    """
    terminal = _Terminal(desk, write)
    desk.on_text = terminal.show
    write(f"desk {desk.desk_domain} waits for {desk.domain} on port {desk.port}; /help says what there is")
    shown = 0
    while True:
        line = await read_line()
        if not line or not await terminal.obey(line.rstrip("\r\n")):
            return
        for returned in list(desk.returned)[shown - len(desk.returned) :] if len(desk.returned) > shown else []:
            write(f"! {returned.id} came back: {returned.error.condition}")
        shown = len(desk.returned)


async def simulate_desk(
    *,
    secret: str,
    domain: str,
    host: str = "127.0.0.1",
    port: int = 5347,
    desk_domain: str = "desk.example",
    script: Sequence[tuple[str, str]] = (),
    self_designate: bool = False,
    terminal: bool = True,
    write: Write = _write_line,
    task_status: trio.TaskStatus[SimulatedDesk] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a desk until it is left (terminal) or cancelled (headless). Ready when it listens."""
    desk = SimulatedDesk(
        host=host,
        port=port,
        secret=secret,
        domain=domain,
        desk_domain=desk_domain,
        script=script,
        self_designate=self_designate,
    )
    async with desk:
        task_status.started(desk)
        if terminal:
            await run_terminal(desk, write=write)
        else:
            desk.on_text = lambda text: write(f"{text.customer} → {text.number}: {text.body}")
            await trio.sleep_forever()
