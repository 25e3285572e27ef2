"""Traces: spans of what batches go through, handed to an OpenTelemetry collector over OTLP/HTTP.

Off, which is the default, nothing of this is loaded but this module. On, a batch is traced or not by chance
(``tracing.ratio``), which costs one random number; the spans of one that is wait in a bounded queue for a thread of
their own. When nobody takes them they are dropped and counted: texts never wait for a trace.

No address, text, token or key is ever an attribute, and of an error its type alone.

OpenTelemetry's packages are imported by name when they are needed: they come with the extra ``smshub[tracing]``.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from typing import Any, Final

import structlog
from prometheus_client.core import Metric

from ops.metric_families import family
from ops.tracing_settings import TracingSettings
from provisioning.directories.adapter import Adapter, Answer, Task
from provisioning.errors import BadValue
from provisioning.publisher import MakeAdapter

QUEUE: Final = 2_048  # spans that may wait; about 2 KB each
BATCH: Final = 512  # spans in one request
LINGER_S: Final = 1.0  # for more to come
REQUEST_S: Final = 5.0
FLUSH_S: Final = 3.0  # at the end

log = structlog.get_logger("ops.tracing")
# What the library says of collectors that do not answer, the log says once, in its own words.
logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
logging.getLogger("opentelemetry").propagate = False


class Outlet:
    """Where spans wait, and the thread that hands them over. An exporter, as OpenTelemetry has it, before another.

    Args:
        exporter: hands over; blocks.
        success: what it answers when somebody took them.

    Attributes:
        counts: ``exported``, ``failed``, ``dropped``.
    """

    def __init__(self, exporter: Any, success: Any) -> None:
        self.counts = {"exported": 0, "failed": 0, "dropped": 0}
        self._exporter = exporter
        self._success = success
        self._queue: queue.Queue[Any] = queue.Queue(QUEUE)
        self._stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="tracing", daemon=True)
        self._thread.start()

    def export(self, spans: Sequence[Any]) -> Any:
        """Take spans that have ended. Never waits."""
        for span in spans:
            try:
                self._queue.put_nowait(span)
            except queue.Full:
                self.counts["dropped"] += 1
        return self._success

    def shutdown(self) -> None:
        """As an exporter has it; ``close`` does it."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """As an exporter has it; ``close`` does it."""
        return True

    def close(self) -> None:
        """Hand over what waits, within a bound. Blocks."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes who waits for more
        self._thread.join(FLUSH_S)
        self._exporter.shutdown()
        self.counts["dropped"] += len([span for span in self._rest() if span is not None])

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            batch = self._take()
            if batch:
                self._hand_over(batch)

    def _take(self) -> list[Any]:
        try:
            batch = [self._queue.get(timeout=LINGER_S)]
        except queue.Empty:
            return []
        self._stopping.wait(LINGER_S)
        batch += islice(self._rest(), BATCH - 1)
        return [span for span in batch if span is not None]

    def _rest(self) -> Iterator[Any]:
        """What waits now."""
        while True:
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return

    def _hand_over(self, batch: list[Any]) -> None:
        try:
            taken = self._exporter.export(batch) is self._success
        except Exception:  # a fault of the library's
            taken = False
        self.counts["exported" if taken else "failed"] += len(batch)
        if taken == self._is_failing:
            self._is_failing = not taken
            if taken:
                log.info("traces are taken again")
            else:
                log.warning("the collector takes no traces; they are dropped, and texts go on")


class Spans:
    """Makes spans. ``spans_of`` makes it.

    Args:
        tracer: OpenTelemetry's.
        outlet: where its spans go.
        ratio: part of the batches that are traced.
        link: makes a link to a span.
    """

    def __init__(self, tracer: Any, outlet: Outlet, ratio: float, link: Callable[[Any], Any]) -> None:
        self._tracer = tracer
        self._outlet = outlet
        self._ratio = ratio
        self._link = link

    def wants(self) -> bool:
        """Whether to trace this one."""
        return random.random() < self._ratio  # noqa: S311 - no secret

    def start(self, name: str, attributes: Mapping[str, str | int], *, since_ns: int | None = None) -> Any:
        """A span that the caller ends."""
        return self._tracer.start_span(f"smshub.{name}", attributes=_named(attributes), start_time=since_ns)

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, str | int], ends: Sequence[Any] = ()
    ) -> Iterator[Callable[..., None]]:
        """A span of the body's length.

        Args:
            name: a word.
            attributes: words and counts.
            ends: spans that it links to.

        Yields: takes further attributes, by name.
        """
        links = [self._link(each.get_span_context()) for each in ends]
        made = self._tracer.start_span(f"smshub.{name}", attributes=_named(attributes), links=links)
        try:
            yield lambda **more: made.set_attributes(_named(more))
        except BaseException as error:
            made.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            made.end()

    def request(self, operation: str, status: int, since_ns: int) -> None:
        """A request of the control interface has been answered."""
        if self.wants():
            self.start("api", {"operation": operation, "status": status}, since_ns=since_ns).end()

    def tracing(self, make: MakeAdapter) -> MakeAdapter:
        """What makes adapters, made to make adapters whose calls are traced."""
        return lambda directory, environ: _TracedAdapter(make(directory, environ), directory.name, self)

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        yield family("smshub_spans_total", {(result,): float(count) for result, count in self._outlet.counts.items()})

    def close(self) -> None:
        """Hand over what waits, within ``FLUSH_S``. Blocks."""
        self._outlet.close()


class _TracedAdapter:
    """Calls of a directory, traced. They run in worker threads."""

    def __init__(self, adapter: Adapter, name: str, spans: Spans) -> None:
        self._adapter = adapter
        self._name = name
        self._spans = spans

    def _call(self, call: str, work: Callable[[Sequence[Task]], list[Answer]], tasks: Sequence[Task]) -> list[Answer]:
        if not self._spans.wants():
            return work(tasks)
        with self._spans.span("directory", {"directory": self._name, "call": call, "tasks": len(tasks)}):
            return work(tasks)

    def publish(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``provisioning.directories.adapter.Adapter``."""
        return self._call("publish", self._adapter.publish, tasks)

    def withdraw(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``provisioning.directories.adapter.Adapter``."""
        return self._call("withdraw", self._adapter.withdraw, tasks)

    def confirm(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``provisioning.directories.adapter.Adapter``."""
        return self._call("confirm", self._adapter.confirm, tasks)

    def close(self) -> None:
        """See ``provisioning.directories.adapter.Adapter``."""
        self._adapter.close()


def _named(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {f"smshub.{name}": value for name, value in attributes.items()}


def spans_of(section: TracingSettings, node_id: int, environ: Mapping[str, str]) -> Spans | None:
    """The spans that a configuration asks for; None when it names no collector.

    Args:
        section: the settings.
        node_id: which of several daemons this is.
        environ: to look the secret up in.

    Raises: BadValue: OpenTelemetry is not installed; UnreadableSecret.
    """
    if not section.endpoint:
        return None
    try:
        trace = importlib.import_module("opentelemetry.trace")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        why = "traces need OpenTelemetry: install smshub[tracing], or leave it out"
        raise BadValue("tracing.endpoint", section.endpoint, why) from None
    headers = {} if section.authorization is None else {"authorization": section.authorization.reveal(environ)}
    exporter = otlp.OTLPSpanExporter(endpoint=section.endpoint, headers=headers, timeout=REQUEST_S)
    named = {"service.name": "smshub", "service.version": version("smshub"), "service.instance.id": str(node_id)}
    provider = sdk.TracerProvider(resource=resources.Resource.create(named), shutdown_on_exit=False)
    outlet = Outlet(exporter, export.SpanExportResult.SUCCESS)
    provider.add_span_processor(export.SimpleSpanProcessor(outlet))
    return Spans(provider.get_tracer("smshub", named["service.version"]), outlet, section.ratio, trace.Link)
