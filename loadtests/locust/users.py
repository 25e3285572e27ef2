"""Locust's part: the users, how many there are when, and how they come and go.

    Application   binds to the hub's account and sends submit_sm
    Customer      texts the call centre by the carrier and waits for the answer
    CarrierSite   one: the carrier and its weather
    DeskSite      one: the desk and its weather

The shape reads the scenario and names a class for each user that is to be there; the dispatcher does just that.
(Locust's own keeps proportions and gives up exact numbers; a phase that says four applications means four.)
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import ClassVar

from locust import LoadTestShape, User, task
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import WorkerNode

from loadtests.locust.account import Bind, BindRefused
from loadtests.locust.stage import Stage

WEATHER_S = 0.05  # how often it is looked at
IDLE_S = 0.1
LEAST_S = 0.002  # texts that become due meanwhile go out together
BATCH = 100  # texts sent in one turn before the others have theirs
REBIND_S = 1.0
SPAWN_RATE = 100.0  # locust asks for one; our dispatcher takes no notice, since the scenario says when


class StagedEnvironment(Environment):
    """Locust's environment, with the stage of the run under way."""

    stage: Stage


class StagedUser(User):
    """A user who knows the stage."""

    abstract = True
    environment: StagedEnvironment

    @property
    def stage(self) -> Stage:
        """Where they are."""
        return self.environment.stage


class CarrierSite(StagedUser):
    """The carrier: its port is open for the whole run, its weather is the scenario's."""

    @task
    def follow_the_weather(self) -> None:
        stage = self.stage
        stage.carrier.behave(stage.scenario.conditions("carrier", stage.elapsed_s))

    def wait_time(self) -> float:
        return WEATHER_S


class DeskSite(StagedUser):
    """The desk: its port is open for the whole run, its weather is the scenario's."""

    @task
    def follow_the_weather(self) -> None:
        stage = self.stage
        stage.desk.behave(stage.scenario.conditions("desk", stage.elapsed_s))

    def wait_time(self) -> float:
        return WEATHER_S


class Application(StagedUser):
    """An ESME. In an open loop it sends what is due, in a closed one what its window has room for."""

    def on_start(self) -> None:
        self._bind: Bind | None = None
        self._pause = 0.0
        self._due = time.monotonic() + self.stage.chance.uniform(0, IDLE_S)

    def wait_time(self) -> float:
        return self._pause

    @task
    def send(self) -> None:
        bind = self._bind
        if bind is None or bind.is_over:
            self._pause = REBIND_S
            if bind is not None:
                self._bind = None
                self.stage.account.give_back(bind)
            try:
                self._bind = bind = self.stage.account.take()
            except (BindRefused, OSError):
                return  # the measures say so
        if self.stage.scenario.applications.loop == "closed":
            self._fill(bind)
        else:
            self._send_due(bind)

    def _fill(self, bind: Bind) -> None:
        bind.wait_for_room(IDLE_S)
        now = time.monotonic()
        for _ in range(bind.room):
            bind.submit(now)
        self._pause = 0.0

    def _send_due(self, bind: Bind) -> None:
        level = self.stage.level
        now = time.monotonic()
        if not level.texts_per_s or not level.applications:
            self._due, self._pause = now, IDLE_S
            return
        gap_s = level.applications / level.texts_per_s
        self._due = min(self._due, now + gap_s)  # the rate may have risen since
        for _ in range(BATCH):
            if self._due > now:
                break
            if not bind.room:
                bind.wait_for_room(IDLE_S)
                break
            bind.submit(self._due)
            self._due += gap_s
        self._pause = min(IDLE_S, max(LEAST_S, self._due - time.monotonic()))

    def on_stop(self) -> None:
        if self._bind is not None:
            self.stage.account.give_back(self._bind)


class Customer(StagedUser):
    """A person: texts, reads the answer, thinks, texts again; then somebody else takes the telephone."""

    def wait_time(self) -> float:
        return self.stage.chance.uniform(*self.stage.scenario.customers.think_s)

    @task
    def converse(self) -> None:
        stage = self.stage
        script = stage.scenario.customers
        customer = stage.next_customer()
        try:
            for at in range(script.texts):
                if at:
                    self.wait()
                begun = time.monotonic()
                _, answered = stage.carrier.ask(customer, script.length)
                came = answered.wait(script.patience_s)
                error = None if came else f"no answer in {script.patience_s:g} s"
                stage.measures.fire("people text to answer", begun, script.length, error)
                if not came:
                    return
        finally:
            stage.carrier.hang_up(customer)


ALL: list[type[StagedUser]] = [Application, Customer, CarrierSite, DeskSite]


class ScenarioShape(LoadTestShape):
    """The scenario's phases, then the drain.

    Args:
        begin: makes the stage of a new run, and sets it in the environment.
        environment: locust's.
        ready_s: how long the hub may take to connect to the carrier and the desk.
    """

    abstract: ClassVar[bool] = False

    def __init__(self, environment: StagedEnvironment, begin: Callable[[], None], ready_s: float) -> None:
        super().__init__()
        self._ready_s = ready_s
        self._environment = environment
        self._begin = begin

    def reset_time(self) -> None:
        """Locust starts a run."""
        super().reset_time()
        self._begin()

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """Who is to be there now: one class for each user. None: it is over."""
        stage = self._environment.stage
        sites: list[type[User]] = [CarrierSite, DeskSite]
        if not stage.begun:
            if stage.is_ready:
                stage.begin()
            elif self.get_run_time() > self._ready_s:
                missing = " and ".join(
                    name for name, side in (("carrier", stage.carrier), ("desk", stage.desk)) if not side.is_bound
                )
                why = ": it does not know the desk's secret" if stage.desk.strangers else ""
                stage.troubles.append(f"the hub did not connect to the {missing} in {self._ready_s:g} s{why}")
                return None
        elif stage.elapsed_s >= stage.scenario.total_s:
            stage.ended = stage.ended or time.monotonic()
            # Settled twice in a row: what comes a second time has had a while to come.
            was_settled, stage.settled = stage.settled, stage.is_settled
            late = time.monotonic() - stage.ended > stage.scenario.bounds.drain_s
            if (was_settled and stage.settled) or late:
                return None
        level = stage.level
        users = sites + [Application] * level.applications + [Customer] * level.customers
        return len(users), SPAWN_RATE, users


class ExactDispatcher(UsersDispatcher):
    """Has just the users that the shape names, at once."""

    def __init__(self, worker_nodes: list[WorkerNode], user_classes: list[type[User]]) -> None:
        super().__init__(worker_nodes, user_classes)
        self._nodes = worker_nodes
        self._steps = self._step({})

    def new_dispatch(
        self, target_user_count: int, spawn_rate: float, user_classes: list[type[User]] | None = None
    ) -> None:
        """See ``ScenarioShape.tick``."""
        counts = Counter(each.__name__ for each in user_classes or ())
        self._steps = self._step({each.__name__: counts[each.__name__] for each in ALL})

    def _step(self, counts: dict[str, int]) -> Generator[dict[str, dict[str, int]]]:
        yield {node.id: counts for node in self._nodes}

    def __next__(self) -> dict[str, dict[str, int]]:
        return next(self._steps)
