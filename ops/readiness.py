"""Telling the service manager how we are: systemd's sd_notify protocol, one datagram a word. No dependency.

``READY=1`` once everything listens; ``RELOADING=1`` with the time, and ``READY=1`` again, around a reload (a unit of
``Type=notify-reload`` waits for it); ``STOPPING=1`` when told to stop; ``WATCHDOG=1`` twice as often as the manager
wants to hear it. The watchdog is fed by the loop itself: one that hangs is killed and started again, which loses no
message. Without a manager (no ``NOTIFY_SOCKET``) all of it costs nothing.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import structlog
import trio

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"
MAX_STATUS_CHARACTERS: Final = 200

log = structlog.get_logger("ops.readiness")


def reloading(monotonic_us: int) -> str:
    """The word that a reload begins, with CLOCK_MONOTONIC in microseconds."""
    return f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}"


def status(words: str) -> str:
    """A line for people, as ``systemctl status`` shows it."""
    return "STATUS=" + words.replace("\n", " ")[:MAX_STATUS_CHARACTERS]


def socket_address(environ: Mapping[str, str]) -> str | bytes | None:
    """Where the manager listens; None when there is none, or when it is no address of a Unix socket."""
    name = environ.get("NOTIFY_SOCKET", "")
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])  # an abstract one
    return name if name.startswith("/") else None


def watchdog_s(environ: Mapping[str, str], process_id: int) -> float:
    """How often the manager is to hear from us, half of what it allows; 0 when it does not want to."""
    words = environ.get("WATCHDOG_USEC", "")
    if not (words.isascii() and words.isdigit()) or environ.get("WATCHDOG_PID", str(process_id)) != str(process_id):
        return 0.0
    return int(words) / 2e6


class Supervisor:
    """The service manager that started us, if one did.

    Args:
        environ: the environment that it gave us.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = socket_address(environ)
        self._every_s = watchdog_s(environ, os.getpid())

    def tell(self, *words: str) -> None:
        """Say something. Never blocks; what cannot be said is logged, and changes nothing."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto("\n".join(words).encode(), self._address)
        except OSError as error:
            log.warning("the service manager could not be told", error=error.strerror or type(error).__name__)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that a reload runs for as long as the body does."""
        self.tell(reloading(time.monotonic_ns() // 1000))
        try:
            yield
        finally:
            self.tell(READY)

    async def feed_watchdog(self) -> None:
        """Say that we live, until cancelled; returns at once when nobody wants to hear it."""
        while self._address is not None and self._every_s:
            self.tell(ALIVE)
            await trio.sleep(self._every_s)


NOBODY: Final = Supervisor({})
"""No service manager."""
