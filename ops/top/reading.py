"""A daemon's pages are fetched: one connection that is kept, each wait bounded, each failure in words.

Prometheus's text format is read by Prometheus's own parser. What does not parse is no page of metrics.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from typing import Any, Final
from urllib.parse import urljoin

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from ops.top.samples import Labels, Sample

TIMEOUT_S: Final = 3.0
MAX_OCTETS: Final = 32 * 1024 * 1024  # ten thousand endpoints are about twenty


class NoMetrics(Exception):
    """What answers there are no metrics of a hub."""


class NobodyThere(Exception):
    """The daemon's page could not be had; the message says why."""


def read_sample(page: str, at_us: int, missing: tuple[str, ...] | None = None) -> Sample:
    """Read a page of metrics.

    Args:
        page: the page's text.
        at_us: now.
        missing: see ``Sample``.

    Raises: NoMetrics.
    """
    values: dict[str, dict[Labels, float]] = defaultdict(dict)
    try:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if math.isfinite(sample.value):
                    values[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise NoMetrics("what answers there is no page of metrics") from error
    if not any(name.startswith("smshub_") for name in values):
        raise NoMetrics("what answers there has no metric of smshub")
    return Sample(at_us, dict(values), missing)


class Reader:
    """Reads one daemon's metrics and readiness. May be used by one thread at a time.

    Args:
        url: of the metrics; ``ready`` is beside it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._ready_url = urljoin(url, "ready")
        # No environment, no proxy, no redirect: what is shown is what stands at the address.
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(TIMEOUT_S), maxsize=1)

    def read(self) -> Sample:
        """Read once. Raises: NobodyThere."""
        status, page = self._get(self.url)
        if status != 200:
            raise NobodyThere(f"{self.url} answers with status {status}")
        at_us = time.time_ns() // 1000
        try:
            return read_sample(page.decode(errors="replace"), at_us, self._missing())
        except NoMetrics as error:
            raise NobodyThere(f"{self.url}: {error}") from None

    def _missing(self) -> tuple[str, ...] | None:
        try:
            status, page = self._get(self._ready_url)
            told = json.loads(page)
            if status not in (200, 503) or not isinstance(told["checks"], dict):
                return None
        except (NobodyThere, ValueError, KeyError, TypeError):
            return None
        return tuple(sorted(str(name) for name, is_well in told["checks"].items() if not is_well))

    def _get(self, url: str) -> tuple[int, bytes]:
        try:
            answer: Any = self._pool.request("GET", url, preload_content=False, redirect=False)
            page: bytes = answer.read(MAX_OCTETS + 1)
            if len(page) > MAX_OCTETS:
                answer.close()
                raise NobodyThere(f"{url}: more than {MAX_OCTETS // 1024 // 1024} MiB")
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise NobodyThere(f"{url}: {_why(error)}") from None
        return answer.status, page

    def close(self) -> None:
        """Hang up."""
        self._pool.clear()


def _why(error: BaseException) -> str:
    """An error of the library in a few words."""
    cause = getattr(error, "reason", None) or error
    if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError):
        return f"nobody answers ({str(error).rpartition(': ')[2]})"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return str(cause).rpartition(": ")[2] or type(error).__name__
