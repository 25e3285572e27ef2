"""Traces, taken by a collector that reads OTLP over HTTP with the standard's own messages."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hub import Part
from ops import demo, traced_hub, tracing
from ops.config import ConfigErrors, read_config
from ops.daemon import open_daemon
from ops.traced_hub import TracedHub
from ops.tracing import Outlet, Spans, spans_of
from ops.tracing_settings import TracingSettings
from provisioning import Directory, Secret, SecretKind, publication
from provisioning.directories.adapter import Answer, Finding
from provisioning.errors import BadValue
from store import open_store

ROOT = Path(__file__).parents[2]


class Collector:
    """What came, and how to answer the next.

    Attributes:
        requests: bodies, and the header Authorization, in order.
        status: of the answers.
        hold: when it is not set, answers wait.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, str]] = []
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((body, self.headers.get("Authorization", "")))
                collector.hold.wait(60)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[Span]:
        messages = [ExportTraceServiceRequest.FromString(body) for body, _ in self.requests]
        return [
            span
            for message in messages
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for more spans to come, and a slow machine has time to hand over those that came."""
    monkeypatch.setattr(tracing, "LINGER_S", 0.05)
    monkeypatch.setattr(tracing, "REQUEST_S", 60.0)
    monkeypatch.setattr(tracing, "FLUSH_S", 60.0)


def attributes(span: Span) -> dict[str, str | int]:
    return {
        pair.key.removeprefix("smshub."): pair.value.string_value or pair.value.int_value for pair in span.attributes
    }


def wait_until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def made(collector: Collector, ratio: float = 1.0, **more: Any) -> Spans:
    found = spans_of(TracingSettings(endpoint=collector.endpoint, ratio=ratio, **more), 3, {"TOKEN": "Bearer abc"})
    assert found is not None
    return found


def counts(spans: Spans) -> dict[str, float]:
    (family,) = spans.collect()
    return {sample.labels["result"]: sample.value for sample in family.samples}


async def test_a_conversation_leaves_spans_of_each_step_and_no_word_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    more = f'\n[tracing]\nendpoint = "{collector.endpoint}"\nratio = 1.0\n'
    monkeypatch.setattr(demo, "_CONFIGURATION", demo._CONFIGURATION + more)
    with trio.fail_after(120):
        async with demo.open_stage(tmp_path / "stage") as stage:
            await demo.Conversation(stage, lambda line: None).play()
            spans = stage.daemon.spans
            assert spans is not None
    said = counts(spans)
    assert (said["failed"], said["dropped"]) == (0, 0)
    found = collector.spans()
    assert len(found) == said["exported"] > 0
    by_id = {span.span_id: span for span in found}
    assert len(by_id) == len(found)
    names = {span.name for span in found}
    assert names == {"smshub.intake", "smshub.deliver", "smshub.outcome"}
    told = [(span.name, attributes(span)) for span in found]
    assert (
        "smshub.intake",
        {"endpoint": "link:carrier", "arrivals": 1, "accepted": 1, "refused": 0, "deferred": 0},
    ) in told
    delivered = [each for name, each in told if name == "smshub.deliver" and each["endpoint"] == "link:carrier"]
    assert sum(int(each["parts"]) for each in delivered) >= 3, "a long answer in parts, and a receipt"
    outcomes = [span for span in found if span.name == "smshub.outcome"]
    assert sum(int(attributes(span)["accepted"]) for span in outcomes) >= 3
    # Every delivery that ended is linked to by the outcomes that ended it, and not before it began.
    linked = [(span, by_id[link.span_id]) for span in outcomes for link in span.links]
    deliveries = {span.span_id for span in found if span.name == "smshub.deliver"}
    assert {delivery.span_id for _, delivery in linked} == deliveries
    for outcome, delivery in linked:
        assert delivery.start_time_unix_nano <= delivery.end_time_unix_nano <= outcome.end_time_unix_nano
    octets = b"".join(body for body, _ in collector.requests)
    token = next(iter(stage.desk.conversations.values())).token
    for secret in ("red light", "6175550101", "18005550100", "lost its line", token, token[:6], "demo-secret"):
        assert secret.encode() not in octets, secret
    resource = ExportTraceServiceRequest.FromString(collector.requests[0][0]).resource_spans[0].resource
    assert {pair.key: pair.value.string_value for pair in resource.attributes}["service.name"] == "smshub"


def test_the_collector_is_shown_the_authorization(collector: Collector) -> None:
    spans = made(collector, authorization=Secret(SecretKind.ENV, "TOKEN"))
    spans.start("api", {"status": 200}).end()
    spans.close()
    assert [authorization for _, authorization in collector.requests] == ["Bearer abc"]
    assert counts(spans) == {"exported": 1, "failed": 0, "dropped": 0}


def test_a_request_of_the_control_interface_is_a_span(collector: Collector) -> None:
    spans = made(collector)
    began_ns = time.time_ns() - 5_000_000
    spans.request("list-numbers", 403, began_ns)
    spans.close()
    (span,) = collector.spans()
    assert (span.name, attributes(span)) == ("smshub.api", {"operation": "list-numbers", "status": 403})
    assert span.start_time_unix_nano == began_ns


def test_calls_of_a_directory_are_spans_and_an_error_leaves_its_type_alone(collector: Collector) -> None:
    class Adapter:
        def publish(self, tasks: Any) -> list[Answer]:
            return [Answer(Finding.ACTIVE)] * len(tasks)

        def confirm(self, tasks: Any) -> list[Answer]:
            raise ConnectionError("no route to +16175550100")

        withdraw = publish

        def close(self) -> None:
            closed.append(True)

    closed: list[bool] = []
    spans = made(collector)
    adapter: Any = spans.tracing(lambda directory, environ: Adapter())(  # type: ignore[arg-type]
        msgspec.defstruct("Directory", [("name", str)])("enum"), {}
    )
    assert len(adapter.publish([1, 2])) == 2
    assert len(adapter.withdraw([1])) == 1
    with pytest.raises(ConnectionError):
        adapter.confirm([1, 2, 3])
    adapter.close()
    spans.close()
    assert closed == [True]
    assert [(span.name, attributes(span)) for span in collector.spans()] == [
        ("smshub.directory", {"directory": "enum", "call": "publish", "tasks": 2}),
        ("smshub.directory", {"directory": "enum", "call": "withdraw", "tasks": 1}),
        ("smshub.directory", {"directory": "enum", "call": "confirm", "tasks": 3, "error.type": "ConnectionError"}),
    ]
    assert b"6175550100" not in collector.requests[0][0]


def test_a_collector_that_refuses_costs_its_spans_and_nothing_else(collector: Collector) -> None:
    collector.status = 400
    spans = made(collector)
    spans.start("api", {}).end()
    wait_until(lambda: counts(spans)["failed"] == 1)
    collector.status = 200
    spans.start("api", {}).end()
    spans.close()
    assert counts(spans) == {"exported": 1, "failed": 1, "dropped": 0}


def test_spans_beyond_the_queue_are_dropped_and_the_end_is_bounded(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "QUEUE", 8)
    monkeypatch.setattr(tracing, "BATCH", 4)
    monkeypatch.setattr(tracing, "FLUSH_S", 0.2)
    collector.hold.clear()
    spans = made(collector)
    for _ in range(100):
        spans.start("api", {}).end()
    wait_until(lambda: collector.requests)
    spans.close()  # while the collector says nothing
    said = counts(spans)
    assert said["dropped"] >= 100 - 8 - 4 - 4
    assert sum(said.values()) <= 100


def test_nobody_listens(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "FLUSH_S", 0.5)
    settings = TracingSettings(endpoint=f"http://127.0.0.1:{unused_tcp_port}/v1/traces", ratio=1.0)
    spans = spans_of(settings, 0, {})
    assert spans is not None
    spans.start("api", {}).end()
    spans.close()
    assert counts(spans)["exported"] == 0


def test_what_is_not_wanted_is_not_traced(collector: Collector) -> None:
    spans = made(collector, ratio=0.0)
    assert not any(spans.wants() for _ in range(1000))
    spans.request("list-numbers", 200, time.time_ns())
    spans.close()
    assert collector.requests == []


def test_off_nothing_is_loaded() -> None:
    assert spans_of(TracingSettings(), 0, {}) is None
    script = "import sys, ops.daemon; sys.exit(any(name.split('.')[0] == 'opentelemetry' for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(BadValue, match=r"smshub\[tracing\]"):
        spans_of(TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces"), 0, {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('endpoint = "127.0.0.1:4318"', "the whole address"),
        ('endpoint = "http:///v1/traces"', "the whole address"),
        ('endpoint = "http://[::1/v1/traces"', "the whole address"),
        ('endpoint = "http://host:99999/v1/traces"', "the whole address"),
        ('endpoint = "https://user:geheim@host/v1/traces"', "tracing.authorization"),
        ('endpoint = "http://host/v1/traces"\nauthorization = "geheim"', "https"),
        ("ratio = 1.5", "ratio"),
    ],
)
def test_settings_that_are_wrong_are_refused(words: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="tracing") as refused:
        read_config(f"[tracing]\n{words}\n", "", tmp_path)
    assert said in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_an_exporter_that_fails_ends_no_thread() -> None:
    class Broken:
        def export(self, spans: Any) -> Any:
            raise RuntimeError("a fault of the library's")

        def shutdown(self) -> None:
            pass

    outlet = Outlet(Broken(), object())
    outlet.export([1, 2])
    wait_until(lambda: outlet.counts["failed"] == 2)
    outlet.export([3])
    outlet.close()
    assert outlet.counts == {"exported": 0, "failed": 3, "dropped": 0}


class Wire:
    """An endpoint that takes parts."""

    name = "link:x"
    gap_us = source_gap_us = 0

    def deliver(self, parts: Any) -> None:
        pass


async def test_deliveries_that_are_never_answered_for_are_let_go(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traced_hub, "MAX_PARTS", 10)
    spans = made(collector)
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        hub = TracedHub(store, Directory(), spans=spans)
        hub.attach(Wire())  # type: ignore[arg-type]
        message = msgspec.defstruct("Message", [("id", int)])
        for number in range(100):
            parts = [Part(message(number), at, 4, None, 1, False) for at in (1, 2, 3, 4)]  # type: ignore[arg-type]
            hub.dispatcher("link:x").deliver(parts)
        assert len(hub._deliveries) == 10
    spans.close()
    assert len(collector.spans()) == 97, "the last three are still on the wire: the first of these in part"


DAEMON = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[api]
port = {port}
[tracing]
endpoint = "{endpoint}"
ratio = 1.0
[[call_centre]]
name = "acme"
[[number]]
number = "+12025550100"
call_centre = "acme"
[[loa]]
name = "letter"
call_centre = "acme"
owner = "Example Corp"
designee = "Hub Ltd"
contact = "A. Person"
numbers = ["+12025550100"]
valid_from = "2020-01-01"
signed_by = "A. Person"
signed_on = "2020-01-01"
digest = "sha256:{digest}"
[[directory]]
name = "drop"
adapter = "file"
drop_directory = "{drop}"
"""


async def test_a_daemon_traces_its_control_interface_and_its_directories(
    tmp_path: Path, collector: Collector, unused_tcp_port: int
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    text = DAEMON.format(port=unused_tcp_port, endpoint=collector.endpoint, drop=drop, digest="0" * 64)
    with trio.fail_after(120):
        async with open_daemon(read_config(text, "", tmp_path)) as daemon:
            stream = await trio.open_tcp_stream("127.0.0.1", daemon.ports["api"])
            async with stream:
                await stream.send_all(b"GET /v1/numbers HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
                answer = b"".join([chunk async for chunk in stream])
            assert answer.startswith(b"HTTP/1.1 401")
            wish = {"directories": ["drop"], "call_centre": "acme", "who": "test", "now_us": daemon.hub.clock()}
            await daemon.store.transact(lambda tx: publication.publish(tx, spans=None, **wish))
            while not daemon.publisher.tally.calls:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.05)
    told = [(span.name, attributes(span)) for span in collector.spans()]
    (operation, status) = next((said["operation"], said["status"]) for name, said in told if name == "smshub.api")
    assert status == 401
    assert daemon.api_counts.requests[str(operation), 401] == 1
    assert ("smshub.directory", {"directory": "drop", "call": "publish", "tasks": 1}) in told
