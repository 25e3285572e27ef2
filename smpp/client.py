"""The ESME's side: bind to an SMSC, and stay bound.

``connect_and_bind`` is one session for as long as its body lasts. ``keep_bound`` is a link: it binds, hands the session
to a handler, and when that session has ended, for whatever reason, waits as ``smpp.backoff`` says and binds again,
until told to stop. A link of a transmitter and a receiver is two binds that come and go by themselves.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Protocol

import msgspec
import structlog
import trio

from smpp.backoff import Backoff, Trouble, trouble_of
from smpp.connection import Connection
from smpp.constants import status_name
from smpp.credentials import BindType, Credentials
from smpp.events import DEFAULT_SETTINGS, Ending, Settings
from smpp.observer import NOBODY, Observer
from smpp.session import DEFAULT_OPTIONS, BindRefused, Options, Session, SessionEnded
from smpp.states import Role

__all__ = [
    "BindType",
    "Credentials",
    "Handler",
    "Reachable",
    "Target",
    "connect",
    "connect_and_bind",
    "keep_bound",
    "report_end",
    "report_refusal",
    "work",
]

_log = structlog.get_logger("smpp.client")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to bind.

    Attributes:
        host, port: of the SMSC.
        credentials: see ``Credentials``.
        ssl_context: for TLS, or None.
        server_hostname: the name that its certificate must bear, when it is not ``host``.
        connect_s: how long TCP and TLS may take.
        settings, options: of the session.
    """

    host: str
    port: int
    credentials: Credentials
    ssl_context: ssl.SSLContext | None = None
    server_hostname: str = ""
    connect_s: float = 10.0
    settings: Settings = DEFAULT_SETTINGS
    options: Options = DEFAULT_OPTIONS


Handler = Callable[[Session], Awaitable[None]]
"""Works on a bound session (``session.state`` says as what). When it returns, the session is unbound. SessionEnded may
pass out of it."""


class Reachable(Protocol):
    """What can be connected to; see ``Target``."""

    @property
    def host(self) -> str:
        """A name or an address."""
        ...

    @property
    def port(self) -> int:
        """TCP's."""
        ...

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """For TLS."""
        ...

    @property
    def server_hostname(self) -> str:
        """What its certificate must bear."""
        ...

    @property
    def connect_s(self) -> float:
        """Seconds."""
        ...


async def connect(target: Reachable) -> trio.abc.Stream:
    """Open the connection, TLS included.

    Raises: OSError: no connection, or no answer within ``connect_s``. trio.BrokenResourceError: TLS failed.
    """
    with trio.move_on_after(target.connect_s):
        stream: trio.abc.Stream = await trio.open_tcp_stream(target.host, target.port)
        if target.ssl_context is None:
            return stream
        name = target.server_hostname or target.host
        secure = trio.SSLStream(stream, target.ssl_context, server_hostname=name, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure
    raise TimeoutError(f"{target.host}:{target.port} did not answer within {target.connect_s} s")


@asynccontextmanager
async def connect_and_bind(
    target: Target, bind_type: BindType = BindType.TRX, *, drain_s: float = 5.0
) -> AsyncIterator[Session]:
    """Connect, bind, and run the session for as long as the body lasts.

    A body that ends normally unbinds, one that raises closes. What the body raises comes out as it is.

    Args:
        target: see ``Target``.
        bind_type: transmitter, receiver or transceiver.
        drain_s: at the end, how long the answers on the way are waited for before the unbind.

    Raises: BindRefused. SessionEnded: no answer to the bind. OSError, trio.BrokenResourceError: no connection.
        EncodeError: the credentials do not fit into a bind.
    """
    stream = await connect(target)
    session = Session(stream, Connection(Role.ESME, target.settings, now=trio.current_time()), target.options)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        try:
            await session.bind(target.credentials.bind(bind_type))
            yield session
        except Exception as error:
            failure = error
            session.close()
        else:
            await session.unbind(drain_s)
    if failure is not None:
        raise failure


async def keep_bound(
    target: Target | Callable[[], Target],
    handler: Handler,
    *,
    name: str = "",
    bind_types: Sequence[BindType] = (BindType.TRX,),
    new_backoff: Callable[[], Backoff] | None = None,
    observer: Observer = NOBODY,
    shutdown: trio.Event | None = None,
) -> None:
    """Stay bound until cancelled, or until ``shutdown`` is set.

    Args:
        target: see ``Target``; a function is asked for each session anew.
        handler: runs for each session; one that fails is logged, and its bind is made again like one that was cut.
        name: of the link, for logs and metrics.
        bind_types: one bind for each: ``(TRX,)``, or ``(TX, RX)``, or ``(TRX, TRX)`` for two of a kind.
        new_backoff: makes the waits of one bind.
        observer: counts ``connect_failed``, ``bind_refused``, ``bound``, ``closed``, ``handler_failed``.
        shutdown: when set: unbind, return.

    Cancellation: cuts the sessions.
    """
    make = new_backoff or (lambda: Backoff(SystemRandom()))
    stop = trio.Event() if shutdown is None else shutdown
    find: Callable[[], Target] = target if callable(target) else lambda: target
    async with trio.open_nursery() as nursery:
        for bind_type in bind_types:
            link = _Bind(find, bind_type, handler, name, make(), observer, stop)
            nursery.start_soon(link.keep)


class _Bind:
    """One bind of a link, made again and again."""

    def __init__(
        self,
        find: Callable[[], Target],
        bind_type: BindType,
        handler: Handler,
        name: str,
        backoff: Backoff,
        observer: Observer,
        shutdown: trio.Event,
    ) -> None:
        self._find = find
        self._bind_type = bind_type
        self._handler = handler
        self._name = name
        self._backoff = backoff
        self._observer = observer
        self._shutdown = shutdown
        self._words = {"link": name, "system_id": find().credentials.system_id, "bind": str(bind_type)}

    async def keep(self) -> None:
        """Bind, wait, bind, until told to stop."""
        while not self._shutdown.is_set():
            trouble = await self._once()
            wait_s = self._backoff.failed(trouble, trio.current_time())
            with trio.move_on_after(wait_s):
                await self._shutdown.wait()

    async def _once(self) -> Trouble:
        """One session from its connection to its end. Returns: what to hold against the next try."""
        target, words = self._find(), self._words
        session: Session | None = None
        try:
            async with connect_and_bind(target, self._bind_type) as session:
                self._backoff.bound(trio.current_time())
                self._observer.count("bound", link=self._name, bind=str(self._bind_type))
                _log.info("smpp bound", **words, version=f"{session.peer_version:#04x}")
                await work(session, self._handler, self._shutdown)
        except BindRefused as refusal:
            return report_refusal(refusal, self._observer, words)
        except (OSError, trio.BrokenResourceError) as error:
            self._observer.count("connect_failed", link=self._name)
            _log.warning("smpp connect failed", **words, host=target.host, port=target.port, cause=_words_of(error))
        except SessionEnded as ended:
            if session is None:
                self._observer.count("connect_failed", link=self._name)
                _log.warning("smpp bind not answered", **words, reason=str(ended.ending), detail=ended.detail)
        except Exception:
            # A fault of the handler's. The link is worth more than the session: it goes on, and someone must look.
            self._observer.count("handler_failed", link=self._name)
            _log.exception("smpp session failed", **words)
        if session is not None:
            report_end(session, self._observer, words)
            if session.ended is not None and session.ended.ending is Ending.FORGOTTEN:
                return Trouble.FORGOTTEN
        return Trouble.NETWORK


def report_refusal(refusal: BindRefused, observer: Observer, words: dict[str, str]) -> Trouble:
    """Count and log that a bind of ours was refused. Returns: what to hold against the next try."""
    trouble = trouble_of(refusal.command_status)
    status = status_name(refusal.command_status)
    observer.count("bind_refused", link=words["link"], status=status)
    # Only a human can mend wrong credentials: an error, which alerts hang on. The rest passes by itself.
    report = _log.error if trouble is Trouble.CREDENTIALS else _log.warning
    report("smpp bind refused", **words, status=status, trouble=str(trouble))
    return trouble


async def work(session: Session, handler: Handler, shutdown: trio.Event) -> None:
    """Run the handler of a bound session; when ``shutdown`` is set, unbind under it. Raises: what the handler does."""
    async with trio.open_nursery() as nursery:

        async def stop_when_told() -> None:
            await shutdown.wait()
            await session.unbind()

        nursery.start_soon(stop_when_told)
        failure: Exception | None = None
        try:
            await handler(session)
        except SessionEnded:
            pass
        except Exception as error:
            failure = error
        if not shutdown.is_set():
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def report_end(session: Session, observer: Observer, words: dict[str, str]) -> None:
    """Count and log the end of a link's session.

    Args:
        session: over.
        observer: counts ``closed``.
        words: what the log says of the link, its name as ``link``.
    """
    ended = session.ended
    ending = str(ended.ending if ended is not None else Ending.CLOSED)
    observer.count("closed", link=words["link"], ending=ending)
    _log.info("smpp closed", **words, reason=ending, **session.summary())


def _words_of(error: BaseException) -> str:
    """What went wrong with a connection, without octets of the peer's."""
    cause = error.__cause__ or error
    while isinstance(cause, BaseExceptionGroup):  # trio's, of the attempts at each address
        cause = cause.exceptions[0]
    return f"{type(cause).__name__}: {getattr(cause, 'strerror', None) or getattr(cause, 'reason', None) or ''}".strip(
        ": "
    )
