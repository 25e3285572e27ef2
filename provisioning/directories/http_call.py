"""One HTTP request to a registry, bounded in time and size. Blocking: it runs in the publisher's worker thread.

- TLS is verified, against the directory's ``ca_file`` or the system's authorities; 1.2 at least.
- One connection for each directory, kept between calls.
- No redirect is followed: it would carry the credentials to wherever an answer says.
- Proxies of the environment are not used: where the credentials go is what the configuration says, and nothing else.
- The time-out is of the whole call. urllib3 bounds each wait for octets, which a server that sends one octet a second
  never exceeds; so a watchdog shuts the connection down when the time is over. (Finding the host's address is the
  resolver's, with its own time-out.)
- An answer longer than ``MAX_ANSWER_OCTETS`` is not read to its end.

urllib3 was chosen over the standard library's client for its pool, which knows a connection that the server has closed
meanwhile, and over requests, which is urllib3 with redirects, proxies and cookies on by default.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, ClassVar, Final

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, NewConnectionError
from urllib3.util import Timeout, Url, parse_url

from provisioning.directories.replies import clean
from provisioning.directories.speaking import retry_after_s

MAX_ANSWER_OCTETS: Final = 5_000_000
"""1,000 listings with every field at its longest are 1.5 MB as XML."""

_PIECE_OCTETS: Final = 65_536
_BARK_S: Final = 0.1
_USER_AGENT: Final = "smshub"


class Reply(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        status: HTTP's.
        content_type: without parameters, lower case.
        after_s: what Retry-After asks for, 0 when nothing does.
        body: all of it.
    """

    status: int
    content_type: str
    after_s: float
    body: bytes


class CallFailed(OSError):
    """A registry could not be spoken to: no connection, no valid certificate, no answer in time, a broken answer."""


class HttpCall:
    """Requests to one address, one at a time.

    Args:
        url: what all paths are below; a query in it goes with each request.
        ca_file: certificate authorities to trust, PEM; empty for the system's.
        timeout_s: of a whole call.

    Raises: CallFailed: the url is none.
    """

    def __init__(self, url: str, *, ca_file: str = "", timeout_s: float = 30.0) -> None:
        try:
            self._url = parse_url(url)
        except LocationParseError as error:
            raise CallFailed(f"{url!r} is no address: {clean(str(error))}") from error
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._wires: list[socket.socket] = []

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a request and read the answer.

        Args:
            path: below the url, begins with ``/`` or is empty.
            body, headers: of the request.

        Raises: CallFailed.
        """
        watchdog = _Watchdog(self._timeout_s, self._wires)
        try:
            with watchdog:
                return self._post(path, body, headers, watchdog)
        except (HTTPError, OSError) as error:
            # The next call reads ca_file anew: an operator who renewed it need not know that we were here before.
            self.close()
            # Whose time is over first, the watchdog's or that of one wait, is chance: both mean the same.
            if watchdog.has_barked or _is_late(error):
                raise CallFailed(f"no answer from {self._host} within {self._timeout_s:g} s") from error
            if isinstance(error, CallFailed):
                raise
            raise CallFailed(f"{self._host}: {_words(error)}") from error

    def close(self) -> None:
        """Let go of the connection. A later call makes another."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
            self._wires.clear()

    @property
    def _host(self) -> str:
        return self._url.netloc or ""

    def _post(self, path: str, body: bytes, headers: Mapping[str, str], watchdog: _Watchdog) -> Reply:
        if self._pool is None:
            self._pool = _open_pool(self._url, self._ca_file, self._wires)
        query = f"?{self._url.query}" if self._url.query else ""
        response = self._pool.urlopen(
            "POST",
            (f"{(self._url.path or '').rstrip('/')}{path}" or "/") + query,
            body=body,
            headers={"User-Agent": _USER_AGENT, **headers},
            redirect=False,
            retries=False,
            timeout=Timeout(total=self._timeout_s),
            preload_content=False,
            decode_content=False,
        )
        whole = False
        try:
            octets = _read(response, watchdog)
            whole = not watchdog.has_barked
        finally:
            # A connection with half an answer in it must not be used again.
            response.release_conn() if whole else response.close()
        if not whole:
            raise CallFailed("too late")
        return Reply(
            response.status,
            response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            retry_after_s(response.headers.get("Retry-After", ""), time.time()),
            octets,
        )


class _Watched:
    """What both kinds of connection are here: they show their socket, which an answer may outlive in the connection."""

    wires: ClassVar[list[socket.socket]]
    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.wires[:] = [self.sock]


class _WatchedHttp(_Watched, HTTPConnection):
    """In clear: on this machine only (``carrier_directory.read_url``)."""


class _WatchedHttps(_Watched, HTTPSConnection):
    """With TLS."""


def _open_pool(url: Url, ca_file: str, wires: list[socket.socket]) -> urllib3.HTTPConnectionPool:
    """Make the pool of one connection. Raises: OSError, which says which file is wrong."""
    host = url.host or ""
    if url.scheme != "https":
        plain = urllib3.HTTPConnectionPool(host, url.port or 80, maxsize=1)
        plain.ConnectionCls = type("_WatchedHttp", (_WatchedHttp,), {"wires": wires})
        return plain
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise CallFailed(f"ca_file {ca_file}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pool = urllib3.HTTPSConnectionPool(host, url.port or 443, maxsize=1, ssl_context=context)
    pool.ConnectionCls = type("_WatchedHttps", (_WatchedHttps,), {"wires": wires})
    return pool


def _read(response: urllib3.BaseHTTPResponse, watchdog: _Watchdog) -> bytes:
    pieces = bytearray()
    for piece in response.stream(_PIECE_OCTETS, decode_content=False):
        pieces += piece
        if len(pieces) > MAX_ANSWER_OCTETS:
            raise CallFailed(f"its answer is longer than {MAX_ANSWER_OCTETS:,} octets")
        if watchdog.has_barked:
            break
    return bytes(pieces)


def _is_late(error: Exception) -> bool:
    # A refused connection is one of urllib3's time-outs too, for compatibility.
    late = isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError))
    return late and not isinstance(error, NewConnectionError)


def _words(error: Exception) -> str:
    """What went wrong, without urllib3's wrapping: it names objects and their addresses."""
    while isinstance(error, HTTPError) and isinstance(error.__cause__ or error.__context__, Exception):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    text = clean(str(getattr(error, "strerror", None) or error or type(error).__name__))
    if isinstance(error, (HTTPException, ValueError)) and not isinstance(error, OSError):
        return clean(f"what it answers is no HTTP: {text}")
    return text


class _Watchdog:
    """Shuts a connection down when the time is over, wherever its reader waits.

    It goes on doing so until the call has ended: a socket may be in the making when the time is over.
    """

    def __init__(self, timeout_s: float, wires: list[socket.socket]) -> None:
        self.has_barked = False
        self._timeout_s = timeout_s
        self._wires = wires
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sit, name="registry call watchdog", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sit(self) -> None:
        if self._over.wait(self._timeout_s):
            return
        self.has_barked = True
        while not self._over.wait(_BARK_S):
            self._bark()

    def _bark(self) -> None:
        for wire in self._wires:
            with contextlib.suppress(OSError):  # closed meanwhile
                # Not SSLSocket.shutdown: it takes the TLS state away under the reader, who would read cipher text.
                socket.socket.shutdown(wire, socket.SHUT_RDWR)
