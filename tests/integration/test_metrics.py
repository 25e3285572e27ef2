"""The scrape of a real daemon that has been through a conversation, against the table of metrics, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from hub import Hub
from ops import demo
from ops.metric_families import family
from ops.metrics import Pages, SessionCounters
from ops.metrics_table import METRICS, SUMMARY
from provisioning import Directory
from store import open_store

TRACING = {"smshub_spans_total"}
NODES = {name for name, row in METRICS.items() if "[cluster]" in row.only}  # tests/integration/test_node_cli.py
REDIS = {name for name in METRICS if name.startswith("smshub_redis_")}  # tests/integration/test_redis_link.py


async def scrape(port: int) -> str:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
        octets = b"".join([chunk async for chunk in stream])
    head, _, body = octets.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return body.decode()


MORE = """
[charging]
directory = "{path}/cdr"
[archive]
target = "directory:archive"
[enum]
servers = ["127.0.0.1"]
port = {dns}
trust = "any"
"""


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int):
    """A demonstration with everything on that has metrics."""
    more = MORE.format(path=tmp_path, dns=unused_tcp_port)
    monkeypatch.setattr(demo, "_CONFIGURATION", demo._CONFIGURATION + more)
    (tmp_path / "cdr").mkdir()
    async with demo.open_stage(tmp_path / "stage") as stage:
        yield stage


async def test_a_scrape_has_every_metric_of_the_table_and_no_other(stage) -> None:
    await demo.Conversation(stage, lambda line: None).play()
    watch = stage.daemon.store_watch
    await watch.look()
    text = await scrape(stage.daemon.ports["metrics"])
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in text_string_to_metric_families(text)
        if family.name.startswith("smshub_")
    }
    assert set(families) == set(METRICS) - TRACING - REDIS - NODES
    for name, found in families.items():
        row = METRICS[name]
        assert found.type == row.kind, name
        assert found.documentation == row.help, name
        for sample in found.samples:
            assert row.kind == SUMMARY or set(sample.labels) == set(row.labels), name
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["smshub_endpoint_up", "link:carrier"] == 1
    assert values["smshub_endpoint_up", "desk:acme"] == 1
    assert values["smshub_endpoint_up", "account:demo"] == 0
    assert values["smshub_sessions", "link:carrier", "transceiver"] == 1
    assert values["smshub_sessions_wanted", "link:carrier"] == 1
    assert values["smshub_desk_reach", "desk:acme", "there"] == 1
    assert values["smshub_store_up",] == 1
    assert values["smshub_open_threads", "acme"] == 1
    assert values["smshub_catalog_revision",] == values["smshub_catalog_stored_revision",] > 0
    assert values["smshub_disk_free_bytes", "store"] > 0
    assert values["smshub_handed_over_total", "link:carrier"] >= 3
    assert "red light" not in text
    assert "6175550101" not in text, "a customer's number"


async def test_a_collector_that_fails_costs_its_own_metrics_alone(tmp_path: Path) -> None:
    class Broken:
        def collect(self):  # type: ignore[no-untyped-def]
            yield family("smshub_draining", 1)
            raise LookupError("a fault of ours")

    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        pages = Pages(Hub(store, Directory()), store, SessionCounters(), dict)
        pages.add(Broken())
        with capture_logs() as lines:
            for _ in range(3):
                status, _, body = await pages.answer("/metrics")
                assert status == 200
                assert b"smshub_store_commits_total" in body
                assert b"smshub_draining" not in body
    assert [(line["event"], line["collector"]) for line in lines] == [("metrics could not be read", "Broken")]
