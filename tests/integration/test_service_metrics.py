"""What metrics say of reloads, letters, retention, the catalog and the clock, on a real daemon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from hub import wall_clock_us
from hub.hub import Clock
from ops.config import load_config
from ops.daemon import Daemon, open_daemon
from ops.service_metrics import ServiceMetrics
from provisioning import CallCentre, Loa, catalog
from provisioning.authority import day_of

DAY_US = 86_400_000_000
FILE = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[[link]]
name = "one"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "x"
[[group]]
name = "all"
links = ["one"]
[[route]]
prefix = "*"
endpoint = "group:all"
"""


def write(file: Path, more: str = "") -> None:
    file.write_text(file.read_text().partition("# more")[0] + (f"# more\n{more}" if more else ""))


def values(daemon: Daemon) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for collector in daemon._collectors()
        for family in collector.collect()
        for sample in family.samples
    }


@pytest.fixture
def file(tmp_path: Path, unused_tcp_port: int) -> Path:
    path = tmp_path / "smshub.toml"
    path.write_text(FILE.format(port=unused_tcp_port))
    return path


async def test_reloads_are_counted_and_one_that_is_refused_is_seen_until_it_is_mended(file: Path) -> None:
    async with open_daemon(load_config(file)) as daemon:
        said = values(daemon)
        assert said["smshub_reload_successful",] == 1
        assert [said["smshub_reloads_total", state] for state in ("done", "refused", "failed")] == [0, 0, 0]
        began_s = said["smshub_reload_timestamp_seconds",]
        assert abs(began_s - time.time()) < 600
        write(file, "[[link]]\nname = 7\n")
        assert (await daemon.reload("test")).state == "refused"
        said = values(daemon)
        assert said["smshub_reload_successful",] == 0
        assert said["smshub_reload_timestamp_seconds",] == began_s, "what was in force is in force"
        assert (await daemon.reloader.reload("test", dry_run=True)).state == "refused"
        assert values(daemon)["smshub_reloads_total", "refused"] == 1, "a dry run is none"
        write(file)
        assert (await daemon.reload("test")).state == "done"
        said = values(daemon)
        assert said["smshub_reload_successful",] == 1
        assert said["smshub_reload_timestamp_seconds",] > began_s
        assert [said["smshub_reloads_total", state] for state in ("done", "refused", "failed")] == [1, 1, 0]
        assert not any(name[0] == "smshub_spans_total" for name in said), "no collector is named"


async def test_a_change_of_the_catalog_is_seen_in_the_store_first_and_then_in_force(file: Path) -> None:
    async with open_daemon(load_config(file)) as daemon:
        await daemon.store_watch.look()
        before = values(daemon)
        assert before["smshub_catalog_revision",] == before["smshub_catalog_stored_revision",]
        by = {"who": "test", "now_us": wall_clock_us()}
        centre = CallCentre(name="helpline")
        letter = Loa(
            name="soon",
            call_centre="helpline",
            owner="Example Corp",
            designee="Hub Ltd",
            contact="A. Person",
            numbers=("+12025550100",),
            valid_from="2026-01-01",
            valid_until=day_of(wall_clock_us() + 3 * DAY_US),
            signed_by="A. Person",
            signed_on="2026-01-01",
            digest="sha256:" + 64 * "0",
        )
        await daemon.store.transact(lambda tx: catalog.apply(tx, [centre, letter], **by))
        await daemon.store_watch.look()
        after = values(daemon)
        assert after["smshub_catalog_stored_revision",] > before["smshub_catalog_stored_revision",]
        assert after["smshub_audit_entries_total",] > before["smshub_audit_entries_total",]
        with trio.fail_after(60):
            while values(daemon)["smshub_catalog_revision",] < after["smshub_catalog_stored_revision",]:  # noqa: ASYNC110
                await trio.sleep(0.05)
        await daemon.letters.look()
        assert values(daemon)["smshub_loa_days_left", "soon", "helpline"] in (2, 3), "midnight may pass"


async def test_endpoints_are_down_and_said_to_be(file: Path) -> None:
    async with open_daemon(load_config(file)) as daemon:
        said = values(daemon)
        assert said["smshub_endpoint_up", "link:one"] == said["smshub_endpoint_up", "group:all"] == 0
        assert said["smshub_sessions", "link:one", "transceiver"] == 0
        assert said["smshub_sessions_wanted", "link:one"] == 1
        assert said["smshub_window_requests", "link:one"] == 0
        assert said["smshub_troubled_endpoints",] == 0
        assert said["smshub_draining",] == 0
    assert values(daemon)["smshub_draining",] == 1


async def test_retention_says_when_it_last_did_all(file: Path) -> None:
    async with open_daemon(load_config(file)) as daemon:
        before_s = values(daemon)["smshub_retention_done_timestamp_seconds",]
        assert abs(before_s - time.time()) < 600, "at first the start"
        with trio.fail_after(60):
            while values(daemon)["smshub_retention_done_timestamp_seconds",] == before_s:  # noqa: ASYNC110
                await trio.sleep(0.05)


HOUR_NS = 3_600_000_000_000


async def test_a_clock_that_was_set_is_seen(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_daemon(load_config(file)) as daemon:
        # With a clock of its own: the hub's is the whole process's, and would stay an hour ahead for other tests.
        service = ServiceMetrics(daemon.keeper, daemon.letters, daemon.reloader, Clock(), lambda: False)

        def clock() -> tuple[float, float]:
            said = {family.name: family.samples[0].value for family in service.collect() if family.samples}
            return said["smshub_clock_ahead_seconds"], said["smshub_clock_stepped_seconds"]

        ahead_s, stepped_s = clock()
        assert ahead_s < 1
        assert abs(stepped_s) < 60
        real = time.time_ns
        with monkeypatch.context() as back:
            back.setattr(time, "time_ns", lambda: real() - HOUR_NS)
            ahead_s, stepped_s = clock()
            assert 3_500 < ahead_s < 3_700
            assert -3_700 < stepped_s < -3_500
        ahead_s, stepped_s = clock()
        assert ahead_s < 1
        assert abs(stepped_s) < 60
        with monkeypatch.context() as on:
            on.setattr(time, "time_ns", lambda: real() + HOUR_NS)
            ahead_s, stepped_s = clock()
            assert ahead_s < 1, "the hub's clock follows"
            assert 3_500 < stepped_s < 3_700
