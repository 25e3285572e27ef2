"""The one HTTP server: hypercorn's connections over trio, with bounds of our own around them. HTTP/1.1, HTTP/2, TLS.

Hypercorn speaks the protocols. It was written to stand behind a proxy and leaves some waits open, which a port of ours
may not: here each has an end.

- *Connections* are counted, so that nobody eats the descriptors that the SMPP ports live on. Beyond the bound a new one
  takes the place of the one that has been without a request the longest: who opens many and says nothing keeps nobody
  out. When all have a request, the new one is closed at once.
- *Reading*: a head must be whole within ``IDLE_S`` of connecting or of the last answer, a body's next
  piece within ``BODY_S``, the whole exchange within ``REQUEST_S``; no body is longer than the application allows.
- *Writing*: a peer that does not read for ``SEND_S`` is cut off. (Hypercorn shields a send from cancellation: such a
  peer could otherwise keep the whole daemon from stopping.)
- *Closing*: an answer that is given before the body was read ("too large") still arrives: what comes in is thrown away
  for ``LINGER_S``, since closing over unread octets resets the connection. Hypercorn's queue of a body that nobody
  reads would wait for ever: it is emptied beside the answer.
- *Rates*: new connections, refusals and octets have one each (``ops.web_rates``): the port shares a core with the
  message path, and takes no more than a known part of it.
- *Faults of ours* in one connection are logged and end that connection alone.

Connections are served by ``hypercorn.trio.tcp_server.TCPServer`` rather than ``hypercorn.trio.serve``: the latter makes
its own listeners, and with them its own idea of how many connections there may be. ``pyproject.toml`` keeps hypercorn
within one minor version for that, and ``tests/integration/test_web.py`` holds it to the list above. There is no
lifespan: what an application needs is made before it and passed to it.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from ops.web_rates import LONGEST_S, PortRates
from smpp.accepting import accept_all, reset
from smpp.admission import Admission, Bounds, Refusal, source_of
from smpp.log_lines import LogLines

MAX_CONNECTIONS: Final = 100
MAX_HEAD_OCTETS: Final = 16_384
MAX_BODY_OCTETS: Final = 1_048_576
MAX_STREAMS: Final = 16  # of one HTTP/2 connection
HANDSHAKE_S: Final = 10.0
IDLE_S: Final = 30.0  # Prometheus's usual interval is 15 s: it keeps its connection
BODY_S: Final = 30.0  # without a piece of it
REQUEST_S: Final = 60.0
SEND_S: Final = 20.0
LINGER_S: Final = 1.0
CONNECTIONS_PER_S: Final = 100.0  # new ones; four seconds' worth at once
ADDRESS_SHARE: Final = 0.6  # of these are one address's
UNWANTED: Final = 400  # from this status on, an answer is one that nobody gains by
GRACE_S: Final = 3.0  # for what is being answered when the server is told to stop

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger("ops.web")


class BodyTooLarge(Exception):
    """A request's body is longer than the application allows; raised where it is read. Answer 413."""


class BodyTooSlow(Exception):
    """A request's body did not come in time; raised where it is read. Answer 408."""


Page = tuple[int, str, bytes]
"""Status, content type, body."""


def read_only(answer: Callable[[str], Awaitable[Page]]) -> Application:
    """An application of pages that are only read.

    Args:
        answer: makes the page of a path.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["method"] in ("GET", "HEAD")
        status, content_type, body = (
            await answer(scope["path"]) if is_read else (405, "text/plain; charset=utf-8", b"GET only\n")
        )
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


async def serve(
    app: Application,
    host: str,
    port: int,
    *,
    tls_cert_file: str = "",
    tls_key_file: str = "",
    max_body_octets: int = MAX_BODY_OCTETS,
    unwanted: int = UNWANTED,
    connections_per_s: float = CONNECTIONS_PER_S,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until cancelled; then what is being answered has ``GRACE_S`` to end.

    Args:
        app: gets requests only (no lifespan, no WebSocket); ``receive`` raises ``BodyTooLarge`` and ``BodyTooSlow``.
        host, port: where to listen; port 0 for any. Started with the port.
        tls_cert_file, tls_key_file: certificate with its chain, and key (PEM); without them, in clear.
        max_body_octets: of a request.
        unwanted: from this status on, answers have a rate; 0 where nothing else bounds how often the others are asked
            for.
        connections_per_s: new ones; 0 for any number.

    Raises: OSError when the port is taken or a file cannot be read; ssl.SSLError when it is no certificate.
    """
    certificate = _Certificate(tls_cert_file, tls_key_file) if tls_cert_file else None
    listeners = await trio.open_tcp_listeners(port, host=host)
    worker = WorkerContext(None)
    rates = PortRates()
    config, guarded = _config(), ASGIWrapper(cast(Any, _Guard(app, max_body_octets, rates, unwanted)))
    limiter = trio.CapacityLimiter(MAX_CONNECTIONS)
    crowd: set[_Connection] = set()
    of_address = connections_per_s * ADDRESS_SHARE
    door = Admission(Bounds(places=MAX_CONNECTIONS, address_per_s=of_address, strangers_per_s=connections_per_s))

    async def handle(stream: trio.SocketStream, source: str) -> None:
        try:
            if limiter.available_tokens < 1 and not _make_room(crowd):
                return
            async with limiter:
                context = certificate.context() if certificate is not None else None
                connection = _Connection(source)
                crowd.add(connection)
                try:
                    await _converse(stream, context, guarded, config, worker, connection, rates)
                finally:
                    crowd.discard(connection)
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        closing = trio.Event()
        handlers = await nursery.start(_hold, closing)
        try:
            task_status.started(listeners[0].socket.getsockname()[1])

            def take(found: socket.socket, address: str) -> bool:
                source = source_of(address)
                visit = door.admit(source, True, trio.current_time())
                if isinstance(visit, Refusal):
                    reset(found)
                    return False
                door.leave(visit)  # places are counted here, and given by other rules
                handlers.start_soon(handle, trio.SocketStream(trio.socket.from_stdlib_socket(found)), source)
                return True

            lines = LogLines()

            def no_room(error: OSError) -> None:
                if lines.may_say("no room", trio.current_time()):
                    log.error("connections must wait: the system has no room for them", error=error.strerror)

            for listener in listeners:
                nursery.start_soon(accept_all, listener, take, no_room)
            await trio.sleep_forever()
        finally:
            await worker.terminated.set()  # idle connections close now, the others after their answer
            handlers.cancel_scope.deadline = trio.current_time() + GRACE_S
            closing.set()


async def _hold(closing: trio.Event, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Hold the connections' nursery, shielded: they end by its deadline, not with their server."""
    async with trio.open_nursery() as handlers:
        handlers.cancel_scope.shield = True
        task_status.started(handlers)
        await closing.wait()


def server_context(cert_file: str, key_file: str = "") -> ssl.SSLContext:
    """The TLS context of a port of ours.

    Raises: OSError, ssl.SSLError.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        context.load_cert_chain(cert_file, key_file or None)
    except OSError as error:  # ssl.SSLError is one: neither says which file
        raise OSError(error.errno, error.strerror or str(error), cert_file) from error
    return context


class _Certificate:
    """A certificate that may be renewed while we serve: its files are looked at when somebody connects."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        self._files = [name for name in (cert_file, key_file) if name]
        self._stamp = self._look()
        self._context = server_context(cert_file, key_file)

    def context(self) -> ssl.SSLContext:
        """The context to use now. What cannot be read, or is not whole yet, leaves the former one in force."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._context = server_context(*self._files)
            except OSError as error:
                log.warning("the renewed certificate cannot be used", file=self._files[0], error=str(error))
            else:
                log.info("certificate renewed", file=self._files[0])
        return self._context

    def _look(self) -> list[tuple[int, int]]:
        try:
            return [(found.st_mtime_ns, found.st_ino) for found in map(os.stat, self._files)]
        except OSError:
            return []


class _Connection:
    """Ends a connection that is there for nothing. Hypercorn's own idle timeout knows no HTTP/2 of prior knowledge."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.scope = trio.CancelScope(deadline=trio.current_time() + IDLE_S + LINGER_S)
        self._requests = 0
        self._is_gone = False

    @property
    def is_idle(self) -> bool:
        """Whether it has no request, and is not being ended."""
        return not self._requests and not self.scope.cancel_called

    def gone(self) -> None:
        """Note that nothing more will come in. Hypercorn would wait for its idle timeout then."""
        self._is_gone = True
        self._perhaps_end()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold the connection for a request."""
        self._requests += 1
        self.scope.deadline = math.inf
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self.scope.deadline = trio.current_time() + IDLE_S + LINGER_S
            self._perhaps_end()

    def _perhaps_end(self) -> None:
        if self._is_gone and not self._requests:
            self.scope.cancel()


def _make_room(crowd: Iterable[_Connection]) -> bool:
    """End the connection that has been without a request the longest. Returns: False when there is none."""
    idle = [each for each in crowd if each.is_idle]
    if not idle:
        return False
    min(idle, key=lambda each: each.scope.deadline).scope.cancel()
    return True


async def _converse(
    stream: trio.SocketStream,
    context: ssl.SSLContext | None,
    app: ASGIWrapper,
    config: Config,
    worker: WorkerContext,
    connection: _Connection,
    rates: PortRates,
) -> None:
    wire: trio.abc.Stream = _Wire(stream, connection.gone, rates)
    if context is not None:
        wire = trio.SSLStream(wire, context, server_side=True, https_compatible=True)
    with connection.scope:
        try:
            await TCPServer(app, config, worker, ConnectionState({"connection": connection}), wire)  # type: ignore[arg-type]
        except Exception:
            log.exception("a connection failed")
        finally:
            await trio.aclose_forcefully(stream)


class _Wire(trio.abc.HalfCloseableStream):
    """A socket whose waits have an end."""

    def __init__(self, stream: trio.SocketStream, on_end: Callable[[], None], rates: PortRates) -> None:
        self._stream = stream
        self._rates = rates
        self._on_end = on_end
        self._ended = trio.Event()
        self._closing = False
        self.socket = stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._closing:
            raise trio.ClosedResourceError("what comes in is thrown away now")
        try:
            octets = bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end()
            raise
        if not octets:
            self._end()
        wait_s = self._rates.octets_wait_s(len(octets), trio.current_time())
        if wait_s:
            await trio.sleep(wait_s)
        return octets

    def _end(self) -> None:
        self._ended.set()
        self._on_end()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(SEND_S) as patience:
            await self._stream.send_all(data)
        if patience.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the peer does not read")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close so that what was said still arrives."""
        if self._closing:
            return
        self._closing = True
        try:
            with trio.move_on_after(LINGER_S):
                await self._stream.send_eof()
                await self._drain()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _drain(self) -> None:
        try:
            while await self._stream.receive_some(MAX_HEAD_OCTETS):
                pass
        except trio.BusyResourceError:
            await self._ended.wait()  # the connection's own reader is at it still


class _Guard:
    """An application behind bounds: how long a body is and takes, how long an answer takes."""

    def __init__(self, app: Application, max_body_octets: int, rates: PortRates, unwanted: int) -> None:
        self._app = app
        self._max_body_octets = max_body_octets
        self._rates = rates
        self._unwanted = unwanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        connection: _Connection = scope["state"].pop("connection")
        with connection.request(), trio.move_on_after(REQUEST_S) as patience:
            async with trio.open_nursery() as nursery:
                exchange = _Exchange(receive, send, self._max_body_octets, nursery)
                try:
                    if await self._may_ask(connection.source):
                        await self._app(scope, exchange.receive, exchange.send)
                    else:
                        await exchange.refuse(429)
                except BodyTooLarge:
                    await exchange.refuse(413)
                except BodyTooSlow:
                    await exchange.refuse(408)
                if not await exchange.is_over():
                    connection.scope.cancel()
                self._rates.answered(connection.source, exchange.status < self._unwanted, trio.current_time())
                nursery.cancel_scope.cancel()
        if patience.cancelled_caught:
            log.warning("a request took too long and was cut off", path=_plain(scope["path"]), request_s=REQUEST_S)
            connection.scope.cancel()

    async def _may_ask(self, source: str) -> bool:
        """Wait until this address may ask again. Returns: False when that would be too long."""
        wait_s = self._rates.wait_s(source, trio.current_time())
        if wait_s > LONGEST_S:
            return False
        await trio.sleep(wait_s)
        return True


class _Exchange:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send, max_body_octets: int, nursery: trio.Nursery) -> None:
        self._receive = receive
        self._send = send
        self._left = max_body_octets
        self._nursery = nursery
        self._read = trio.Event()  # the body is whole, or will never be
        self._gone = trio.Event()  # the peer, or the request because it was answered
        self.status = 599  # none yet
        self._is_answered = False
        self._is_discarding = False

    async def receive(self) -> Message:
        if self._is_discarding or self._gone.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        if self._read.is_set():
            return self._noted(await self._receive())
        with trio.move_on_after(BODY_S) as patience:
            message = self._noted(await self._receive())
        if patience.cancelled_caught:
            raise BodyTooSlow
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLarge
        return message

    def _noted(self, message: Message) -> Message:
        if message["type"] == "http.disconnect":
            self._gone.set()
        if not message.get("more_body", False):
            self._read.set()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_answered = True
            self.status = message["status"]
            if not self._read.is_set():
                self._is_discarding = True
                self._nursery.start_soon(self._discard)
        await self._send(message)

    async def refuse(self, status: int) -> None:
        """Answer for an application that let a body's error through."""
        if self._is_answered:
            return
        await self.send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await self.send({"type": "http.response.body", "body": b""})

    async def is_over(self) -> bool:
        """Whether nothing of the body is left in hypercorn's queue, where its reader would wait for ever."""
        with trio.move_on_after(LINGER_S):
            await self._read.wait()
        return self._read.is_set()

    async def _discard(self) -> None:
        while not self._gone.is_set():
            self._noted(await self._receive())


def _plain(path: str) -> str:
    return path[:100].encode("ascii", "backslashreplace").decode()


def _config() -> Config:
    config = Config()
    config.logger_class = _Log  # type: ignore[assignment]
    config.h11_max_incomplete_size = MAX_HEAD_OCTETS
    config.h2_max_concurrent_streams = MAX_STREAMS
    config.h2_max_header_list_size = MAX_HEAD_OCTETS
    config.keep_alive_timeout = IDLE_S
    config.ssl_handshake_timeout = HANDSHAKE_S
    config.include_server_header = False
    return config


class _Log:
    """Hypercorn's log, as ours. No line for each request: what was changed is in the audit."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        """Say nothing."""

    def __getattr__(self, level: str) -> Callable[..., Awaitable[None]]:
        return partial(self._say, level)

    async def _say(self, level: str, message: str, *arguments: Any, **_: Any) -> None:
        getattr(log, level)(message % arguments if arguments else message)
