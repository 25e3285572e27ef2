"""The SMSC's side: a port on which ESMEs bind.

For each connection: take it or turn it away (``smpp.admission``), TLS if there is a context, wait for a bind no longer
than ``session_init_s``, ask ``authenticate`` who it is, check the account's networks and number of binds, answer, and
run the handler beside the session until either ends.

**What a stranger can cost.** A connection that has not bound holds a task, a socket and at most one PDU; there are at
most ``max_unbound`` of them, for at most ``session_init_s`` each, and so many new ones a second. When all places are
taken, who comes from an address that has bound before gets in at the cost of a stranger. Credentials longer than the
standard's fields are refused before anybody hashes them. HTTP, TLS on a plain port and other noise is closed without a
word, with one line in the log that names it. Of lines that strangers cause there are a few a second, and one each
second that says how many more there would have been (``smpp.log_lines``).

**What an account can cost another**: nothing. A handler that fails takes its own session with it, is logged, and the
port stays open.

Authentication knows nothing of how passwords are kept: hashing belongs into ``authenticate``, in a thread if it is
slow. The time it takes counts as the peer's: it is cut off with ``session_init_s``.

**Behind a balancer** the peer is whom the header of the PROXY protocol names (``smpp.listening``), for everything: the
networks, the lock-out, the log. A connection from anywhere else is closed, and so is one without a header. What the
balancer opens for itself to see whether we live is counted as ``checked``, and no line of the log is written for it.

A connection may also be one that we made, to an ESME that is to bind (``smpp.outbind.call_out``): it is told so by an
outbind and then treated like any other.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog
import trio

from smpp.accepting import accept_all, reset
from smpp.admission import Admission, Bounds, Refusal, Visit, source_of
from smpp.connection import Connection
from smpp.constants import CommandStatus, status_name
from smpp.events import DEFAULT_SETTINGS, Bind, Ending, Settings
from smpp.listening import Seldom, open_listeners, receive_header
from smpp.log_lines import LogLines
from smpp.observer import NOBODY, Observer
from smpp.pdu import Outbind
from smpp.proxy_protocol import BadHeader, Own, Proxied
from smpp.session import DEFAULT_OPTIONS, Options, Session, SessionEnded
from smpp.states import BOUND_AS, Role, State

# SMPP 3.4 §5.2.1 and §5.2.2, less the NUL.
MAX_SYSTEM_ID_OCTETS: Final = 15
MAX_PASSWORD_OCTETS: Final = 8

LOGGED_SYSTEM_ID: Final = 32
"""How much of a name that a stranger has given goes into a log line."""

BOUND_LINES: Final = 500
BOUND_LINES_PER_S: Final = 10.0  # of accounts that come and go: a hub that starts has thousands at once
TELL_S: Final = 1.0  # between two lines that say how many lines there were not

_GONE_BY_ITSELF: Final = (Ending.CLOSED_BY_PEER, Ending.CUT, Ending.UNBOUND_BY_PEER)

NO_BALANCER: Final = "it is none of smpp.proxy_networks"

_log = structlog.get_logger("smpp.server")


class BindRequest(msgspec.Struct, frozen=True):
    """Who wants in. It prints without its password.

    Attributes:
        system_id, password, system_type: as given.
        state: what it wants to be: BOUND_TX, BOUND_RX or BOUND_TRX.
        peer: the IP address, or empty when the stream has none.
        interface_version: e.g. 0x34.
    """

    system_id: str
    password: str
    system_type: str
    state: State
    peer: str
    interface_version: int

    def __repr__(self) -> str:
        return f"BindRequest(system_id={self.system_id!r}, state={self.state.name}, peer={self.peer!r})"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who was let in may have.

    Attributes:
        account: its name in logs, metrics and counts of binds.
        subject: whatever ``authenticate`` wants the handler to know.
        system_id: what the bind response calls us.
        networks: where it may come from, as ``"10.0.0.0/8"``, ``"2001:db8::1"``; empty for anywhere.
        max_binds: how many sessions at once, 0 for no bound.
        settings: window and timers of the session.
        options: inbox and bounds of the session.
    """

    account: str
    subject: Any = None
    system_id: str = "smshub"
    networks: tuple[str, ...] = ()
    max_binds: int = 0
    settings: Settings = DEFAULT_SETTINGS
    options: Options = DEFAULT_OPTIONS


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one port.

    Attributes:
        max_connections: at once, bound or not.
        max_unbound: at once, of those that have not bound yet.
        address_per_s, strangers_per_s: new connections a second, of one address and of all from which nobody has bound
            lately; 0 for any number.
        session_init_s: from the connection to the bind's answer, TLS and authentication included.
        max_password_octets: the standard's 8, unless accounts have longer ones.
        grace_s: at shutdown, how long sessions may take to end in peace.
    """

    max_connections: int = 2000
    max_unbound: int = 200
    address_per_s: float = 0.0
    strangers_per_s: float = 0.0
    session_init_s: float = 10.0
    max_password_octets: int = MAX_PASSWORD_OCTETS
    grace_s: float = 10.0

    def bounds(self) -> Bounds:
        """Those of connections that have not bound."""
        return Bounds(places=self.max_unbound, address_per_s=self.address_per_s, strangers_per_s=self.strangers_per_s)


Authenticate = Callable[[BindRequest], Awaitable["Grant | int"]]
"""Says who it is: a Grant, or the command_status to refuse with."""

Handler = Callable[[Session, Grant], Awaitable[None]]
"""Works on a bound session. When it returns, the session is unbound. SessionEnded may pass out of it."""


def address_allowed(address: str, networks: Sequence[str]) -> bool:
    """Whether an address is in one of the networks; anywhere when there is none.

    An IPv4 address that arrived at an IPv6 socket (``::ffff:192.0.2.1``) counts as IPv4.
    Raises: ValueError: a network is none.
    """
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)


def check_credentials(bind: Bind, max_password_octets: int = MAX_PASSWORD_OCTETS) -> int:
    """The status that over-long credentials are refused with, or ESME_ROK."""
    if len(bind.system_id) > MAX_SYSTEM_ID_OCTETS:
        return CommandStatus.ESME_RINVSYSID
    if len(bind.password) > max_password_octets:
        return CommandStatus.ESME_RINVPASWD
    return CommandStatus.ESME_ROK


def peer_address(stream: trio.abc.Stream) -> str:
    """The IP address at the other end, or empty."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        name = stream.socket.getpeername()
    except OSError:  # already gone
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


class Server:
    """One port's sessions. ``serve`` is the way in; this is for who accepts by other means as well: calls, a test.

    Args:
        handler, authenticate: see their types.
        limits: see ``Limits``.
        ssl_context: of a TLS port, or None.
        observer: counts ``bound``, ``bind_refused``, ``closed``, ``turned_away``, ``displaced``, ``handler_failed``,
            ``checked``, ``no_proxy_header``.
        counts: account → bound sessions. Servers of several ports that share it count an account's binds as one.
        proxies: networks of the balancers in front, whose connections all begin with a PROXY header, and the only ones
            that are served; empty when there are none. Connections that we make (``serve_called``) are not meant.
        is_known: whether somebody has bound from an address lately. Servers of several ports share what they know.
    """

    def __init__(
        self,
        handler: Handler,
        authenticate: Authenticate,
        *,
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
        observer: Observer = NOBODY,
        counts: Counter[str] | None = None,
        proxies: Sequence[str] = (),
        is_known: Callable[[str], bool] | None = None,
    ) -> None:
        self._handler = handler
        self._authenticate = authenticate
        self._limits = limits or Limits()
        self._ssl_context = ssl_context
        self._observer = observer
        self._connections = 0
        self._admission = Admission(self._limits.bounds())
        self._is_known = is_known
        self._lines, self._bound_lines = LogLines(), LogLines(BOUND_LINES, BOUND_LINES_PER_S)
        self._binds: Counter[str] = Counter() if counts is None else counts
        self._proxies = tuple(proxies)
        self._without_header = Seldom()
        self._sessions: set[Session] = set()
        self._closing = False
        self._gone = trio.Event()  # the last connection is over

    @property
    def binds(self) -> dict[str, int]:
        """Account → bound sessions."""
        return {account: count for account, count in self._binds.items() if count}

    @property
    def connections(self) -> int:
        """Connections, bound or not."""
        return self._connections

    async def run(
        self,
        *,
        port: int = 2775,
        host: str | None = None,
        listeners: Sequence[trio.SocketListener] | None = None,
        shutdown: trio.Event | None = None,
        task_status: trio.TaskStatus[Sequence[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept ESMEs; see ``serve``."""
        listening = list(listeners) if listeners is not None else await open_listeners(host, port)
        async with trio.open_nursery() as sessions:
            async with trio.open_nursery() as accepting:
                for listener in listening:
                    accepting.start_soon(accept_all, listener, partial(self._take, sessions), self._no_room)
                accepting.start_soon(self._tell_unsaid)
                task_status.started(listening)
                await (trio.Event() if shutdown is None else shutdown).wait()
                accepting.cancel_scope.cancel()
            # Out here: within ``accepting``, which is cancelled, no session could be parted from.
            with trio.move_on_after(self._limits.grace_s):
                await self.shut_down()
                # A handler may still have to write down what its peer has answered for.
                if self._connections:
                    self._gone = trio.Event()
                    await self._gone.wait()
            sessions.cancel_scope.cancel()

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end. Raises nothing but a cancellation."""
        await self._serve(stream, None)

    def _take(self, sessions: trio.Nursery, found: socket.socket, address: str) -> bool:
        """Take an accepted connection, or close it before it costs anything. Returns: whether it was taken."""
        visit: Visit | None = None
        if not self._proxies:
            let_in = self._let_in(address)
            if isinstance(let_in, Refusal):
                if let_in is Refusal.TOO_OFTEN:
                    reset(found)
                found.close()
                return False
            visit = let_in
        elif not address_allowed(address, self._proxies):
            self._say_no_header(address, NO_BALANCER)
            found.close()
            return False
        try:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(found))
        except OSError:  # gone by itself
            if visit is not None:
                self._admission.leave(visit)
            found.close()
            return False
        sessions.start_soon(self._serve, stream, None, visit)
        return True

    def _let_in(self, peer: str, *, is_inside: bool = False) -> Visit | Refusal:
        """Find a place for a connection, at the cost of another if need be.

        Args:
            peer: its address; empty when nobody can tell.
            is_inside: it is counted as a connection already.
        """
        visit: Visit | Refusal = Refusal.FULL
        now = trio.current_time()
        if self._connections - is_inside < self._limits.max_connections and not self._closing:
            is_known = not peer or (self._is_known is not None and self._is_known(peer))
            visit = self._admission.admit(source_of(peer), not is_known, now)
        if isinstance(visit, Refusal):
            self._observer.count("turned_away", ending=visit.value)
            if self._lines.may_say("turned away", now):
                words = {"connections": self._connections, "unbound": len(self._admission)}
                _log.warning("smpp connection turned away", peer=peer, reason=visit.value, **words)
        elif visit.instead_of is not None and visit.instead_of.make_room is not None:
            self._observer.count("displaced")
            visit.instead_of.make_room()
            visit.instead_of = None
        return visit

    def _no_room(self, error: OSError) -> None:
        if self._lines.may_say("no room", trio.current_time()):
            _log.error("smpp connections must wait: the system has no room for them", error=error.strerror)

    async def _tell_unsaid(self) -> None:
        """Say how many lines there were not, once they would have been too many."""
        while True:
            await trio.sleep(TELL_S)
            unsaid = self._lines.take_unsaid() | self._bound_lines.take_unsaid()
            if unsaid:
                _log.warning("smpp lines left out", connections=self._connections, left_out=unsaid)

    async def serve_called(self, stream: trio.abc.Stream, outbind: Outbind) -> bool:
        """Ask the ESME at the other end to bind, then serve the connection to its end like one that was accepted.

        Args:
            stream: a connection that we made; what TLS there is has been agreed on.
            outbind: what to say.

        Returns: whether it bound. Raises nothing but a cancellation.
        """
        return await self._serve(stream, outbind)

    async def _serve(self, stream: trio.abc.Stream, outbind: Outbind | None, visit: Visit | None = None) -> bool:
        """Serve a connection. Without a visit it is one that has not been let in yet."""
        peer = peer_address(stream)
        behind = bool(self._proxies) and outbind is None
        if behind and not address_allowed(peer, self._proxies):
            self._say_no_header(peer, NO_BALANCER)
            await trio.aclose_forcefully(stream)
            return False
        if visit is None:
            found = self._let_in("" if behind or outbind is not None else peer)
            if isinstance(found, Refusal):
                await trio.aclose_forcefully(stream)
                return False
            visit = found
        self._connections += 1
        guest = _Guest(peer, trio.current_time(), visit)
        try:
            with guest.scope:
                if behind and not await self._introduce(stream, guest):
                    return False
                if self._ssl_context is not None and outbind is None:
                    # https_compatible: many a TLS client closes without close_notify, and waiting for it helps nobody.
                    stream = trio.SSLStream(stream, self._ssl_context, server_side=True, https_compatible=True)
                await self._converse(stream, guest, outbind)
        except Exception:
            # The handler of one session, or a fault of ours in it: the other sessions must not hear of it.
            self._observer.count("handler_failed", account=guest.account)
            _log.exception("smpp session failed", **guest.place(), account=guest.account)
        finally:
            self._connections -= 1
            self._admission.leave(guest.visit)
            if not self._connections:
                self._gone.set()
            await trio.aclose_forcefully(stream)
        return bool(guest.account)

    async def _introduce(self, stream: trio.abc.Stream, guest: _Guest) -> bool:
        """Read the balancer's header, within the time that there is to bind in. Returns: False when that was all."""
        found: Proxied | Own | BadHeader | None = BadHeader("it did not come in time")
        with trio.move_on_after(self._limits.session_init_s):
            found = await receive_header(stream)
        if isinstance(found, Proxied):
            # Version 1 has no word for a check: it comes for the balancer's own address.
            guest.is_check = found.address == guest.peer
            guest.peer, guest.via = found.address, guest.peer
            self._admission.leave(guest.visit)  # which was the balancer's
            visit = self._let_in(guest.peer, is_inside=True)
            if isinstance(visit, Visit):
                guest.visits(visit)
                return True
            await trio.aclose_forcefully(stream)
            return False
        if isinstance(found, Own):
            guest.is_check = found.is_local
            return True
        if found is None:
            self._observer.count("checked")
        else:
            self._say_no_header(guest.peer, found.why)
        await trio.aclose_forcefully(stream)
        return False

    def _say_no_header(self, peer: str, why: str) -> None:
        self._observer.count("no_proxy_header")
        now = trio.current_time()
        unsaid = self._without_header.unsaid(peer, now)
        if unsaid is not None and self._lines.may_say("no PROXY header", now):  # once an address, and of few addresses
            _log.warning("smpp connection without a PROXY header closed", peer=peer, reason=why, unsaid_before=unsaid)

    def keep_to(self, limits: Limits, proxies: Sequence[str] = ()) -> None:
        """Keep to other bounds from now on, and believe other balancers; who is connected stays.

        Whether there are balancers at all is said when it is made: without any nothing is changed.
        """
        if proxies and self._proxies:
            self._proxies = tuple(proxies)
        self._limits = limits
        self._admission.bounds = limits.bounds()

    async def shut_down(self) -> None:
        """Turn newcomers away and unbind every session, each within the grace."""
        self._closing = True
        with trio.move_on_after(self._limits.grace_s):
            async with trio.open_nursery() as nursery:
                for session in self._sessions:
                    nursery.start_soon(session.unbind, self._limits.grace_s / 2)

    async def _converse(self, stream: trio.abc.Stream, guest: _Guest, outbind: Outbind | None) -> None:
        settings = Settings(session_init_s=self._limits.session_init_s)
        session = Session(stream, Connection(Role.SMSC, settings, now=guest.since))
        self._sessions.add(session)
        guest.session = session
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(session.run)
                try:
                    if outbind is not None:
                        session.send(outbind)
                    grant = await self._admit(session, guest)
                    if grant is not None:
                        await self._handler(session, grant)
                except SessionEnded:
                    pass
                except Exception as error:
                    failure = error
                await session.unbind()
        finally:
            self._sessions.discard(session)
            if guest.account:
                self._binds[guest.account] -= 1
            self._report(session, guest)
        if failure is not None:
            raise failure

    async def _admit(self, session: Session, guest: _Guest) -> Grant | None:
        """Wait for a bind and answer it. Returns: what it was granted, or None when it was refused."""
        bind = await session.receive_bind()
        self._admission.asks(guest.visit)
        state = BOUND_AS[type(bind)]
        request = BindRequest(
            bind.system_id, bind.password, bind.system_type, state, guest.peer, bind.interface_version
        )
        guest.system_id = bind.system_id[:LOGGED_SYSTEM_ID]
        decision: Grant | int = check_credentials(bind, self._limits.max_password_octets)
        if not decision:
            decision = await self._ask(session, request, guest)
        if isinstance(decision, Grant):
            decision = self._within(decision, guest)
        if not isinstance(decision, Grant):
            status = status_name(decision)
            self._observer.count("bind_refused", status=status)
            if self._lines.may_say("bind refused", trio.current_time()):
                _log.warning("smpp bind refused", **guest.place(), system_id=guest.system_id, status=status)
            session.refuse_bind(decision)
            self._admission.is_over(guest.visit)
            return None
        session.accept_bind(decision.system_id, decision.settings, decision.options)
        guest.account = decision.account
        self._admission.leave(guest.visit)
        self._binds[decision.account] += 1
        self._observer.count("bound", account=decision.account, bind=state.name)
        if self._bound_lines.may_say("bound", trio.current_time()):
            _log.info(
                "smpp bound",
                **guest.place(),
                account=decision.account,
                system_id=guest.system_id,
                bind=state.name,
                version=f"{bind.interface_version:#04x}",
            )
        return decision

    async def _ask(self, session: Session, request: BindRequest, guest: _Guest) -> Grant | int:
        """Authenticate. What it raises is our trouble, which the peer is told in one word and may try again after."""
        decision: Grant | int = CommandStatus.ESME_RSYSERR
        async with trio.open_nursery() as nursery:

            async def stop_when_over() -> None:
                await session.wait_over()
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop_when_over)
            try:
                decision = await self._authenticate(request)
            except Exception:
                self._observer.count("handler_failed", account="")
                _log.exception("smpp authentication failed to decide", **guest.place(), system_id=guest.system_id)
            nursery.cancel_scope.cancel()
        if session.ended is not None:
            raise SessionEnded(session.ended.ending, session.ended.detail)
        return decision

    def _within(self, grant: Grant, guest: _Guest) -> Grant | int:
        if not address_allowed(guest.peer, grant.networks):
            return CommandStatus.ESME_RBINDFAIL
        if grant.max_binds and self._binds[grant.account] >= grant.max_binds:
            # Real ESMEs wait on this one for a ghost of theirs to go, which is what it may be.
            return CommandStatus.ESME_RALYBND
        return grant

    def _report(self, session: Session, guest: _Guest) -> None:
        ended = session.ended
        ending = str(ended.ending) if ended is not None else ""
        if guest.is_check and not guest.account and ended is not None and ended.ending in _GONE_BY_ITSELF:
            self._observer.count("checked")
            return
        self._observer.count("closed", account=guest.account, ending=ending)
        words = {"account": guest.account, "system_id": guest.system_id}
        lines, kind = (self._bound_lines, "bound closed") if guest.account else (self._lines, "closed")
        if not lines.may_say(kind, trio.current_time()):
            return
        _log.info("smpp closed", **guest.place(), **words, reason=ending, **session.summary())


class _Guest:
    """What is known of a connection, for the log and the counts.

    Attributes:
        peer: whose address everything goes by; empty when it has none.
        via: the balancer's that it came over, or empty.
        since: when it came.
        is_check: a balancer made it for itself.
        system_id, account: as it bound; empty before.
        visit: its place among those that have not bound.
        session: once there is one.
        scope: what ends it when another is to have its place.
    """

    def __init__(self, peer: str, since: float, visit: Visit) -> None:
        self.peer = peer
        self.scope = trio.CancelScope()
        self.session: Session | None = None
        self.visits(visit)
        self.via = ""
        self.since = since
        self.is_check = False
        self.system_id = ""
        self.account = ""

    def visits(self, visit: Visit) -> None:
        """Have a place."""
        self.visit = visit
        visit.make_room = self._make_room

    def _make_room(self) -> None:
        if self.session is not None:
            self.session.close(Ending.CLOSED, "made room")
        self.scope.cancel()

    def place(self) -> dict[str, str]:
        """Where it comes from, for the log."""
        return {"peer": self.peer, "via": self.via} if self.via else {"peer": self.peer}


async def serve(
    handler: Handler,
    authenticate: Authenticate,
    *,
    port: int = 2775,
    host: str | None = None,
    listeners: Sequence[trio.SocketListener] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    observer: Observer = NOBODY,
    proxies: Sequence[str] = (),
    shutdown: trio.Event | None = None,
    task_status: trio.TaskStatus[Sequence[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept ESMEs until cancelled, or until ``shutdown`` is set.

    Args:
        handler: runs for each bound session; see ``Handler``.
        authenticate: decides on each bind; see ``Authenticate``.
        port, host: where to listen; port 0 for any free one, host None for everywhere.
        listeners: listeners that are open already, instead of port and host.
        ssl_context: makes it a TLS port.
        limits: see ``Limits``.
        observer: see ``Observer``.
        proxies: networks of balancers in front; see ``Server``.
        shutdown: when set: stop accepting, unbind all within ``limits.grace_s``, return.
        task_status: started with the listeners, once they listen.

    Raises: OSError: the port cannot be listened on.
    Cancellation: closes the port and cuts all sessions.
    """
    server = Server(handler, authenticate, limits=limits, ssl_context=ssl_context, observer=observer, proxies=proxies)
    await server.run(port=port, host=host, listeners=listeners, shutdown=shutdown, task_status=task_status)
