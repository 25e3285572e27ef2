"""Every metric and every command is documented, and nothing that does not exist is."""

from __future__ import annotations

import re
from pathlib import Path

from hub import Hub
from ops.api.counts import ApiCounts
from ops.charging import open_follower
from ops.cli_reference import reference
from ops.metrics import HubCollector, SessionCounters
from ops.publishing_metrics import PublishingMetrics
from ops.settings import ChargingSettings
from provisioning import Directory
from provisioning.publisher import Publisher
from store import open_store

ROOT = Path(__file__).parents[2]


def test_the_reference_of_the_command_is_current() -> None:
    assert (ROOT / "docs/reference/cli.md").read_text() == reference(), "run: python -m ops.cli_reference"


async def test_every_metric_is_documented_and_no_other(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        hub = Hub(store, Directory())
        families = list(HubCollector(hub, store, SessionCounters()).collect())
        charging = ChargingSettings(directory=str(tmp_path))
        follower = open_follower(charging, 0, store, hub.clock)
        assert follower is not None
        families += [*follower.collect(), *ApiCounts().collect()]
        families += PublishingMetrics(Publisher(store, Directory, {}, hub.clock).samples).collect()
    there = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    documented = set(re.findall(r"^\| `(smshub_[a-z_]+)`", (ROOT / "docs/reference/metrics.md").read_text(), re.M))
    assert documented == there
