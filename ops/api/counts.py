"""What metrics tell of the control interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from ops.metric_families import family


class ApiCounts:
    """Requests by operation and status; apart from the interface, so that who does not serve it need not load it.

    Args:
        listener: is told of each as well.

    Attributes:
        requests: operation (as in the description) and status → how many.
    """

    def __init__(self, listener: Callable[[str, int, int], None] | None = None) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self._listener = listener

    def count(self, operation: str, status: int, since_ns: int) -> None:
        """A request that came at a time, in nanoseconds since 1970, has been answered."""
        self.requests[operation, status] += 1
        if self._listener is not None:
            self._listener(operation, status, since_ns)

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        counts = {(operation, str(status)): float(count) for (operation, status), count in self.requests.items()}
        yield family("smshub_api_requests_total", counts)
