"""Who has which numbers. Pure.

A call centre claims a number in three ways: by the number itself, by a block that holds it, and as the real number
behind its 8xx. What one has claimed no other may claim in any of the three ways (H13). Within one call centre a number
may lie inside a block (its own settings then win over the block's), and be the real number behind an 8xx; blocks never
overlap, for a number could then have two sets of settings.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from provisioning.e164 import digits_of, e164_of
from provisioning.errors import BlockOverlap, ClaimedByAnother
from provisioning.model import Block, Number, block_key


class Claims:
    """A mutable book of claims.

    ``check`` never changes it; ``add`` never checks.
    """

    def __init__(self, entries: Iterable[Number | Block] = ()) -> None:
        self._numbers: dict[int, str] = {}  # digits -> call centre
        self._behind: dict[int, tuple[str, str]] = {}  # digits of a real number -> its 8xx, call centre
        self._firsts: list[int] = []
        self._blocks: list[tuple[int, str]] = []  # last, call centre; beside _firsts
        self._sorted_numbers: list[int] | None = None
        for entry in entries:
            self.add(entry)

    def add(self, entry: Number | Block) -> None:
        """Note a claim that was checked."""
        if isinstance(entry, Number):
            digits = digits_of(entry.number)
            self._numbers[digits] = entry.call_centre
            if entry.alias_of:
                self._behind[digits_of(entry.alias_of)] = (entry.number, entry.call_centre)
            self._sorted_numbers = None
            return
        first = digits_of(entry.first)
        at = bisect_left(self._firsts, first)
        if at < len(self._firsts) and self._firsts[at] == first:
            self._blocks[at] = (digits_of(entry.last), entry.call_centre)
            return
        self._firsts.insert(at, first)
        self._blocks.insert(at, (digits_of(entry.last), entry.call_centre))

    def check(self, entry: Number | Block) -> None:
        """Refuse an entry that claims what another call centre has, or a block that overlaps one.

        Raises: ClaimedByAnother, BlockOverlap.
        """
        if isinstance(entry, Number):
            self._check_digits(digits_of(entry.number), entry.number, entry.call_centre)
            if entry.alias_of:
                self._check_digits(digits_of(entry.alias_of), entry.alias_of, entry.call_centre)
        else:
            self._check_block(entry)

    def _block_of(self, digits: int) -> tuple[int, int, str] | None:
        at = bisect_right(self._firsts, digits) - 1
        if at >= 0 and digits <= self._blocks[at][0]:
            return self._firsts[at], *self._blocks[at]
        return None

    def _check_digits(self, digits: int, value: str, call_centre: str) -> None:
        owner = self._numbers.get(digits, call_centre)
        if owner != call_centre:
            raise ClaimedByAnother(value, e164_of(digits), owner)
        alias, owner = self._behind.get(digits, ("", call_centre))
        if owner != call_centre:
            raise ClaimedByAnother(value, f"the real number behind {alias}", owner)
        block = self._block_of(digits)
        if block is not None and block[2] != call_centre:
            raise ClaimedByAnother(value, f"block {block_key(e164_of(block[0]), e164_of(block[1]))}", block[2])

    def _check_block(self, block: Block) -> None:
        first, last = digits_of(block.first), digits_of(block.last)
        # The one that begins at or before our last number, and not the block's own former self.
        at = bisect_right(self._firsts, last) - 1
        while at >= 0 and self._blocks[at][0] >= first:
            other_last, owner = self._blocks[at]
            other = block_key(e164_of(self._firsts[at]), e164_of(other_last))
            if other != block.key:
                if owner == block.call_centre:
                    raise BlockOverlap(block.key, other)
                raise ClaimedByAnother(block.key, f"block {other}", owner)
            if owner != block.call_centre:
                raise ClaimedByAnother(block.key, block.key, owner)
            at -= 1
        self._check_numbers_inside(block, first, last)
        if block.alias:
            self._check_digits(digits_of(block.alias), block.alias, block.call_centre)

    def _check_numbers_inside(self, block: Block, first: int, last: int) -> None:
        if self._sorted_numbers is None:
            self._sorted_numbers = sorted(self._numbers)
        numbers = self._sorted_numbers
        for digits in numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]:
            owner = self._numbers[digits]
            if owner != block.call_centre:
                raise ClaimedByAnother(block.key, e164_of(digits), owner)
        for digits, (alias, owner) in self._behind.items():
            if first <= digits <= last and owner != block.call_centre:
                raise ClaimedByAnother(block.key, f"the real number behind {alias}", owner)
