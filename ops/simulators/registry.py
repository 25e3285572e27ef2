"""A registry of numbers to publish into when no real one is there: REST and SOAP on one port (H5, H14).

It keeps what it was told in a file, knows owners, decides at once or slowly, and misbehaves on demand. The book is
``registry_book``, the doors are ``registry_rest`` and ``registry_soap``; docs/reference/simulators.md tells how to use
it.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from starlette.applications import Starlette

from ops import web
from ops.simulators.registry_book import Book
from ops.simulators.registry_core import RegistryCore
from ops.simulators.registry_rest import RestDoor
from ops.simulators.registry_script import run_script
from ops.simulators.registry_settings import RegistrySettings
from ops.simulators.registry_soap import SoapDoor
from ops.simulators.registry_state import StateFile
from ops.simulators.smsc_errors import BadScript

MAX_BODY_OCTETS = 5_000_000
"""Of a request: 1,000 listings with every field at its longest, as XML."""


class SimulatedRegistry(RegistryCore):
    """A registry that is listening.

    Attributes:
        port: where.
        url: ``https://host:port``; REST is below ``/v1``, SOAP at ``/soap``.
    """

    port: int = 0
    url: str = ""


def _now_us() -> int:
    return time.time_ns() // 1000


@asynccontextmanager
async def open_simulated_registry(settings: RegistrySettings) -> AsyncIterator[SimulatedRegistry]:
    """Run a simulated registry for as long as the body lasts.

    What the body raises comes out as it is.

    Args:
        settings: see ``RegistrySettings``.

    Raises: OSError: the port cannot be listened on, a file cannot be read; BadState: the state file is none.
    """
    failure: Exception | None = None
    book = Book()
    with contextlib.ExitStack() as stack:
        state = None
        if settings.state is not None:
            state = stack.enter_context(StateFile(settings.state, book))
        registry = SimulatedRegistry(settings.users, settings.behaviour, book, state, _now_us)
        app = Starlette(routes=[*RestDoor(registry).routes(), *SoapDoor(registry).routes()])
        async with trio.open_nursery() as nursery:
            serve = partial(
                web.serve,
                app,
                settings.host,
                settings.port,
                tls_cert_file=settings.tls_cert_file,
                tls_key_file=settings.tls_key_file,
                max_body_octets=MAX_BODY_OCTETS,
                unwanted=1000,  # no status: a registry may be told to refuse all that it is asked
                connections_per_s=0,
            )
            try:
                registry.port = await nursery.start(serve)
                registry.url = f"{'https' if settings.tls_cert_file else 'http'}://{settings.host}:{registry.port}"
                yield registry
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def simulate_registry(
    settings: RegistrySettings,
    *,
    script: Path | None = None,
    write: Callable[[str], None],
    task_status: trio.TaskStatus[SimulatedRegistry] = trio.TASK_STATUS_IGNORED,
) -> bool:
    """Run a registry: by script, or until SIGINT or SIGTERM. For the main thread.

    Args:
        settings: see ``RegistrySettings``.
        script: a file of steps (see ``registry_script``); run to its end.
        write: shows one line.
        task_status: started when it listens.

    Returns: False when a script failed, or cannot be run.
    Raises: OSError, BadState.
    """
    lines = (await trio.Path(script).read_text("utf-8")).splitlines() if script is not None else None
    async with open_simulated_registry(settings) as registry:
        task_status.started(registry)
        kept = f", {len(registry.book.entries)} numbers are kept" if registry.book.entries else ""
        write(f"registry at {registry.url}: REST below /v1, SOAP at /soap{kept}")
        if lines is None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                await anext(signals)
            return True
        try:
            return await run_script(registry, lines, write)
        except BadScript as bad:
            for number, why in bad.errors:
                write(f"line {number}: {why}")
            return False
