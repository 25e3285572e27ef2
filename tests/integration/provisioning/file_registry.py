"""The other end of the file adapter: a registry that reads what is dropped and acknowledges it.

Written from docs/reference/directory-file.md with nothing of the adapter's, so that the two are checked against each
other. It keeps what it has been told, and counts what it was told twice.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path


class FileRegistry:
    """Reads a folder when it is asked to.

    Attributes:
        listed: what it has: number → the row that published it.
        told: how often it was told each key.
        files: names of the files it has processed.
        say: statuses that it answers whatever it was told: number → (status, reason).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listed: dict[str, dict[str, str]] = {}
        self.told: Counter[str] = Counter()
        self.files: set[str] = set()
        self.say: dict[str, tuple[str, str]] = {}

    def process(self) -> int:
        """Acknowledge each file that has its digest and no acknowledgement. Returns: how many these were."""
        new = []
        for beside in sorted(self.folder.glob("*.csv.sha256")):
            file = beside.with_suffix("")
            if not file.name.endswith(".ack.csv") and file.name not in self.files:
                new.append((file, beside))
        for file, beside in new:
            octets = file.read_bytes()
            digest, name = beside.read_text().split()
            assert digest == hashlib.sha256(octets).hexdigest()
            assert name == file.name
            self._acknowledge(file, [self._decide(row) for row in csv.DictReader(octets.decode().splitlines())])
            self.files.add(file.name)
        return len(new)

    def _decide(self, row: dict[str, str]) -> tuple[str, str, str]:
        number = row["number"]
        self.told[row["key"]] += 1
        if number in self.say:
            return (number, *self.say[number])
        if row["action"] == "withdraw":
            self.listed.pop(number, None)
            return number, "withdrawn", ""
        self.listed[number] = row
        return number, "active", ""

    def _acknowledge(self, file: Path, answers: list[tuple[str, str, str]]) -> None:
        acknowledgement = file.with_name(file.name.removesuffix(".csv") + ".ack.csv")
        half = acknowledgement.with_name(acknowledgement.name + ".part")
        with half.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["number", "status", "reason"])
            writer.writerows(answers)
        half.rename(acknowledgement)
