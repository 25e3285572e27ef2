"""A block goes from a letter to active in all four directories, whenever the hub is killed: see ``sitting``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.sitting import DIRECTORIES, Sitting


@pytest.mark.slow
def test_a_block_is_published_in_one_sitting(tmp_path: Path, scale: int, fault_seed: int) -> None:
    numbers = 200 * scale
    sitting = Sitting(tmp_path, numbers)
    with sitting.surroundings():
        sitting.start()
        sitting.provision()
        sitting.publish(kills=2 + scale, seed=fault_seed)
        assert sitting.counts() == {(name, "active"): numbers for name in DIRECTORIES}
        sitting.check_directories(there=True)
        assert sitting.figures.progress, "nobody was told how far it is"
        sitting.withdraw()
        sitting.check_directories(there=False)
