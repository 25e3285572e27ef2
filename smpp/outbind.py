"""outbind, both sides: an SMSC that has something for an ESME calls *it* and asks it to bind (SMPP 3.4 §2.2.1).

``answer_outbinds`` is the ESME's side: a port that an SMSC calls, and where it is answered with bind_receiver on the
same connection (SMPP 3.4 §4.1.7; SMPP 5.0 §2.3.7); the session goes to a handler like any other of the link's.
``call_out`` is the SMSC's side: it connects, says outbind, and has a ``Server`` serve the bind that comes.

**Whoever is answered is told our password**, since a bind carries it. So a caller must show that it is the SMSC: by the
password in its outbind, or, where none was agreed on, by calling from an address of the SMSC's host. Whoever does not
is closed without a word and counted; a stranger holds a task and a socket for ``session_init_s``, and there are never
more than ``MAX_CALLERS`` of them.

**No storm.** An SMSC that calls again and again and refuses each bind would have us send the same wrong password as
often as it likes, until it locks the account. So refusals are followed by the same waits as those of ``smpp.client``:
while they last, callers are turned away.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import partial
from hmac import compare_digest
from random import SystemRandom
from typing import Final

import msgspec
import structlog
import trio

from smpp.backoff import Backoff, Trouble
from smpp.client import Handler, connect, report_end, report_refusal, work
from smpp.connection import Connection
from smpp.credentials import BindType, Credentials
from smpp.events import DEFAULT_SETTINGS, Settings
from smpp.observer import NOBODY, Observer
from smpp.pdu import Outbind
from smpp.server import Server, peer_address
from smpp.session import DEFAULT_OPTIONS, BindRefused, Options, Session, SessionEnded
from smpp.states import Role

MAX_CALLERS: Final = 16
"""Connections that are not bound yet, at once: an SMSC makes one call, and a few more when it is restarted."""

RESOLVE_S: Final = 5.0
"""How long a host's addresses may take to be found."""

_log = structlog.get_logger("smpp.outbind")


# -- The SMSC's side ---------------------------------------------------------------------------------------------------


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to call, and what to say. It prints without its password.

    Attributes:
        host, port: where the ESME listens.
        system_id: our name.
        password: what the ESME knows us by.
        ssl_context: for TLS, in which we are the client; or None.
        server_hostname: the name that the ESME's certificate must bear, when it is not ``host``.
        connect_s: how long TCP and TLS may take.
    """

    host: str
    port: int = 2775
    system_id: str = "smshub"
    password: str = ""
    ssl_context: ssl.SSLContext | None = None
    server_hostname: str = ""
    connect_s: float = 10.0

    def __repr__(self) -> str:
        return f"Call(host={self.host!r}, port={self.port}, system_id={self.system_id!r})"


async def call_out(server: Server, call: Call) -> bool:
    """Call an ESME, and serve the session that comes of it to its end.

    The bind is decided on like that of an accepted connection, within the same limits; which account it is for is what
    the bind says. When to call, and when to call again, is the caller's to decide.

    Args:
        server: whose session it is: its authentication, handler and limits.
        call: see ``Call``.

    Returns: whether the ESME bound; False when it did not in time, was refused, or the server is full or closing.
    Raises: OSError, trio.BrokenResourceError: no connection.
    Cancellation: cuts the session.
    """
    stream = await connect(call)
    return await server.serve_called(stream, Outbind(system_id=call.system_id, password=call.password))


# -- The ESME's side ---------------------------------------------------------------------------------------------------


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to believe that it is the SMSC, and how to bind to it. It prints without its passwords.

    Attributes:
        credentials: what our bind says.
        password: what the outbind must say; empty for anything.
        system_id: who the outbind must say it is; empty for anybody.
        host: when set, only calls from the addresses that this name stands for are answered.
        max_sessions: bound at once.
        settings, options: of the sessions.
    """

    credentials: Credentials
    password: str = ""
    system_id: str = ""
    host: str = ""
    max_sessions: int = 8
    settings: Settings = DEFAULT_SETTINGS
    options: Options = DEFAULT_OPTIONS

    def __repr__(self) -> str:
        return f"Terms(credentials={self.credentials!r}, host={self.host!r})"

    def fit(self, outbind: Outbind) -> bool:
        """Whether an outbind says what it must."""
        if self.system_id and outbind.system_id != self.system_id:
            return False
        # In the same time whatever it says: strangers may try as often as they like.
        return not self.password or compare_digest(outbind.password.encode(), self.password.encode())


async def comes_from(address: str, host: str) -> bool:
    """Whether an address is one of those that a name stands for; no when the name stands for none."""
    try:
        found = await trio.socket.getaddrinfo(host, None, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a name with an over-long label is the latter
        return False
    # An IPv4 address that arrived at an IPv6 socket counts as IPv4.
    return address.removeprefix("::ffff:") in {str(entry[4][0]) for entry in found}


class Callee:
    """The sessions that an SMSC's calls lead to. ``answer_outbinds`` is the way in; this is for tests as well.

    Args:
        terms: see ``Terms``.
        handler: runs for each session, bound as a receiver; see ``smpp.client.Handler``.
        name: of the link, for logs and metrics.
        ssl_context: of a TLS port, or None.
        backoff: the waits after a bind that was refused or not answered.
        observer: counts ``outbind_refused``, ``turned_away``, ``bind_refused``, ``connect_failed``, ``bound``,
            ``closed``, ``handler_failed``.
        shutdown: when set: unbind.
    """

    def __init__(
        self,
        terms: Terms,
        handler: Handler,
        *,
        name: str = "",
        ssl_context: ssl.SSLContext | None = None,
        backoff: Backoff | None = None,
        observer: Observer = NOBODY,
        shutdown: trio.Event | None = None,
    ) -> None:
        self._terms = terms
        self._handler = handler
        self._words = {"link": name, "system_id": terms.credentials.system_id, "bind": "outbind"}
        self._ssl_context = ssl_context
        self._backoff = backoff or Backoff(SystemRandom())
        self._observer = observer
        self._shutdown = trio.Event() if shutdown is None else shutdown
        self._quiet_until = -1.0
        self._callers = 0
        self.sessions = 0

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one call to its end. Raises nothing but a cancellation."""
        peer = peer_address(stream)
        why = self._turn_away()
        if why:
            self._observer.count("turned_away", link=self._words["link"])
            _log.warning("smpp call turned away", **self._words, peer=peer, reason=why)
            await trio.aclose_forcefully(stream)
            return
        self._callers += 1
        caller = _Caller(peer)
        try:
            await self._converse(stream, caller)
        except Exception:
            # A fault of the handler's: the other sessions must not hear of it.
            self._observer.count("handler_failed", link=self._words["link"])
            _log.exception("smpp session failed", **self._words, peer=peer)
        finally:
            if caller.bound:
                self.sessions -= 1
            else:
                self._callers -= 1

    def _turn_away(self) -> str:
        if self._shutdown.is_set():
            return "closing"
        if trio.current_time() < self._quiet_until:
            return "the last bind failed"
        if self._callers >= MAX_CALLERS or self.sessions >= self._terms.max_sessions:
            return "too many"
        return ""

    async def _converse(self, stream: trio.abc.Stream, caller: _Caller) -> None:
        terms = self._terms
        if terms.host:
            known = False
            with trio.move_on_after(RESOLVE_S):
                known = await comes_from(caller.peer, terms.host)
            if not known:
                self._refuse(caller, "address")
                await trio.aclose_forcefully(stream)
                return
        if self._ssl_context is not None:
            stream = trio.SSLStream(stream, self._ssl_context, server_side=True, https_compatible=True)
        session = Session(stream, Connection(Role.ESME, terms.settings, now=trio.current_time()), terms.options)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(session.run)
            async with trio.open_nursery() as watching:
                watching.start_soon(self._cut_when_told, session, caller)
                try:
                    await self._answer(session, caller)
                except SessionEnded as ended:
                    self._not_bound(caller, ended)
                except BindRefused as refusal:
                    self._rest(report_refusal(refusal, self._observer, self._words))
                except Exception as error:
                    failure = error
                watching.cancel_scope.cancel()
            if caller.bound:
                await session.unbind()
            session.close()
        if caller.bound:
            report_end(session, self._observer, self._words)
        if failure is not None:
            raise failure

    async def _answer(self, session: Session, caller: _Caller) -> None:
        outbind = (await session.receive_outbind()).outbind
        if not self._terms.fit(outbind):
            self._refuse(caller, "outbind")
            return
        caller.believed = True
        await session.bind(self._terms.credentials.bind(BindType.RX))
        caller.bound = True
        self._callers -= 1
        self.sessions += 1
        self._backoff.bound(trio.current_time())
        self._observer.count("bound", link=self._words["link"], bind=str(BindType.RX))
        _log.info("smpp bound", **self._words, peer=caller.peer, version=f"{session.peer_version:#04x}")
        await work(session, self._handler, self._shutdown)

    async def _cut_when_told(self, session: Session, caller: _Caller) -> None:
        """Cut who has not bound yet; ``work`` unbinds the others."""
        await self._shutdown.wait()
        if not caller.bound:
            session.close()

    def _refuse(self, caller: _Caller, what: str) -> None:
        self._observer.count("outbind_refused", link=self._words["link"], status=what)
        _log.warning("smpp outbind refused", **self._words, peer=caller.peer, wrong=what)

    def _not_bound(self, caller: _Caller, ended: SessionEnded) -> None:
        if caller.bound:
            return
        self._observer.count("connect_failed", link=self._words["link"])
        _log.warning(
            "smpp call came to nothing", **self._words, peer=caller.peer, reason=str(ended.ending), detail=ended.detail
        )
        if caller.believed:  # a stranger that says nothing costs its own time, not that of the SMSC's next call
            self._rest(Trouble.NETWORK)

    def _rest(self, trouble: Trouble) -> None:
        now = trio.current_time()
        self._quiet_until = now + self._backoff.failed(trouble, now)


class _Caller:
    """What is known of a connection: where it comes from, whether we told it our password, whether we are bound."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.believed = False
        self.bound = False


async def answer_outbinds(
    terms: Terms,
    handler: Handler,
    *,
    port: int = 2775,
    host: str | None = None,
    listeners: Sequence[trio.SocketListener] | None = None,
    name: str = "",
    ssl_context: ssl.SSLContext | None = None,
    new_backoff: Callable[[], Backoff] | None = None,
    observer: Observer = NOBODY,
    shutdown: trio.Event | None = None,
    task_status: trio.TaskStatus[Sequence[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be there for an SMSC's calls until cancelled, or until ``shutdown`` is set.

    Args:
        terms, handler, name, ssl_context, observer: see ``Callee``.
        port, host: where to listen; port 0 for any free one, host None for everywhere.
        listeners: listeners that are open already, instead of port and host.
        new_backoff: makes the waits.
        shutdown: when set: stop listening, unbind the sessions, return.
        task_status: started with the listeners, once they listen.

    Raises: OSError: the port cannot be listened on.
    Cancellation: closes the port and cuts the sessions.
    """
    stop = trio.Event() if shutdown is None else shutdown
    callee = Callee(
        terms,
        handler,
        name=name,
        ssl_context=ssl_context,
        backoff=new_backoff() if new_backoff is not None else None,
        observer=observer,
        shutdown=stop,
    )
    listening = list(listeners) if listeners is not None else await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as sessions, trio.open_nursery() as accepting:
        accepting.start_soon(partial(trio.serve_listeners, callee.serve_stream, listening, handler_nursery=sessions))
        task_status.started(listening)
        await stop.wait()
        accepting.cancel_scope.cancel()
