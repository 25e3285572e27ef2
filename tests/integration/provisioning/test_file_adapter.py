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


def tasks(count: int, submission: int = 1) -> list[Task]:
    listings = [Listing(number=(it := f"+1617555{at:04}"), real_number=it, call_centre="a") for at in range(count)]
    return [Task(f"{submission:014x}-{each.number[1:]}-pc0ffee", each) for each in listings]


def test_the_rest_of_a_call_is_found_in_the_file_of_them_all(tmp_path: Path) -> None:
    """What came of a call is written in pieces, and the publisher may die between two: what is left is told again."""
    directory = built(CarrierDirectory, name="folder", adapter="file", drop_directory=str(tmp_path))
    adapter, registry, all_of_them = FileAdapter(directory, {}), FileRegistry(tmp_path), tasks(500)
    [stem] = {answer.remote_id for answer in adapter.publish(all_of_them)}
    for processed in (False, True):
        if processed:
            assert registry.process() == 1
        answers = adapter.publish(all_of_them[200:])
        assert {answer.remote_id for answer in answers} == {stem}
        assert {answer.finding for answer in answers} == {Finding.ACTIVE if processed else Finding.SUBMITTED}
    assert registry.process() == 0
    assert set(registry.told.values()) == {1}
    beside = [*tasks(1, submission=2), *all_of_them[:1]]  # a file that has only some of them is none of theirs
    assert {answer.remote_id for answer in adapter.publish(beside)} != {stem}
    (tmp_path / f"{stem}.csv.sha256").unlink()  # nor one that was not dropped whole: the registry has not read it
    assert {answer.remote_id for answer in adapter.publish(all_of_them[300:])} != {stem}


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
            for findings in pool.map(tell, [tasks(200, submission)] * PUBLISHERS):
                assert findings == {Finding.SUBMITTED}
            assert registry.process() == 1
    assert len(registry.told) == 20 * 200
    assert not list(tmp_path.glob(".*")), "halves are left over"
