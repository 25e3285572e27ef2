"""What metrics tell of the daemon and of what runs in it beside the message path, read at scrape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

from prometheus_client.core import Metric

from hub.keeping import Keeper
from ops.letter_watch import LetterWatch
from ops.metric_families import family
from ops.reload import STATES, Reloader


class ServiceMetrics:
    """See the module's head.

    Args:
        keeper, letters, reloader: the daemon's.
        clock: the hub's.
        is_draining: whether the daemon was told to stop.
    """

    def __init__(
        self,
        keeper: Keeper,
        letters: LetterWatch,
        reloader: Reloader,
        clock: Callable[[], int],
        is_draining: Callable[[], bool],
    ) -> None:
        self._keeper = keeper
        self._letters = letters
        self._reloader = reloader
        self._clock = clock
        self._is_draining = is_draining
        self._version = version("smshub")
        self._began_ns = _offset_ns()

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the registry wants them."""
        yield from self._retention()
        days_left = {(loa, centre): float(days) for loa, centre, days in self._letters.samples()}
        yield family("smshub_loa_days_left", days_left)
        reloader = self._reloader
        yield family("smshub_reloads_total", {(state,): float(reloader.outcomes[state]) for state in STATES})
        yield family("smshub_reload_successful", float(reloader.is_as_wanted))
        yield family("smshub_reload_timestamp_seconds", reloader.in_force_us / 1e6)
        yield family("smshub_catalog_revision", reloader.revision)
        yield family("smshub_troubled_endpoints", reloader.troubled)
        ahead_s = (self._clock() - time.time_ns() // 1000) / 1e6
        yield family("smshub_clock_ahead_seconds", max(0.0, ahead_s))
        yield family("smshub_clock_stepped_seconds", (_offset_ns() - self._began_ns) / 1e9)
        yield family("smshub_draining", float(self._is_draining()))
        yield family("smshub_build_info", {(self._version,): 1.0})

    def _retention(self) -> Iterator[Metric]:
        tally = self._keeper.tally
        removed: dict[tuple[str, ...], float] = {
            ("erased",): tally.erased,
            ("archived",): tally.archived,
            ("threads",): tally.threads,
            ("feed",): tally.feed_rows,
        }
        yield family("smshub_retention_removed_total", removed)
        yield family("smshub_retention_objects_total", tally.objects)
        yield family("smshub_retention_failures_total", tally.failures)
        yield family("smshub_retention_done_timestamp_seconds", tally.done_us / 1e6)


def _offset_ns() -> int:
    """The time of day less the time that only goes on: it changes when somebody sets the clock, or a machine slept."""
    return time.time_ns() - time.monotonic_ns()
