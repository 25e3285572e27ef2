"""Accounts: somebody else's ESME binds to the hub. One endpoint for each account; one port for all of them.

Who may bind is decided in this order, the cheap before the dear: the networks, the lock-out (``translators.lock_out``),
the password, the kind of bind. Where an account says so, it is called when something waits for it and it is not bound:
an outbind asks it to bind on the connection that we made.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog
import trio

from hub import wall_clock_us
from hub.endpoint import Road
from hub.model import Arrival, ReceiptWanted
from smpp.admission import source_of
from smpp.backoff import Backoff, Trouble
from smpp.chatter import Chatter
from smpp.constants import CommandStatus
from smpp.events import Settings
from smpp.listening import open_listeners
from smpp.log_lines import LogLines
from smpp.observer import NOBODY, Observer
from smpp.outbind import Call, call_out
from smpp.pdu import DeliverSm
from smpp.server import BindRequest, Grant, Limits, Server, address_allowed
from smpp.session import Options, Session
from smpp.states import State
from translators.lock_out import LockOut, LockRules
from translators.pace import Pace
from translators.right_passwords import RightPasswords
from translators.shared_pace import IntakePace
from translators.smpp_endpoint import SmppEndpoint
from translators.smpp_messages import BadMessage, Dialect, MessagePdu
from translators.turns import KNOWN_AT_ONCE, Turns

DAY_US = 86_400_000_000
ONLY_RECEIVES: Final = (State.BOUND_RX,)
LOOK_S: Final = 1.0  # between two looks at what waits for accounts that are to be called

log = structlog.get_logger("translators.smpp_accounts")


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
        destinations: the addresses that it may send to, written likewise; empty for any.
        lock_out_after, lock_out_s: wrong passwords in a row after which it is locked to an address, and for how long.
        outbind_host, outbind_port: where it is called when something waits for it; no host for nowhere.
        outbind_password: what it knows us by then.
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
    destinations: tuple[str, ...] = ()
    lock_out_after: int = 10
    lock_out_s: float = 300.0
    outbind_host: str = ""
    outbind_port: int = 2775
    outbind_password: str = ""
    receipts: bool = True
    gap_us: int = 100_000
    validity_us: int = 3 * DAY_US
    max_attempts: int = 20
    enquire_link_s: float = 30.0
    response_s: float = 30.0

    def __repr__(self) -> str:
        """Show which account it is, and no secret."""
        return f"<AccountSettings {self.name!r} {self.system_id!r}>"


class Addresses:
    """A list of addresses.

    Args:
        patterns: addresses, or their beginnings ended by ``*``.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._whole = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self._beginnings = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))

    def hold(self, address: str) -> bool:
        """Whether an address is on the list."""
        return address in self._whole or (bool(self._beginnings) and address.startswith(self._beginnings))


def _session_settings(s: AccountSettings) -> Settings:
    return Settings(window=s.window, enquire_link_s=s.enquire_link_s, response_s=s.response_s)


class Neighbours(Protocol):
    """What other nodes, at which the same accounts bind, know of them. None of it raises, or takes long."""

    async def admits_bind(self, account: str, most: int) -> bool:
        """Whether an account may have one more bind, over all nodes. Counts it, if so."""
        ...

    async def is_locked(self, account: str, source: str) -> bool:
        """Whether another node has locked an account (empty: anybody) to an address."""
        ...

    def lock(self, account: str, source: str, for_us: int) -> None:
        """A lock begins here."""
        ...


class SmppAccount(SmppEndpoint):
    """One account.

    Args:
        settings: see ``AccountSettings``.
        road: the hub.
        clock: now in microseconds.
        make_pace: makes what it is held to from its name and ``in_per_s``, where other nodes share that.
    """

    def __init__(
        self,
        settings: AccountSettings,
        road: Road,
        clock: Callable[[], int],
        make_pace: Callable[[str, float], IntakePace] | None = None,
    ) -> None:
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
        self._chatter = Chatter()
        self._intake_pace: IntakePace = (
            Pace(settings.in_per_s) if make_pace is None else make_pace(settings.name, settings.in_per_s)
        )
        self._take_from(settings)

    def grant(self) -> Grant:
        """What its sessions may have."""
        s = self.settings
        return Grant(
            account=s.name,
            subject=self,
            networks=s.networks,
            max_binds=s.max_binds,
            settings=_session_settings(s),
            options=Options(inbox=s.inbox, chatter=self._chatter),
        )

    def adopt(self, settings: AccountSettings) -> None:
        """Keep to other settings of the same account from now on; who is bound stays bound.

        Password, networks, how and how often it may bind count from the next bind on. The hub is to be told.
        """
        self.settings = s = settings
        self.keep_to(s.dialect, gap_us=s.gap_us, validity_us=s.validity_us, max_attempts=s.max_attempts)
        self._take_from(s)
        for session in self.sessions:
            session.configure(_session_settings(s), Options(inbox=s.inbox, chatter=self._chatter))

    def expel(self) -> None:
        """Let nobody bind any more, and call nobody."""
        self.settings = msgspec.structs.replace(self.settings, password_hash="", outbind_host="")

    def _take_from(self, s: AccountSettings) -> None:
        self._intake_pace.agree(s.in_per_s)
        self._sources = Addresses(s.sources) if s.sources else None
        self._destinations = Addresses(s.destinations) if s.destinations else None

    def _permit(self, pdu: MessagePdu, arrival: Arrival, now_us: int) -> None:
        if arrival.receipt is None:
            if self.settings.bind_states == ONLY_RECEIVES:  # by data_sm, which a receiver may send as well
                raise BadMessage(CommandStatus.ESME_RINVBNDSTS)
            if self._sources is not None and not self._sources.hold(arrival.source):
                raise BadMessage(CommandStatus.ESME_RINVSRCADR)
            if self._destinations is not None and not self._destinations.hold(arrival.destination):
                raise BadMessage(CommandStatus.ESME_RINVDSTADR)
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


class SmppAccounts:
    """A port that accounts bind to. Whoever makes the accounts also runs their ``do_chores``.

    Args:
        accounts: by system_id; may change while it runs.
        verify: says whether a password fits a hash; slow, may block: runs in a thread. It is asked with an empty hash
            for a system_id that nobody has, and must then take as long and say no.
        clock: now in microseconds; any thread may ask.
        limits: bounds of the port.
        ssl_context: for a TLS port, or None.
        observer: counts session events, and ``locked_out``, ``bind_while_locked``, ``called``, ``call_failed``.
        lock_out, binds: shared with the other ports of a hub; ``binds`` counts each account's.
        waits: whether something waits for an endpoint; None where accounts are not called from this port.
        proxies: networks of the balancers in front, see ``smpp.server.Server``; empty for none.
        neighbours: of several nodes, the others; None when this is the only one.
    """

    def __init__(
        self,
        accounts: Mapping[str, SmppAccount],
        verify: Callable[[str, str], bool],
        *,
        clock: Callable[[], int] = wall_clock_us,
        limits: Limits | None = None,
        ssl_context: Any = None,
        observer: Observer = NOBODY,
        lock_out: LockOut | None = None,
        binds: Counter[str] | None = None,
        waits: Callable[[str], bool] | None = None,
        proxies: Sequence[str] = (),
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours
        self._accounts = accounts
        self._verify = verify
        self._clock = clock
        self._observer = observer
        self._lock_out = lock_out if lock_out is not None else LockOut()
        self._waits = waits
        self._server = Server(
            self._work,
            self._authenticate,
            limits=limits,
            ssl_context=ssl_context,
            observer=observer,
            counts=binds,
            proxies=proxies,
            is_known=lambda address: self._lock_out.knows(address, self._clock()),
        )
        # argon2 takes 19 MiB and tens of milliseconds each: a flood of binds must not take all there is of either.
        # A turn ends when what was found out is written down; a thread whose turn was given up still counts here.
        self._hashing = trio.CapacityLimiter(KNOWN_AT_ONCE + 1)
        self._turns = Turns()
        self._right = RightPasswords(secrets.token_bytes(32))
        self._lines = LogLines()
        self._chance = random.SystemRandom()

    async def run(
        self,
        host: str,
        port: int,
        shutdown: trio.Event | None = None,
        *,
        reuse_port: bool = False,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept binds until cancelled, or until ``shutdown`` is set. Started with the listeners.

        Args:
            host, port: where; port 0 for any free one.
            shutdown: see above.
            reuse_port: other processes listen there as well, see ``smpp.listening``.
            task_status: see above.

        Raises: OSError: the port cannot be listened on.
        """
        # Out here, so that its error comes as it is.
        listeners = await open_listeners(host, port, reuse_port=reuse_port)
        async with trio.open_nursery() as calls:
            if self._waits is not None:
                calls.start_soon(self._call_absent, self._waits)
            await self._server.run(listeners=listeners, shutdown=shutdown, task_status=task_status)
            calls.cancel_scope.cancel()

    def keep_to(self, limits: Limits, proxies: Sequence[str] = ()) -> None:
        """Keep to other bounds of the port from now on; who is connected stays."""
        self._server.keep_to(limits, proxies)

    async def _authenticate(self, request: BindRequest) -> Grant | int:
        account = self._accounts.get(request.system_id)
        settings = account.settings if account is not None else None
        if settings is not None and not address_allowed(request.peer, settings.networks):
            return CommandStatus.ESME_RBINDFAIL  # before anything is hashed
        name = settings.system_id if settings is not None else ""
        rules = LockRules()
        if settings is not None:
            rules = LockRules(settings.lock_out_after, round(settings.lock_out_s * 1e6))
        if not self._lock_out.admits(name, request.peer, rules, self._clock()):
            return self._locked(name)
        neighbours = self._neighbours
        if account is not None and self._right.knows(name, account.settings.password_hash, request.password):
            if neighbours is not None and rules.after and await neighbours.is_locked(name, source_of(request.peer)):
                return self._locked(name)
            self._lock_out.succeeded(name, request.peer, self._clock())
            return await self._granted(account, request)
        is_known = self._lock_out.is_good(name, request.peer, self._clock())
        async with self._turns.turn(source_of(request.peer), is_known) as turn:
            # Asked again in its turn: binds that came at once with this one may have locked it meanwhile.
            if not self._lock_out.admits(name, request.peer, rules, self._clock()):
                return self._locked(name)
            if neighbours is not None and rules.after and await neighbours.is_locked(name, source_of(request.peer)):
                return self._locked(name)
            password_hash = account.settings.password_hash if account is not None else ""
            turn.was_wrong = True
            try:
                fits = await trio.to_thread.run_sync(
                    self._verify, password_hash, request.password, limiter=self._hashing, abandon_on_cancel=True
                )
            except trio.Cancelled:
                # It hung up on its hash. For the address that counts like a wrong password, or it could have all there
                # is to be hashed with; not for the account: its ESME may have lost patience with a busy hub.
                self._lock_out.failed("", request.peer, rules, self._clock())
                raise
            if account is not None and fits:
                turn.was_wrong = False
                self._right.remember(name, password_hash, request.password)
                self._lock_out.succeeded(name, request.peer, self._clock())
            elif self._lock_out.failed(name, request.peer, rules, self._clock()):
                self._observer.count("locked_out", account=name)
                if neighbours is not None:
                    neighbours.lock(name, source_of(request.peer), rules.lock_us)
                if self._lines.may_say("locked out", trio.current_time()):
                    log.warning("locked out", account=name, peer=request.peer, for_s=rules.lock_us / 1e6)
        if account is None:
            return CommandStatus.ESME_RINVSYSID
        if not fits:
            return CommandStatus.ESME_RINVPASWD
        return await self._granted(account, request)

    async def _granted(self, account: SmppAccount, request: BindRequest) -> Grant | int:
        """What somebody may have whose password is right."""
        states = account.settings.bind_states
        if states and request.state not in states:
            return CommandStatus.ESME_RBINDFAIL
        grant = account.grant()
        most, neighbours = grant.max_binds, self._neighbours
        if neighbours is not None and most and not await neighbours.admits_bind(grant.account, most):
            return CommandStatus.ESME_RALYBND
        return grant

    def _locked(self, account: str) -> int:
        self._observer.count("bind_while_locked", account=account)
        return CommandStatus.ESME_RBINDFAIL

    async def _work(self, session: Session, grant: Grant) -> None:
        account: SmppAccount = grant.subject
        await account.serve(session, carries=session.state is not State.BOUND_TX)

    # --- accounts that are called ------------------------------------------------------------------------------------

    async def _call_absent(self, waits: Callable[[str], bool]) -> None:
        """Call accounts that something waits for, each when it is not bound and not being called already."""
        backoffs: dict[str, Backoff] = {}
        busy: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for system_id, account in list(self._accounts.items()):
                    wanted = account.settings.outbind_host and system_id not in busy and not account.is_bound
                    if wanted and waits(account.name):
                        backoff = backoffs.setdefault(system_id, Backoff(self._chance))
                        busy.add(system_id)
                        nursery.start_soon(self._call, account, backoff, busy)
                await trio.sleep(LOOK_S)

    async def _call(self, account: SmppAccount, backoff: Backoff, busy: set[str]) -> None:
        """One call, its session, and the wait after it."""
        settings = account.settings
        call = Call(host=settings.outbind_host, port=settings.outbind_port, password=settings.outbind_password)
        bound = False
        trouble, error_name = Trouble.NETWORK, ""
        began = trio.current_time()
        try:
            bound = await call_out(self._server, call)
            trouble = Trouble.NETWORK if bound else Trouble.REFUSED
        except (OSError, trio.BrokenResourceError) as error:
            error_name = type(error).__name__
        except Exception:
            # A fault of ours, or a host that is no name: the port and its accounts must not hear of it.
            error_name = "fault"
            log.exception("the call of an account failed", account=settings.system_id)
        if bound:
            # It was served to its end: what counts for the next call is how long it lasted.
            backoff.bound(began)
            self._observer.count("called", account=settings.system_id)
        else:
            self._observer.count("call_failed", account=settings.system_id)
        wait_s = backoff.failed(trouble, trio.current_time())
        log.info(
            "account was called", account=settings.system_id, bound=bound, error=error_name, again_in_s=round(wait_s, 1)
        )
        await trio.sleep(wait_s)
        busy.discard(settings.system_id)
