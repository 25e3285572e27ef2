"""Links: the hub as a carrier's ESME. One endpoint for each link, over all its binds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
import trio

from hub.endpoint import Road
from smpp.client import Target, keep_bound
from smpp.constants import VERSION_3_4
from smpp.credentials import BindType, Credentials
from smpp.events import Settings
from smpp.observer import NOBODY, Observer
from smpp.outbind import Terms, answer_outbinds
from smpp.pdu import SubmitSm
from smpp.session import Options, Session
from smpp.states import State
from translators.smpp_endpoint import SmppEndpoint
from translators.smpp_messages import Dialect

DAY_US = 86_400_000_000
LISTEN_AGAIN_S = 30.0  # a port that is taken is so by an operator's mistake: it is worth a line in the log each time

log = structlog.get_logger("translators.smpp")


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one link is told.

    Attributes:
        name: the endpoint will be ``link:<name>``.
        host, port: the SMSC.
        system_id, password, system_type: credentials.
        interface_version: what we say we speak, e.g. 0x34.
        bind_types: the kinds of binds: ``(TRX,)`` or ``(TX, RX)``.
        binds: how many of each kind; each comes and goes by itself.
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
        outbind_port: where the SMSC may call and say outbind, 0 for nowhere.
        outbind_password: what it must say then; when empty, it must call from an address of ``host``.
        outbind_tls: an ``ssl.SSLContext`` of a server, or None. Where the link has TLS, no port is opened without.
    """

    name: str
    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = VERSION_3_4
    bind_types: tuple[BindType, ...] = (BindType.TRX,)
    binds: int = 1
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
    outbind_port: int = 0
    outbind_password: str = ""
    outbind_tls: Any = None

    def __repr__(self) -> str:
        """Show which link it is, and no secret."""
        return f"<LinkSettings {self.name!r} {self.system_id}@{self.host}:{self.port}>"


def _credentials(s: LinkSettings) -> Credentials:
    return Credentials(
        system_id=s.system_id,
        password=s.password,
        system_type=s.system_type,
        interface_version=s.interface_version,
    )


def _session_settings(s: LinkSettings) -> Settings:
    return Settings(window=s.window, enquire_link_s=s.enquire_link_s, response_s=s.response_s)


def _session_options(s: LinkSettings) -> Options:
    return Options(inbox=s.inbox)


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

    def adopt(self, settings: LinkSettings) -> None:
        """Keep to other settings of the same link from now on; sessions stay.

        Whom it binds to, as what and how, and what it shows and trusts in TLS, counts from the next session on. The hub
        and the link's groups are to be told.
        """
        self.settings = s = settings
        self.keep_to(
            s.dialect,
            gap_us=s.gap_us,
            source_gap_us=s.source_gap_us,
            validity_us=s.validity_us,
            max_attempts=s.max_attempts,
            per_s=s.per_s,
        )
        for session in self.sessions:
            session.configure(_session_settings(s), _session_options(s))

    async def run(self, shutdown: trio.Event | None = None) -> None:
        """Stay bound until cancelled, or until ``shutdown`` is set: then unbind in peace and return."""
        s = self.settings
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.do_chores)
            async with trio.open_nursery() as binds:
                if s.outbind_port:
                    terms = Terms(
                        credentials=_credentials(s),
                        password=s.outbind_password,
                        host="" if s.outbind_password else s.host,
                        settings=_session_settings(s),
                        options=_session_options(s),
                    )
                    stop = trio.Event() if shutdown is None else shutdown
                    binds.start_soon(self._answer_outbinds, terms, stop)
                await keep_bound(
                    self._target,
                    self._work,
                    name=s.name,
                    bind_types=s.bind_types * s.binds,
                    observer=self._observer,
                    shutdown=shutdown,
                )
            await self.settle_unsent()
            nursery.cancel_scope.cancel()

    def _target(self) -> Target:
        """What the next session binds to."""
        s = self.settings
        return Target(
            host=s.host,
            port=s.port,
            credentials=_credentials(s),
            ssl_context=s.tls,
            server_hostname=s.server_hostname,
            settings=_session_settings(s),
            options=_session_options(s),
        )

    async def _answer_outbinds(self, terms: Terms, shutdown: trio.Event) -> None:
        """Listen for the SMSC's calls. A port that cannot be had costs only the calls, and is tried for again."""
        s = self.settings
        if s.tls is not None and s.outbind_tls is None:
            log.error("no port for outbind: the link has TLS, but no certificate to listen with", endpoint=self.name)
            return
        while not shutdown.is_set():
            try:
                await answer_outbinds(
                    terms,
                    self._work,
                    port=s.outbind_port,
                    name=s.name,
                    ssl_context=s.outbind_tls,
                    observer=self._observer,
                    shutdown=shutdown,
                )
            except OSError as error:
                log.error("no port for outbind", endpoint=self.name, port=s.outbind_port, error=error.strerror)
                with trio.move_on_after(LISTEN_AGAIN_S):
                    await shutdown.wait()

    async def _work(self, session: Session) -> None:
        await self.serve(session, carries=session.state is not State.BOUND_RX)
