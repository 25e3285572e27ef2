"""What metrics tell of the control interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from ops.metric_families import family


class ApiCounts:
    """Requests by operation and status; apart from the interface, so that who does not serve it need not load it.

    Attributes:
        requests: operation (as in the description) and status → how many.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        counts = {(operation, str(status)): float(count) for (operation, status), count in self.requests.items()}
        yield family("smshub_api_requests_total", counts)
