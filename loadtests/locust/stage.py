"""All that stands around the hub in one run: the account, the carrier, the desk, the books and the clock."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable

from loadtests.locust.account import EsmeAccount
from loadtests.locust.books import Books
from loadtests.locust.carrier import Carrier
from loadtests.locust.command import Site
from loadtests.locust.desk import Desk
from loadtests.locust.measures import Measures
from loadtests.locust.scenario import Level, Scenario


class Stage:
    """One run. Making it opens the ports of the carrier and the desk.

    Args:
        scenario: what is played.
        site: where.
        measures: where requests are told.
        on_begin: called right before the first phase begins.

    Raises:
        OSError: a port is taken.

    Attributes:
        scenario, books, account, carrier, desk, measures: as named.
        troubles: what went wrong with the tool or the stage, in words.
        begun: when the first phase began, 0 before.
        ended: when the last one ended, 0 before.
        closed: when all was over, 0 before.
    """

    def __init__(
        self, scenario: Scenario, site: Site, measures: Measures, on_begin: Callable[[], None] = lambda: None
    ) -> None:
        self.scenario, self.measures = scenario, measures
        self._on_begin = on_begin
        self.books = Books(secrets.randbits(16), site.hub_window)
        self.troubles: list[str] = []
        self.begun = self.ended = self.closed = 0.0
        self.settled = False
        self._customers = 0
        chance = random.Random(scenario.seed)
        self.chance = random.Random(chance.random())
        self.carrier = Carrier(
            site.listen,
            site.carrier_port,
            site.number.removeprefix("+").encode(),
            scenario.carrier,
            self.books,
            measures,
        )
        try:
            self.desk = Desk(
                site.listen,
                site.desk_port,
                site.secret,
                site.domain,
                scenario.desk,
                self.books,
                measures,
                random.Random(chance.random()),
            )
        except OSError:
            self.carrier.close()
            raise
        self.account = EsmeAccount(
            site.hubs, site.system_id, site.password, scenario.applications, self.books, measures
        )

    @property
    def is_ready(self) -> bool:
        """The hub is connected to the carrier and the desk."""
        return self.carrier.is_bound and self.desk.is_bound

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first phase began; 0 before."""
        return time.monotonic() - self.begun if self.begun else 0.0

    @property
    def level(self) -> Level:
        """Who is there now, and what they send."""
        return self.scenario.level(self.elapsed_s) if self.begun else Level(0, 0, 0.0)

    @property
    def is_settled(self) -> bool:
        """Nothing is under way any more."""
        return not self.under_way

    @property
    def under_way(self) -> dict[str, int]:
        """What is still to come or to be answered, by who waits for it; nothing of what there is none of."""
        counts = {
            "answers or receipts that applications wait for": self.account.owed,
            "requests that the carrier has for the hub": self.carrier.owed,
            "answers at the desk": self.desk.owed,
        } | {f"acknowledged {flow.name}": flow.waiting for flow in self.books.flows}
        return {what: count for what, count in counts.items() if count}

    def begin(self) -> None:
        """The first phase begins."""
        self._on_begin()
        self.begun = time.monotonic()

    def next_customer(self) -> int:
        """Somebody who has not texted yet."""
        self._customers += 1
        return self._customers - 1

    def close(self) -> None:
        """Everybody leaves."""
        if not self.closed:
            self.closed = time.monotonic()
            self.account.close()
            self.carrier.close()
            self.desk.close()
