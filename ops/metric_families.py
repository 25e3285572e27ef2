"""Families as the registry wants them, made from the table of metrics, and a collector of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from ops.metrics_table import COUNTER, METRICS, SUMMARY
from provisioning.publishing_tally import Sample

Valued = Mapping[Any, float]
"""Values by the values of labels: a tuple of words for each, in the order of the table."""


def family(name: str, values: Valued | float = 0.0) -> Metric:
    """A family of the table.

    Args:
        name: the metric, a counter or gauge.
        values: by labels, each a tuple; a plain number of what has no labels.

    Raises: KeyError: the table has no such metric.
    """
    row = METRICS[name]
    if not isinstance(values, Mapping):
        values = {(): float(values)}
    made: CounterMetricFamily | GaugeMetricFamily
    if row.kind == COUNTER:
        made = CounterMetricFamily(name.removesuffix("_total"), row.help, labels=row.labels)
    else:
        made = GaugeMetricFamily(name, row.help, labels=row.labels)
    for labels, value in values.items():
        made.add_metric(labels, value)
    return made


class SampledMetrics:
    """Reads what others count at scrape.

    Args:
        samples: answers it.
        names: the metrics of the table that these may be of.
    """

    def __init__(self, samples: Callable[[], Iterable[Sample]], names: Iterable[str]) -> None:
        self._samples = samples
        self._names = tuple(names)

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the registry wants them."""
        values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in self._names}
        summaries: list[Sample] = []
        for sample in self._samples():
            if sample.kind == SUMMARY:
                summaries.append(sample)
            else:
                values[sample.name][tuple(sample.labels[label] for label in METRICS[sample.name].labels)] = sample.value
        for name in self._names:
            row = METRICS[name]
            if row.kind != SUMMARY:
                yield family(name, values[name])
                continue
            summary = SummaryMetricFamily(name, row.help, labels=row.labels)
            for sample in summaries:
                if sample.name.rpartition("_")[0] == name:
                    summary.add_sample(sample.name, sample.labels, sample.value)
            yield summary


PUBLISHING = (
    "smshub_publications",
    "smshub_publication_oldest_seconds",
    "smshub_publications_overdue",
    "smshub_publications_uncovered",
    "smshub_directory_calls_total",
    "smshub_directory_call_seconds",
)
"""What the publisher's samples are of."""

ENUM = (
    "smshub_enum_lookups_total",
    "smshub_enum_cache_total",
    "smshub_enum_cached_numbers",
    "smshub_enum_waiting_numbers",
    "smshub_enum_lookups_under_way",
)
"""What the samples of look-ups are of."""
