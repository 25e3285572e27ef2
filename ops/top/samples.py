"""What a daemon's ``/metrics`` said at one moment. Pure.

A metric that is not there is nothing: an older or a newer daemon has others, and the view has a gap there.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

Labels = tuple[tuple[str, str], ...]


class Sample(msgspec.Struct, frozen=True):
    """One reading.

    Attributes:
        at_us: when it was read.
        values: by name and labels in order of name.
        missing: what keeps the daemon from being ready; None when nobody said.
    """

    at_us: int
    values: dict[str, dict[Labels, float]]
    missing: tuple[str, ...] | None = None

    def value(self, name: str, default: float = 0.0, **labels: str) -> float:
        """One value, or the default when there is none."""
        found = self.values.get(name, {}).get(tuple(sorted(labels.items())))
        return default if found is None else found

    def has(self, name: str) -> bool:
        """Whether the daemon has this metric."""
        return bool(self.values.get(name))

    def sums(self, name: str, label: str = "endpoint") -> dict[str, float]:
        """Sums by one label."""
        found: dict[str, float] = defaultdict(float)
        for labels, value in self.values.get(name, {}).items():
            found[dict(labels).get(label, "")] += value
        return dict(found)

    def greatest(self, name: str, label: str = "endpoint") -> dict[str, float]:
        """Greatest values by one label."""
        found: dict[str, float] = {}
        for labels, value in self.values.get(name, {}).items():
            key = dict(labels).get(label, "")
            found[key] = max(value, found.get(key, value))
        return found

    def total(self, name: str) -> float:
        """The sum of all."""
        return sum(self.values.get(name, {}).values())
