"""What metrics tell of numbers in directories, as Prometheus has it. See ``provisioning.publishing_tally``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from provisioning.publishing_tally import BY_STATE, CALLS, SECONDS, Sample


class PublishingMetrics:
    """Reads the publisher's counts at scrape.

    Args:
        samples: answers them.
    """

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the registry wants them."""
        labels = ["directory", "state"]
        states = {name: GaugeMetricFamily(name, text, labels=labels) for name, text in BY_STATE.items()}
        calls = CounterMetricFamily("smshub_directory_calls", CALLS, labels=["directory", "call", "result"])
        seconds = SummaryMetricFamily("smshub_directory_call_seconds", SECONDS, labels=["directory", "call"])
        for sample in self._samples():
            if sample.name in states:
                states[sample.name].add_metric([*sample.labels.values()], sample.value)
            elif sample.kind == "summary":
                seconds.add_sample(sample.name, sample.labels, sample.value)
            else:
                calls.add_metric([*sample.labels.values()], sample.value)
        yield from (*states.values(), calls, seconds)
