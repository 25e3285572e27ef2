"""How connections reach the SMSC's side: the sockets that it listens on, and who is at the other end.

**Several processes on one port.** With ``reuse_port`` each of them has a listening socket of its own on the same port,
and Linux gives a new connection to one of them, by a hash of both addresses: evenly over many ESMEs, not over three.
Only processes of one user may share a port. What a process had not accepted when it ended is cut; ESMEs call again.

**Behind a balancer** (``smpp.proxy_protocol``) each connection begins with a header that says for whom it is. The
header decides what allow-lists and lock-outs go by, so it is believed only from the networks that are given, and
required from there: nothing is ever guessed.

**What strangers and checks may write into the log**: ``Seldom`` says a thing once a minute for each address, and how
often it went unsaid.
"""

from __future__ import annotations

import errno
import socket
from collections import OrderedDict
from typing import Final

import trio

from smpp.proxy_protocol import BadHeader, More, Own, Proxied, read_header

BACKLOG: Final = 0xFFFF  # the system cuts it to net.core.somaxconn
SAID_AGAIN_S: Final = 60.0
ADDRESSES: Final = 1000  # that are remembered to have been told of


async def open_listeners(host: str | None, port: int, *, reuse_port: bool = False) -> list[trio.SocketListener]:
    """Listen on a port.

    Args:
        host: a name or address, None for everywhere.
        port: 0 for any free one.
        reuse_port: share it with other processes of this user that say so too.

    Raises: OSError: the port is taken, the host is none, or the system knows no sharing.
    """
    if not reuse_port:
        return await trio.open_tcp_listeners(port, host=host)
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError(errno.ENOTSUP, "this system cannot share a port: set smpp.reuse_port = false")
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[trio.SocketListener] = []
    try:
        for family, kind, protocol, _, address in found:
            listeners += await _shared(family, kind, protocol, address)
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    if not listeners:
        raise OSError(errno.EAFNOSUPPORT, "the system has none of the address families of this host")
    return listeners


async def _shared(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> list[trio.SocketListener]:
    """A socket that listens beside others; none when the system does not have its family."""
    try:
        made = trio.socket.socket(family, kind, protocol)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return []
        raise
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await made.bind(address)
        made.listen(BACKLOG)
        return [trio.SocketListener(made)]
    except BaseException:
        made.close()
        raise


async def receive_header(stream: trio.abc.Stream) -> Proxied | Own | BadHeader | None:
    """Read a header of the PROXY protocol, and not an octet of what stands behind it.

    Returns: what it says; None when the connection ended before its first octet, as that of a check does.
    Cancellation: part of the header may be gone; close the stream.
    """
    data = b""
    while True:
        found = read_header(data)
        if not isinstance(found, More):
            return found
        try:
            piece = await stream.receive_some(found.octets)
        except trio.BrokenResourceError:
            piece = b""
        if not piece:
            return BadHeader("ended in the midst of it") if data else None
        data += piece


class Seldom:
    """What may be said again of which address. Time is an argument, memory is bounded.

    Args:
        every_s: how long a thing is not said again.
    """

    def __init__(self, every_s: float = SAID_AGAIN_S) -> None:
        self._every_s = every_s
        self._said: OrderedDict[str, list[float]] = OrderedDict()  # when, and how often it went unsaid since

    def unsaid(self, address: str, now: float) -> int | None:
        """Whether to say it now: how often it went unsaid since the last time, or None when it must not be said."""
        before = self._said.get(address)
        if before is not None and now < before[0] + self._every_s:
            before[1] += 1
            return None
        self._said[address] = [now, 0]
        self._said.move_to_end(address)
        if len(self._said) > ADDRESSES:
            self._said.popitem(last=False)
        return int(before[1]) if before is not None else 0
