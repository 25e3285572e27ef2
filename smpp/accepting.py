"""Taking connections from a listening socket: all that wait, in one turn of the loop.

``trio.serve_listeners`` takes one connection a turn, and makes a task for it before anybody can say whether it is
wanted. Beside busy sessions there are a few hundred turns a second: a flood of connections fills the system's backlog
then, and who is honest waits behind it. Here each turn takes up to ``ACCEPTS_A_TURN``, and ``take`` says of each
whether it is worth a task: one that is not costs some ten microseconds.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, NoReturn

import trio

ACCEPTS_A_TURN: Final = 64
TURN_S: Final = 0.002  # each call of the system lets another thread go first: a turn must not become long
REFUSAL_S: Final = 0.001  # rest for each that was not wanted: a flood has a tenth of a core for its refusals
NO_ROOM_S: Final = 0.1  # between two tries when the system has no descriptors or memory left

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_OURS: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP})
_RESET: Final = struct.pack("ii", 1, 0)


async def accept_all(
    listener: trio.SocketListener,
    take: Callable[[socket.socket, str], bool],
    no_room: Callable[[OSError], None],
) -> NoReturn:
    """Give each connection to ``take`` until cancelled; then the listener is closed.

    Args:
        listener: of a port.
        take: is given a connected socket, which it owns, and the peer's address. Returns: whether it was wanted.
        no_room: is told when the system has no descriptors or memory for another one; tried again until it has.
    """
    # A socket of the system's own kind on the same port: trio's takes one connection a turn.
    async with listener:
        with socket.socket(fileno=os.dup(listener.socket.fileno())) as plug:
            plug.setblocking(False)
            while True:
                await trio.lowlevel.wait_readable(plug)
                try:
                    unwanted = _accept_waiting(plug, take)
                except OSError as error:
                    if error.errno not in _NO_ROOM:
                        raise
                    no_room(error)
                    await trio.sleep(NO_ROOM_S)
                else:
                    if unwanted:
                        await trio.sleep(unwanted * REFUSAL_S)


def _accept_waiting(plug: socket.socket, take: Callable[[socket.socket, str], bool]) -> int:
    """Take what waits. Returns: how many were not wanted."""
    unwanted, until = 0, time.perf_counter() + TURN_S
    for _ in range(ACCEPTS_A_TURN):
        try:
            found, name = plug.accept()
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno in _NO_ROOM or error.errno in _OURS:
                raise
            continue  # it was gone before it was taken, or its network is (accept(2))
        unwanted += not take(found, str(name[0]))
        if time.perf_counter() > until:
            break
    return unwanted


def reset(found: socket.socket) -> None:
    """Close a connection at once and for good: thousands of them must not wait for their last minute in the kernel."""
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:  # gone by itself
        pass
    finally:
        found.close()
