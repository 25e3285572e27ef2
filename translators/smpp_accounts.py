"""Accounts: somebody else's ESME binds to the hub. One endpoint for each account; one port for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import trio

from hub.endpoint import Road
from hub.model import Arrival, ReceiptWanted
from smpp import server
from smpp.constants import CommandStatus
from smpp.events import Settings
from smpp.observer import NOBODY, Observer
from smpp.pdu import DeliverSm
from smpp.server import BindRequest, Grant, Limits
from smpp.session import Options, Session
from smpp.states import State
from translators.pace import Pace
from translators.smpp_endpoint import SmppEndpoint
from translators.smpp_messages import BadMessage, Dialect, MessagePdu

DAY_US = 86_400_000_000


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one account is granted.

    Attributes:
        name: the endpoint will be ``account:<name>``.
        system_id: what its ESME binds as.
        password_hash: argon2.
        networks: where it may bind from (CIDR), empty for anywhere.
        bind_states: what it may bind as, empty for anything.
        max_binds: sessions at once, 0 for no bound.
        dialect: how it writes SMPP.
        window: unanswered deliver_sm on each bind, at most.
        inbox: its requests waiting for the journal, for each bind.
        in_per_s: messages a second that it may submit, 0 for no limit.
        sources: the addresses that it may send from, or their beginnings ended by ``*``; empty for any but
            call centres' numbers (``hub.routing.may_send_as``).
        receipts: whether it gets the receipts it asks for (H31).
        gap_us: least time between two parts of one lane towards it (H30).
        validity_us, max_attempts: see ``hub.endpoint.Endpoint``; receipts wait that long for it to bind.
        enquire_link_s, response_s: seconds.
    """

    name: str
    system_id: str
    password_hash: str
    networks: tuple[str, ...] = ()
    bind_states: tuple[State, ...] = ()
    max_binds: int = 0
    dialect: Dialect = Dialect(ask_receipts="never")
    window: int = 100
    inbox: int = 2000
    in_per_s: float = 0.0
    sources: tuple[str, ...] = ()
    receipts: bool = True
    gap_us: int = 100_000
    validity_us: int = 3 * DAY_US
    max_attempts: int = 20
    enquire_link_s: float = 30.0
    response_s: float = 30.0

    def __repr__(self) -> str:
        """Show which account it is, and no secret."""
        return f"<AccountSettings {self.name!r} {self.system_id!r}>"


class SmppAccount(SmppEndpoint):
    """One account.

    Args:
        settings: see ``AccountSettings``.
        road: the hub.
        clock: now in microseconds.
    """

    def __init__(self, settings: AccountSettings, road: Road, clock: Callable[[], int]) -> None:
        super().__init__(
            f"account:{settings.name}",
            road,
            settings.dialect,
            DeliverSm,
            clock=clock,
            gap_us=settings.gap_us,
            validity_us=settings.validity_us,
            max_attempts=settings.max_attempts,
        )
        self.settings = settings
        self._intake_pace = Pace(settings.in_per_s)
        self._restricted = bool(settings.sources)
        self._sources = frozenset(source for source in settings.sources if not source.endswith("*"))
        self._beginnings = tuple(source[:-1] for source in settings.sources if source.endswith("*"))

    def grant(self) -> Grant:
        """What its sessions may have."""
        s = self.settings
        return Grant(
            account=s.name,
            subject=self,
            networks=s.networks,
            max_binds=s.max_binds,
            settings=Settings(window=s.window, enquire_link_s=s.enquire_link_s, response_s=s.response_s),
            options=Options(inbox=s.inbox),
        )

    def readmit(self, settings: AccountSettings | None) -> None:
        """Measure the next binds by other settings: password, networks, how and how often. What is bound stays bound.

        Args:
            settings: the account as it is provisioned now; None when it is not any more: nobody may bind.
        """
        if settings is None:
            self.settings = msgspec.structs.replace(self.settings, password_hash="")
            return
        self.settings = msgspec.structs.replace(
            self.settings,
            password_hash=settings.password_hash,
            networks=settings.networks,
            max_binds=settings.max_binds,
            bind_states=settings.bind_states,
        )

    def _permit(self, pdu: MessagePdu, arrival: Arrival, now_us: int) -> None:
        if self._restricted and arrival.receipt is None and not self._may_send_from(arrival.source):
            raise BadMessage(CommandStatus.ESME_RINVSRCADR)
        pace = self._intake_pace
        if pace.per_s:
            if not pace.allowance(now_us):
                raise BadMessage(CommandStatus.ESME_RTHROTTLED)
            pace.spend(1)

    def _read(self, pdu: MessagePdu, now_us: int) -> Arrival:
        arrival = super()._read(pdu, now_us)
        if self.settings.receipts or arrival.receipt_wanted is ReceiptWanted.NONE:
            return arrival
        return msgspec.structs.replace(arrival, receipt_wanted=ReceiptWanted.NONE)

    def _may_send_from(self, source: str) -> bool:
        return source in self._sources or (bool(self._beginnings) and source.startswith(self._beginnings))


class SmppAccounts:
    """A port that accounts bind to. Whoever makes the accounts also runs their ``do_chores``.

    Args:
        accounts: by system_id; may change while it runs.
        verify: says whether a password fits a hash; slow, may block: runs in a thread. It is asked with an empty hash
            for a system_id that nobody has, and must then take as long and say no.
        limits: bounds of the port.
        ssl_context: for a TLS port, or None.
        observer: counts session events.
    """

    def __init__(
        self,
        accounts: Mapping[str, SmppAccount],
        verify: Callable[[str, str], bool],
        *,
        limits: Limits | None = None,
        ssl_context: Any = None,
        observer: Observer = NOBODY,
    ) -> None:
        self._accounts = accounts
        self._verify = verify
        self._limits = limits
        self._ssl_context = ssl_context
        self._observer = observer
        # argon2 takes 64 MiB and tens of milliseconds each: a flood of binds must not take all there is of either.
        self._hashing = trio.CapacityLimiter(2)

    async def run(
        self,
        host: str,
        port: int,
        shutdown: trio.Event | None = None,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept binds until cancelled, or until ``shutdown`` is set. Started with the listeners."""
        await server.serve(
            self._work,
            self._authenticate,
            host=host,
            port=port,
            ssl_context=self._ssl_context,
            limits=self._limits,
            observer=self._observer,
            shutdown=shutdown,
            task_status=task_status,
        )

    async def _authenticate(self, request: BindRequest) -> Grant | int:
        account = self._accounts.get(request.system_id)
        password_hash = account.settings.password_hash if account is not None else ""
        fits = await trio.to_thread.run_sync(
            self._verify, password_hash, request.password, limiter=self._hashing, abandon_on_cancel=True
        )
        if account is None:
            return CommandStatus.ESME_RINVSYSID
        if not fits:
            return CommandStatus.ESME_RINVPASWD
        states = account.settings.bind_states
        if states and request.state not in states:
            return CommandStatus.ESME_RBINDFAIL
        return account.grant()

    async def _work(self, session: Session, grant: Grant) -> None:
        account: SmppAccount = grant.subject
        await account.serve(session, carries=session.state is not State.BOUND_TX)
