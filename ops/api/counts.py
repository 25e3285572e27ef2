"""What metrics tell of the control interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric


class ApiCounts:
    """Requests by operation and status; apart from the interface, so that who does not serve it need not load it.

    Attributes:
        requests: operation (as in the description) and status → how many.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        family = CounterMetricFamily(
            "smshub_api_requests", "Requests of the control interface.", labels=["operation", "status"]
        )
        for (operation, status), count in self.requests.items():
            family.add_metric([operation, str(status)], count)
        yield family
