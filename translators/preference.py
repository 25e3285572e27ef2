"""Which link of a group carries a part. Pure.

**Weighted rendezvous hashing** (Thaler and Ravishankar 1998; the weights as in Schindelhauer and Schomaker 2005): each
pair of source and destination draws a number between 0 and 1 for each link, from a hash of the three names, and prefers
the link with the smallest -ln(u) / weight. These are exponential clocks: link *i* rings first with probability
w_i / Σw. The draw for one link does not depend on the others, so a link that comes or goes moves nobody else's
customers, and nothing has to be remembered over a restart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from typing import Final

_MASK: Final = (1 << 64) - 1
_UNIT: Final = 2.0**-53

REFUSALS: Final = 20_000
"""Parts whose refusals are remembered: twice what one endpoint's dispatch holds in memory by default."""


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Preference:
    """The order in which pairs of source and destination prefer the members of a group.

    Args:
        members: (name, weight) of each; weights are more than 0.
        indices: what each is called in ``order``; its place in ``members`` when not given.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Sequence[tuple[str, float]], indices: Sequence[int] | None = None) -> None:
        named = zip(range(len(members)) if indices is None else indices, members, strict=True)
        self._members = [(_hash(name), 1.0 / weight, index) for index, (name, weight) in named]

    def order(self, source: str, destination: str) -> tuple[int, ...]:
        """The indices of all members, the preferred first."""
        pair = _hash(f"{source}\x00{destination}")
        clocks = []
        for seed, slowness, index in self._members:
            # One round of a 64-bit mixer (Stafford's variant 13 of MurmurHash3's): a bare XOR would leave the draws of
            # two members dependent on each other.
            x = pair ^ seed
            x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _MASK
            x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK
            x ^= x >> 31
            clocks.append((-math.log(((x >> 11) + 0.5) * _UNIT) * slowness, index))
        clocks.sort()
        return tuple([index for _, index in clocks])


def turned(order: Sequence[int], open_members: Collection[int], attempt: int) -> list[int]:
    """The members to ask for a part, in order.

    Args:
        order: of preference, see ``Preference``.
        open_members: those that may carry it.
        attempt: 1 on the first try. Each further one begins one member further down: who refused for now is asked last.
    """
    asked = [index for index in order if index in open_members]
    first = (attempt - 1) % len(asked) if asked else 0
    return asked[first:] + asked[:first]


class Refusals:
    """Who has refused which message's part for good. Bounded: the oldest is forgotten, which costs one more refusal."""

    def __init__(self, limit: int = REFUSALS) -> None:
        self._limit = limit
        self._known: dict[int, tuple[int, frozenset[int], str]] = {}  # message id → (part, members, last reason)

    def __len__(self) -> int:
        return len(self._known)

    def note(self, message_id: int, part: int, member: int, reason: str) -> frozenset[int]:
        """A member has refused a part. Returns: all that have."""
        known = self._known.pop(message_id, None)
        members = frozenset((member,)) if known is None or known[0] != part else known[1] | {member}
        self._known[message_id] = (part, members, reason)
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
        return members

    def of(self, message_id: int, part: int) -> tuple[Collection[int], str]:
        """Who has refused a part, and with what word the last of them did."""
        known = self._known.get(message_id)
        return (known[1], known[2]) if known is not None and known[0] == part else ((), "")

    def forget(self, message_id: int) -> None:
        """The message goes on, or has ended."""
        self._known.pop(message_id, None)
