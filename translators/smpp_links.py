"""Links: the hub as a carrier's ESME. One endpoint for each link, over all its binds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from hub.endpoint import Road
from smpp.client import Target, keep_bound
from smpp.constants import VERSION_3_4
from smpp.credentials import BindType, Credentials
from smpp.events import Settings
from smpp.observer import NOBODY, Observer
from smpp.pdu import SubmitSm
from smpp.session import Options, Session
from smpp.states import State
from translators.smpp_endpoint import SmppEndpoint
from translators.smpp_messages import Dialect

DAY_US = 86_400_000_000


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one link is told.

    Attributes:
        name: the endpoint will be ``link:<name>``.
        host, port: the SMSC.
        system_id, password, system_type: credentials.
        interface_version: what we say we speak, e.g. 0x34.
        bind_types: one bind for each: ``(TRX,)``, ``(TX, RX)``, or several of a kind.
        dialect: how the carrier writes SMPP.
        window: unanswered requests on each bind, at most.
        per_s: messages a second over all binds, 0 for no limit.
        gap_us: least time between two parts of one lane (H30).
        source_gap_us: least time between two parts from one source number, 0 for none.
        validity_us, max_attempts: see ``hub.endpoint.Endpoint``.
        enquire_link_s, response_s: seconds.
        tls: an ``ssl.SSLContext``, or None.
        server_hostname: the name in the carrier's certificate, when it is not ``host``.
        inbox: requests of the carrier waiting for the journal.
    """

    name: str
    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = VERSION_3_4
    bind_types: tuple[BindType, ...] = (BindType.TRX,)
    dialect: Dialect = Dialect()
    window: int = 100
    per_s: float = 0.0
    gap_us: int = 100_000
    source_gap_us: int = 0
    validity_us: int = DAY_US
    max_attempts: int = 12
    enquire_link_s: float = 30.0
    response_s: float = 30.0
    tls: Any = None
    server_hostname: str = ""
    inbox: int = 2000

    def __repr__(self) -> str:
        """Show which link it is, and no secret."""
        return f"<LinkSettings {self.name!r} {self.system_id}@{self.host}:{self.port}>"


class SmppLink(SmppEndpoint):
    """One link.

    Args:
        settings: see ``LinkSettings``.
        road: the hub.
        clock: now in microseconds.
        observer: counts session events.
    """

    def __init__(
        self, settings: LinkSettings, road: Road, clock: Callable[[], int], observer: Observer = NOBODY
    ) -> None:
        super().__init__(
            f"link:{settings.name}",
            road,
            settings.dialect,
            SubmitSm,
            clock=clock,
            gap_us=settings.gap_us,
            source_gap_us=settings.source_gap_us,
            validity_us=settings.validity_us,
            max_attempts=settings.max_attempts,
            per_s=settings.per_s,
        )
        self.settings = settings
        self._observer = observer

    async def run(self, shutdown: trio.Event | None = None) -> None:
        """Stay bound until cancelled, or until ``shutdown`` is set: then unbind in peace and return."""
        s = self.settings
        target = Target(
            host=s.host,
            port=s.port,
            credentials=Credentials(
                system_id=s.system_id,
                password=s.password,
                system_type=s.system_type,
                interface_version=s.interface_version,
            ),
            ssl_context=s.tls,
            server_hostname=s.server_hostname,
            settings=Settings(window=s.window, enquire_link_s=s.enquire_link_s, response_s=s.response_s),
            options=Options(inbox=s.inbox),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.do_chores)
            await keep_bound(
                target,
                self._work,
                name=s.name,
                bind_types=s.bind_types,
                observer=self._observer,
                shutdown=shutdown,
            )
            nursery.cancel_scope.cancel()

    async def _work(self, session: Session) -> None:
        await self.serve(session, carries=session.state is not State.BOUND_RX)
