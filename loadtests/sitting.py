"""Publish a block of numbers in four directories in one sitting, and say what it took.

Run as ``python -m loadtests.sitting [--numbers 10000] [--kills 5] [--seed 1]``. The steps, and what is checked, are
those of ``tests/faults/sitting.py``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.faults.sitting import DIRECTORIES, Sitting


def main() -> None:
    """Sit down, publish, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smshub-sitting-") as home:
        sitting = Sitting(Path(home), asked.numbers)
        with sitting.surroundings():
            sitting.start()
            sitting.provision()
            sitting.publish(asked.kills, asked.seed)
            assert sitting.counts() == {(name, "active"): asked.numbers for name in DIRECTORIES}
            sitting.check_directories(there=True)
            sitting.withdraw()
            sitting.check_directories(there=False)
            sitting.stop()
        figures = sitting.figures
    print(*figures.progress, sep="\n")
    print(f"{figures.numbers:,} numbers, {figures.kills} kills, hub's peak {figures.peak_kib / 1024:.0f} MiB")
    print(f"told twice (counted once): {figures.told_twice:,}")
    for step, seconds in figures.seconds.items():
        print(f"{step:>15}  {seconds:8.2f} s")


if __name__ == "__main__":
    main()
