"""The hub: endpoints register with it, it runs their dispatch, and does what has to be done from time to time.

Shutdown: cancel ``run`` after the endpoints have stopped accepting; what is in memory is in the journal as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import structlog
import trio

from hub import feed, journal, operations, routing
from hub.alerts import Alerts
from hub.bells import heard, off
from hub.dispatch import HEADS, Dispatcher, always
from hub.elsewhere import Elsewhere, Ways
from hub.endpoint import Endpoint, TakesAlerts
from hub.enum_answers import EnumAnswers
from hub.errors import UnknownEndpoint
from hub.filtering import Filtering
from hub.filters import FilterSettings
from hub.intake import PART_WAIT_US, Intake
from hub.model import Arrival, Effect, Fate, Message, Name, Outcome, Verdict
from hub.operator_requests import OperatorRequests
from hub.opt_out_follower import OptOutFollower
from hub.opt_out_guard import OptOuts
from hub.outcomes import Outcomes
from hub.queued import Queued
from hub.requests import Requests
from hub.retry import DEFAULT_WAITS, RetryWaits
from hub.statistics import Counters
from provisioning import Directory
from store import Op, Store, StoreError, Transaction
from threading_tokens import Contention, registry

FILTERS_S = 1.0  # what accounts have sent today is written
SWEEP_S = 1.0  # parts that never came, operators' requests
HEAR_S = 1.0  # what other nodes have journalled, where they ring when they have
UNRUNG_S = 0.1  # where nobody can ring
NUMBER_S = 0.2  # what nodes have written for the feed
EXPIRY_S = 15.0  # messages whose validity ended while their endpoint was away
PARKED_S = 60.0
THREADS_PAGE = 500  # threads ended in one write: intake waits for it
EXPIRY_PAGE = 1000  # messages ended in one write
DETACH_S = 30.0  # what is on its way when an endpoint is taken off the road
LOOK_S = 0.05

log = structlog.get_logger("hub")


class Clock:
    """The machine's clock, in microseconds since the epoch; but it is never set back.

    What waits in a lane waits for a time. A clock that were set back by an hour would stop all of it for an hour; this
    one goes on, and is ahead by that much until the daemon starts again or the machine's clock has caught up.
    """

    __slots__ = ("_ahead_ns",)

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        """Now. Any thread may ask."""
        steady_ns = time.monotonic_ns()
        ahead_ns = time.time_ns() - steady_ns
        if ahead_ns > self._ahead_ns:
            self._ahead_ns = ahead_ns
        return (steady_ns + self._ahead_ns) // 1000


wall_clock_us = Clock()


class EndpointStatistics(msgspec.Struct, frozen=True):
    """A snapshot of one endpoint's dispatch.

    Attributes:
        held: messages in memory.
        lanes: lanes in memory.
        behind: whether texts wait in the store that memory has not seen.
        room: parts that the endpoint would take now.
        resumed_in_doubt: messages that a restart found submitted and unanswered.
    """

    held: int
    lanes: int
    behind: bool
    room: int
    resumed_in_doubt: int


class Hub:
    """The message path.

    Args:
        store: the journal's store, migrated.
        directory: what is provisioned.
        clock: now in microseconds.
        heads: messages held in memory for each endpoint.
        part_wait_us: how long the parts of one text are waited for.
        waits: of retries.
        filters: what keeps texts back that have a way; None for nothing.
        answers: what carrier directories say of numbers (ENUM), when there are any.
        may_give: whether this node may give anything to its endpoints now; see ``hub.cluster``.

    Attributes:
        is_upkeeper: whether this node does what is to be done once for all nodes.
        ways: all endpoints, by name: those whose lanes are here, and those of other nodes.
        hears: whether other nodes can ring for this one now.
        may_give: as it was given.
        wanted: called when an endpoint would take something whose lanes are at another node.

    Raises: OSError: a file that the filters go by cannot be read.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        clock: Callable[[], int] = wall_clock_us,
        heads: int = HEADS,
        part_wait_us: int = PART_WAIT_US,
        waits: RetryWaits = DEFAULT_WAITS,
        filters: FilterSettings | None = None,
        answers: EnumAnswers | None = None,
        may_give: Callable[[], bool] = always,
    ) -> None:
        self.store = store
        self.is_upkeeper = not store.is_shared
        self.ways = Ways(is_shared=store.is_shared)
        self.may_give = may_give
        self._rung = trio.Event()
        self.wanted: Callable[[], None] = lambda: None
        self.hears: Callable[[], bool] = lambda: False
        self.clock = clock
        self.directory = directory
        self.counters = Counters()
        self._heads = heads
        self._dispatchers: dict[str, Dispatcher] = {}
        self._opt_outs = OptOuts(lambda: self.directory)
        self._opt_out_follower = OptOutFollower(
            store, self._opt_outs, clock, self._end_unwanted, lambda: self.is_upkeeper
        )
        self._intake = Intake(
            store, clock, self.ways, lambda: self.directory, self.counters, self._opt_outs, part_wait_us
        )
        self._outcomes = Outcomes(store, clock, self._dispatchers, self.ways, self.counters, waits)
        self._requests = Requests(store, clock, self._dispatchers, self.ways, self._outcomes)
        self._operator_requests = OperatorRequests(
            store, clock, self._dispatchers, self._end_unwanted, self._opt_out_follower.spares, self._ends
        )
        self._alerts = Alerts()
        self._nursery: trio.Nursery | None = None
        self._intake.answers = answers
        self._filtering: Filtering | None = None
        if filters is not None:
            self._filtering = Filtering(store, clock, lambda: self.directory, self.counters, filters)
            self._intake.filtering = self._filtering

    # --- hub.endpoint.Road -------------------------------------------------------------------------------------------

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """See ``hub.endpoint.Road``."""
        if self._filtering is not None:
            return await self._filtering.receive(endpoint, arrivals, self._intake.receive)
        return await self._intake.receive(endpoint, arrivals)

    async def receive_as_one(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """See ``hub.endpoint.Road``. What repeats an earlier text is taken: the id is that of all of them."""
        return await self._intake.receive(endpoint, arrivals, as_one=True)

    async def query(self, endpoint: str, names: Sequence[Name]) -> list[Fate | None]:
        """See ``hub.endpoint.Road``."""
        return await self._requests.query(endpoint, names)

    async def cancel(self, endpoint: str, name: Name) -> Effect:
        """See ``hub.endpoint.Road``."""
        effect = await self._requests.cancel(endpoint, name)
        self.counters.count("cancelled", endpoint, effect is Effect.DONE)
        if self._filtering is not None and effect is Effect.DONE:
            self._filtering.forget(endpoint, name.message_id)
        return effect

    async def cancel_all(self, endpoint: str, source: str, destination: str, service_type: str = "") -> int:
        """See ``hub.endpoint.Road``."""
        cancelled = await self._requests.cancel_all(endpoint, source, destination, service_type)
        self.counters.count("cancelled", endpoint, cancelled > 0)
        if self._filtering is not None and cancelled:
            self._filtering.forget(endpoint, None)
        return cancelled

    async def replace(self, endpoint: str, name: Name, rewrite: Callable[[Message], Message | None]) -> Effect:
        """See ``hub.endpoint.Road``. A text that names a listed host is not taken in another's place."""
        filtering = self._filtering

        def passing(message: Message) -> Message | None:
            changed = rewrite(message)
            listed = changed is not None and filtering is not None and filtering.filters.urls.urls.find(changed.text)
            return None if listed else changed

        effect = await self._requests.replace(endpoint, name, passing)
        self.counters.count("replaced", endpoint, effect is Effect.DONE)
        if filtering is not None and effect is Effect.DONE:
            filtering.forget(endpoint, name.message_id)
        return effect

    def expect_alert(self, endpoint: str, address: str, sender: str) -> None:
        """See ``hub.endpoint.Road``."""
        self._alerts.expect(address, endpoint, sender)

    def alert(self, endpoint: str, address: str) -> None:
        """See ``hub.endpoint.Road``."""
        self.counters.count("alerts", endpoint)
        for name, sender in self._alerts.take(address):
            dispatcher = self._dispatchers.get(name)
            if dispatcher is not None and isinstance(dispatcher.endpoint, TakesAlerts):
                dispatcher.endpoint.alert(address, sender)

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        """See ``hub.endpoint.Road``."""
        await self._outcomes.report(endpoint, outcomes)

    def wake(self, endpoint: str) -> None:
        """See ``hub.endpoint.Road``."""
        dispatcher = self._dispatchers.get(endpoint)
        if dispatcher is not None:  # one that was taken off the road may still have sessions that end
            dispatcher.wake()
        elif endpoint in self.ways:
            self.wanted()  # sessions are here, and the lanes at another node

    # --- wiring ------------------------------------------------------------------------------------------------------

    def attach(self, endpoint: Endpoint, *, hold_in_doubt: bool = False) -> None:
        """Register an endpoint; its dispatch starts now, or with ``run``.

        Args:
            endpoint: the endpoint.
            hold_in_doubt: make dead letters of parts whose answer was lost, for an operator to decide on, instead of
                sending them again.
        """
        dispatcher = Dispatcher(
            endpoint, self.store, self.clock, self._give_up, self._heads, hold_in_doubt, self.may_give
        )
        self._dispatchers[endpoint.name] = self.ways[endpoint.name] = dispatcher
        if self._nursery is not None:
            self._nursery.start_soon(dispatcher.run)
        if self.store.is_shared:
            self._opt_out_follower.look_again()

    def stand_by(self, endpoint: Endpoint) -> None:
        """Register an endpoint whose lanes another node holds: texts may be led to it, and wait for that node."""
        self.ways[endpoint.name] = Elsewhere(endpoint)

    def is_here(self, endpoint: str) -> bool:
        """Whether the lanes of an endpoint are on this node."""
        return endpoint in self._dispatchers

    def keep_house(self) -> None:
        """Do from now on what is to be done once for all nodes."""
        self.is_upkeeper = True
        self._opt_out_follower.look_again()

    def rung(self) -> None:
        """Another node says that it has journalled something for endpoints whose lanes may be here."""
        self._rung.set()

    def wake_all(self) -> None:
        """What kept all endpoints back may be over."""
        for dispatcher in self._dispatchers.values():
            dispatcher.wake()

    def keep_to_settings(self, endpoint: str, *, hold_in_doubt: bool = False) -> None:
        """An endpoint's settings have changed: its gaps, its dialect. Raises: UnknownEndpoint."""
        if isinstance(self.ways.get(endpoint), Elsewhere):
            return  # it asks its endpoint each time
        dispatcher = self.dispatcher(endpoint)
        dispatcher.hold_in_doubt = hold_in_doubt
        dispatcher.keep_to_settings()

    def keep_to_limits(self, *, heads: int, part_wait_us: int, waits: RetryWaits) -> None:
        """Other bounds hold from now on; see the arguments of the hub."""
        self._heads = heads
        self._intake.part_wait_us = part_wait_us
        self._outcomes.waits = waits
        for dispatcher in self._dispatchers.values():
            dispatcher.hold(heads)

    async def keep_to_filters(self, filters: FilterSettings) -> None:
        """Other filters hold from now on. Raises: OSError: a file that they go by cannot be read, nothing changed."""
        if self._filtering is not None:
            await self._filtering.keep_to(filters)

    async def detach(self, endpoint: str, within_s: float = DETACH_S, *, for_another: bool = False) -> bool:
        """Take an endpoint off the road. What waits for it stays in the store, as it stands.

        Before: put a snapshot in force that leads nothing to it, unless it is handed to another node, and end its
        sessions; then it has no room and gets nothing more. What is on its way to the journal or back from the wire is
        waited for.

        Args:
            endpoint: its name.
            within_s: how long. What is not back by then is found in doubt when the endpoint is there again.
            for_another: another node goes on with it: texts may be led to it all the while, and wait for that node.

        Returns: whether everything was back.
        Cancellation: it stays on the road.
        Raises: UnknownEndpoint.
        """
        if endpoint not in self._dispatchers and endpoint in self.ways:
            del self.ways[endpoint]  # of another node, and now of none
            return True
        dispatcher = self.dispatcher(endpoint)
        quiet = False
        if for_another:
            self.stand_by(dispatcher.endpoint)
        try:
            quiet = await self._quieten(dispatcher, within_s)
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            self.ways[endpoint] = dispatcher
            raise
        # Nothing may run between the last look and this.
        del self._dispatchers[endpoint]
        if not for_another:
            del self.ways[endpoint]
        dispatcher.stop()
        return quiet

    async def _quieten(self, dispatcher: Dispatcher, within_s: float) -> bool:
        """Wait until nothing of an endpoint is on its way. Returns: whether that came to pass."""
        endpoint, quiet = dispatcher.name, False
        with trio.move_on_after(within_s):
            while not quiet:
                try:
                    await self.store.transact(lambda tx: None)  # behind it, what was on its way is on disk
                    await trio.lowlevel.checkpoint()
                    moves = dispatcher.unsent()
                    if moves:
                        await self.store.commit([Op(journal.move_message, moves)])
                        dispatcher.put_down([move[0] for move in moves])
                except StoreError as error:
                    log.warning("the store refused, detaching goes on", endpoint=endpoint, error=type(error).__name__)
                    moves = []
                quiet = dispatcher.is_quiet and not dispatcher.unsent()
                if not quiet:
                    await trio.sleep(LOOK_S)
        return quiet

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Move messages until cancelled."""
        # Order of ids is order of arrival: a machine whose clock was set back must not undo that.
        self.store.advance_ids_past(await self.store.read(operations.newest_id))
        if self._filtering is not None:
            await self._filtering.load()
        await self._opt_out_follower.load()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._opt_out_follower.run)
            if self._filtering is not None:
                nursery.start_soon(self._every, FILTERS_S, self._filtering.do_chores)
            for dispatcher in self._dispatchers.values():
                nursery.start_soon(dispatcher.run)
            if self.store.is_shared:
                nursery.start_soon(self._hear)
                nursery.start_soon(self._every, NUMBER_S, self._number)
            nursery.start_soon(self._every, SWEEP_S, self._sweep)
            nursery.start_soon(self._every, EXPIRY_S, self._expire)
            nursery.start_soon(self._every, EXPIRY_S, self._expire_threads)
            nursery.start_soon(self._every, PARKED_S, self._forget_parked)
            task_status.started()

    async def release(self) -> None:
        """Write down that what was not given to an endpoint is not in doubt.

        For an orderly end: call it when the endpoints have no sessions any more, while ``run`` still runs.
        """
        try:
            if self._filtering is not None:
                await self._filtering.write()
            await self.store.transact(lambda tx: None)  # behind it, every claim that was on its way is on disk
            await trio.lowlevel.checkpoint()  # a turn for those who waited for these claims
            moves = [move for dispatcher in self._dispatchers.values() for move in dispatcher.unsent()]
            if moves:
                await self.store.commit([Op(journal.move_message, moves)])
        except StoreError as error:
            log.warning("the store refused: what waits will be found in doubt", error=type(error).__name__)

    def statistics(self) -> dict[str, EndpointStatistics]:
        """A snapshot of every endpoint's dispatch, by name."""
        return {
            name: EndpointStatistics(d.lanes.size, len(d.lanes), d.behind, d.endpoint.room(), d.resumed_in_doubt)
            for name, d in self._dispatchers.items()
        }

    def taken_today(self) -> dict[str, int]:
        """Account's endpoint → texts that it has sent today, of accounts with a daily limit."""
        return self._filtering.taken_today() if self._filtering is not None else {}

    def has_waiting(self, endpoint: str) -> bool:
        """Whether something waits for an endpoint, or is on its way to it. Costs nothing."""
        dispatcher = self._dispatchers.get(endpoint)
        return dispatcher is not None and (dispatcher.lanes.size > 0 or dispatcher.lanes.sleeping > 0)

    def dispatcher(self, endpoint: str) -> Dispatcher:
        """The dispatcher of an endpoint. Raises: UnknownEndpoint."""
        try:
            return self._dispatchers[endpoint]
        except KeyError:
            raise UnknownEndpoint(endpoint) from None

    # --- from time to time -------------------------------------------------------------------------------------------

    async def _give_up(self, dispatcher: Dispatcher, entries: list[tuple[Queued, str]]) -> None:
        await self._outcomes.give_up(dispatcher, entries)

    async def _every(self, seconds: float, work: Callable[[], object]) -> None:
        while True:
            try:
                await work()  # type: ignore[misc]
            except (StoreError, Contention) as error:
                log.warning("the store refused housekeeping, it goes on", error=type(error).__name__)
            await trio.sleep(seconds)

    async def _hear(self) -> None:
        """Read what other nodes have journalled for endpoints whose lanes are here."""
        while True:
            try:
                while await self._hear_once():
                    pass
                await self._requests.carry_out()
            except StoreError as error:
                log.warning("the store refused, bells are looked at again", error=type(error).__name__)
            with trio.move_on_after(HEAR_S if self.hears() else UNRUNG_S):
                await self._rung.wait()
            self._rung = trio.Event()

    async def _hear_once(self) -> bool:
        """Look once. Returns: whether there may be more."""
        bells, is_all = await self.store.read(lambda tx: heard(tx, list(self._dispatchers)))
        for each in bells:
            dispatcher = self._dispatchers.get(each.endpoint)
            if dispatcher is not None:
                dispatcher.journalled_elsewhere(each.kind, each.first_id, each.last_id)
        if bells:
            await self.store.commit([off(bells)])
        return not is_all

    async def _number(self) -> None:
        """Number what nodes have written for the feed."""
        while self.is_upkeeper and await self.store.read(feed.has_unnumbered):
            await self.store.transact(feed.number, rows=feed.NUMBERED)

    async def _sweep(self) -> None:
        if self.is_upkeeper:
            await self._intake.sweep()
        await self._operator_requests.carry_out()

    async def _expire(self) -> None:
        now_us = self.clock()
        seen = (0, 0)
        while True:
            query = journal.overdue_messages(now_us, seen, EXPIRY_PAGE)
            rows = await self.store.read(lambda tx, query=query: tx.sql.execute(query).all())  # type: ignore[misc]
            await self._end_waiting([journal.standing_of(row) for row in rows if self._ends(row[4])], "expired")
            if len(rows) < EXPIRY_PAGE:
                return
            seen = (rows[-1][10], rows[-1][0])

    def _ends(self, endpoint: str) -> bool:
        """Whether it is this node that ends what waits for an endpoint."""
        return endpoint in self._dispatchers or (self.is_upkeeper and endpoint not in self.ways)

    async def _expire_threads(self) -> None:
        """End threads whose call centre's times have passed (H20). Those that texts go on in are ended by texts."""
        if not self.is_upkeeper:
            return
        directory, now_us = self.directory, self.clock()
        rules = {name: routing.rules_of(directory, name) for name in directory.call_centres}

        def work(tx: Transaction) -> int:
            ended = registry.expire(tx, rules, now_us, THREADS_PAGE, self.store.new_id)
            if ended:
                tx.write(feed.outbox(self.store, now_us, [("thread", t.id, f"closed:{t.close_reason}") for t in ended]))
            return len(ended)

        while await self.store.transact(work, rows=THREADS_PAGE) == THREADS_PAGE:
            pass

    async def _forget_parked(self) -> None:
        if not self.is_upkeeper:
            return
        now_us = self.clock()
        if self.store.is_shared:
            await self._requests.errands.forget_old(now_us)
        forgotten = operations.FORGET_PAGE
        while forgotten >= operations.FORGET_PAGE:
            forgotten = await self.store.transact(lambda tx: operations.forget_parked(tx, now_us))

    async def _end_waiting(self, standings: Sequence[journal.Standing], reason: str) -> None:
        """End messages that wait, in memory or only in the store. Those that are being given are left alone."""
        by_endpoint: dict[str, list[journal.Standing]] = {}
        for standing in standings:
            if self._ends(standing.message.endpoint):
                by_endpoint.setdefault(standing.message.endpoint, []).append(standing)
        for endpoint, waiting in by_endpoint.items():
            dispatcher = self._dispatchers.get(endpoint)
            if dispatcher is None:
                await self._outcomes.bury(endpoint, waiting, reason)
                continue
            await dispatcher.grips.wait_over([standing.message.id for standing in waiting])
            if dispatcher.is_over:  # meanwhile: they are another node's to end
                continue
            held = [standing.message.id for standing in waiting if standing.message.id in dispatcher.held]
            stored = [standing for standing in waiting if standing.message.id not in dispatcher.held]
            ending = await self._take_aside(dispatcher, stored) if stored else []
            for message_id in held:
                entry = dispatcher.withhold(message_id)
                if entry is not None:
                    ending.append(entry)
            await self._outcomes.give_up(dispatcher, [(entry, reason) for entry in ending])

    async def _end_unwanted(self, standings: Sequence[journal.Standing], reason: str) -> None:
        """End messages that wait, and those that are being given as soon as they come back."""
        await self._end_waiting(standings, reason)
        for standing in standings:
            dispatcher = self._dispatchers.get(standing.message.endpoint)
            if dispatcher is not None:
                dispatcher.condemn(standing.message.id, reason)

    async def _take_aside(self, dispatcher: Dispatcher, standings: Sequence[journal.Standing]) -> list[Queued]:
        """Take hold of messages that lie in the store. Returns: those that are still pending, as they stand now."""
        aside = {standing.message.id: dispatcher.take_aside(standing) for standing in standings}
        pending: list[Queued] = []
        try:
            found = await self.store.read(lambda tx: operations.standings(tx, list(aside)))
        except BaseException:
            for entry in aside.values():
                dispatcher.put_back(entry, self.clock())
            raise
        for standing in found:
            entry = aside.pop(standing.message.id)
            entry.message = standing.message
            entry.stands(standing)
            pending.append(entry)
        for entry in aside.values():
            dispatcher.ended(entry, self.clock())
        return pending
