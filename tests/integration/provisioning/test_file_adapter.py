"""Files that are dropped, where more than one may drop them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provisioning import CarrierDirectory, built
from provisioning.directories.adapter import Finding, Listing, Task
from provisioning.directories.file import FileAdapter
from tests.integration.provisioning.file_registry import FileRegistry

PUBLISHERS = 8


def test_two_publishers_that_tell_the_same_drop_one_whole_file(tmp_path: Path) -> None:
    """A daemon, and `publish --now` beside it, which goes on from where it finds the rows: the same keys at once."""
    directory = built(CarrierDirectory, name="folder", adapter="file", drop_directory=str(tmp_path))
    together = threading.Barrier(PUBLISHERS)

    def tell(batch: list[Task]) -> set[Finding]:
        together.wait(30)
        return {answer.finding for answer in FileAdapter(directory, {}).publish(batch)}

    registry = FileRegistry(tmp_path)
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        for submission in range(20):
            numbers = [f"+1617555{at:04}" for at in range(200)]
            listings = [Listing(number=number, real_number=number, call_centre="a") for number in numbers]
            batch = [Task(f"{submission:014x}-{each.number[1:]}-pc0ffee", each) for each in listings]
            for findings in pool.map(tell, [batch] * PUBLISHERS):
                assert findings == {Finding.SUBMITTED}
            assert registry.process() == 1
    assert len(registry.told) == 20 * 200
    assert not list(tmp_path.glob(".*")), "halves are left over"
