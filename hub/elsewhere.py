"""The ways that texts may take out of here: endpoints whose lanes this node holds, and those that another node holds.

What is journalled for an endpoint of another node is left to the store, and a *bell* is written in the same
transaction: whose it is, and between which ids it lies. The holder reads the bells of its endpoints from time to time,
and at once when somebody rings (Redis). A bell that was read too early or too late, or twice, does no harm: see
``Dispatcher.journalled_elsewhere``. Who takes over an endpoint finds all that waits for it, bells or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from hub.endpoint import Endpoint
from hub.model import Kind, Message
from hub.receipts import News
from hub.tables import bell
from store import Insert, Op, Transaction

if TYPE_CHECKING:
    from hub.dispatch import Dispatcher
    from hub.queued import Queued

Spans = dict[tuple[str, int], list[int]]
"""(endpoint, kind) → the first and the last id."""

_insert_bell = Insert(bell, ("endpoint", "kind", "first_id", "last_id"))


class Elsewhere:
    """An endpoint whose lanes another node holds: intake's side of a dispatcher, with nothing behind it.

    Args:
        endpoint: as this node knows it: its validity holds for what is taken in here.
    """

    is_here = False
    is_over = False
    must_wait = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name

    async def admission(self) -> None:
        """See ``Dispatcher.admission``."""

    def reserve(
        self, message_id: int, message: Message | None, source: str, destination: str, due_us: int, now_us: int
    ) -> Queued | None:
        """See ``Dispatcher.reserve``: there is no place here."""
        return None

    def commit_done(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """See ``Dispatcher.commit_done``."""

    def commit_failed(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """See ``Dispatcher.commit_failed``."""

    def commit_doubtful(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """See ``Dispatcher.commit_doubtful``: the bell is written or not with what it tells of."""

    def receipts_made(self, first_id: int, last_id: int) -> None:
        """See ``Dispatcher.receipts_made``."""

    def receipts_doubtful(self) -> None:
        """See ``Dispatcher.receipts_doubtful``."""


class Ways(dict[str, "Dispatcher | Elsewhere"]):
    """By endpoint's name. Changed by the hub alone; the writer's thread reads it.

    Args:
        is_shared: whether there may be other nodes.

    Attributes:
        ring: tells other nodes at once that there is something for these endpoints; what it tells may be lost.
    """

    def __init__(self, *, is_shared: bool) -> None:
        super().__init__()
        self._is_shared = is_shared
        self.ring: Callable[[Iterable[str]], None] = _tell_nobody

    def bells_of(self, messages: Iterable[Message], news: News | None = None) -> list[Op]:
        """The bells of what a transaction journals: none for what this node holds itself.

        Args:
            messages: new messages.
            news: of receipts that were made; gets the names to ring for when it is on disk.
        """
        if not self._is_shared:
            return []
        spans: Spans = {}
        for message in messages:
            if not self._is_here(message.endpoint):
                _widen(spans, message.endpoint, message.kind, message.id, message.id)
        if news is not None:
            for endpoint, last_id in news.made.items():
                if not self._is_here(endpoint):
                    _widen(spans, endpoint, Kind.RECEIPT, news.first[endpoint], last_id)
            news.rung = [endpoint for endpoint, _ in spans]
        if not spans:
            return []
        return [Op(_insert_bell, [(endpoint, kind, *span) for (endpoint, kind), span in spans.items()])]

    def write_bells(self, tx: Transaction, messages: Iterable[Message], news: News) -> None:
        """Write the bells of what the transaction journals; see ``bells_of``."""
        for op in self.bells_of(messages, news):
            tx.write(op)

    def _is_here(self, endpoint: str) -> bool:
        way = self.get(endpoint)
        return way is not None and way.is_here


def _widen(spans: Spans, endpoint: str, kind: Kind, first_id: int, last_id: int) -> None:
    span = spans.setdefault((endpoint, kind.value), [first_id, last_id])
    span[0], span[1] = min(span[0], first_id), max(span[1], last_id)


def _tell_nobody(endpoints: Iterable[str]) -> None:
    """A node that is alone."""
