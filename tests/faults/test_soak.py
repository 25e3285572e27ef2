"""A short form of ``make soak``: the same road, some seconds of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.soak import Sample, open_soak, soak

pytestmark = pytest.mark.slow


async def test_links_that_flap_and_throttle_lose_nothing(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """Two carriers in a group: whatever happens to either, every text is accounted for, in order."""
    samples: list[Sample] = []
    async with open_soak(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", unused_tcp_port_factory, 7, 100) as scene:
        events = await soak(scene, 12, 0.5, samples.append)
        await scene.drain(180)
        await scene.stop(30)
        violations, book = scene.account()
    assert not violations, "\n".join(violations[:50])
    assert events
    assert {name[0] for name in book.texts} == set("ABCD")
    assert sum(carrier.binds for carrier in scene.carriers) > 2, "no link was ever lost: the test did not do its work"
