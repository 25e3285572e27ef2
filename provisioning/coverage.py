"""What letters of authorization cover (H9), and what white lists name (H7). Pure.

Numbers are integers, and ranges of numbers stay ranges.

A **span** is a first and a last number, both of it, as integers of their digits. A list of spans is in **normal form**
when it is sorted and no two of its spans meet or touch: then two lists that name the same numbers are equal, and one
number is found in it by one bisection. A block of ten million is one span here, and is never counted out.

**Which letter covers a number** matters to directories, which ask for it: of all signed letters that are valid today,
the one that lasts longest, so that a number is published under the same letter as long as can be.
"""

from __future__ import annotations

import datetime
import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from provisioning.authority import WARN_DAYS, Loa, WhiteList, days_left, is_signed, is_valid
from provisioning.e164 import digits_of, e164_of

Span = tuple[int, int]

_WITHOUT_END = "9999-12-31"  # sorts after every day that a letter may end on


def joined(spans: Iterable[Span]) -> list[Span]:
    """Bring spans into normal form: sorted, those that meet or touch made one."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            if last > found[-1][1]:
                found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """The numbers of ``spans`` that are not in ``taken``, in normal form."""
    gaps = joined(taken)
    left: list[Span] = []
    at = 0
    for first, last in joined(spans):
        while at < len(gaps) and gaps[at][1] < first:
            at += 1
        behind = at
        while behind < len(gaps) and gaps[behind][0] <= last:
            if gaps[behind][0] > first:
                left.append((first, gaps[behind][0] - 1))
            first = gaps[behind][1] + 1
            behind += 1
        if first <= last:
            left.append((first, last))
        at = max(at, behind - 1)  # the last gap may reach into the next span
    return left


def size_of(spans: Iterable[Span]) -> int:
    """How many numbers there are in spans of which none meets another."""
    return sum([last - first + 1 for first, last in spans])


def spans_of(texts: Sequence[str]) -> list[Span]:
    """The spans of numbers and ranges as a letter holds them, in normal form.

    Args:
        texts: canonical, as ``syntax.read_range`` writes them: ``"+16175550100"``, ``"+16175550001-+16175559999"``.
    """
    spans = []
    for text in texts:
        first, hyphen, last = text.partition("-")
        low = digits_of(first)
        spans.append((low, digits_of(last) if hyphen else low))
    return joined(spans)


def written(span: Span) -> str:
    """A span as a letter holds it."""
    first, last = span
    return e164_of(first) if first == last else f"{e164_of(first)}-{e164_of(last)}"


def told(spans: Sequence[Span], most: int = 5) -> str:
    """Spans in words: ``"+16175550001, +16175550100-+16175550199 and 3 more"``.

    Args:
        spans: what to tell of.
        most: so many are named, the others counted: as spans, as those that are named are.
    """
    named = ", ".join(map(written, spans[:most]))
    return f"{named} and {len(spans) - most} more" if len(spans) > most else named


class Layers:
    """Spans of several that lie over each other: which of them has a number, the first that has it.

    Args:
        layers: the spans of each, in any form; the topmost first.

    Attributes:
        spans: the numbers that any of them has, in normal form.
    """

    __slots__ = ("_firsts", "_lasts", "_ranks", "spans")

    def __init__(self, layers: Sequence[Sequence[Span]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._ranks: list[int] = []
        self._lay(sorted((first, last, rank) for rank, spans in enumerate(layers) for first, last in spans))
        self.spans = joined(zip(self._firsts, self._lasts, strict=True))

    def _lay(self, starts: list[tuple[int, int, int]]) -> None:
        """Cut the numbers into pieces of one layer each: a sweep over all bounds, with the topmost on top."""
        bounds = sorted({first for first, _, _ in starts} | {last + 1 for _, last, _ in starts})
        open_spans: list[tuple[int, int]] = []  # rank and last: a heap
        at = 0
        for bound, following in pairwise(bounds):
            while at < len(starts) and starts[at][0] == bound:
                heapq.heappush(open_spans, (starts[at][2], starts[at][1]))
                at += 1
            while open_spans and open_spans[0][1] < bound:
                heapq.heappop(open_spans)
            if open_spans:
                self._append(bound, following - 1, open_spans[0][0])

    def _append(self, first: int, last: int, rank: int) -> None:
        if self._ranks and self._ranks[-1] == rank and self._lasts[-1] == first - 1:
            self._lasts[-1] = last
            return
        self._firsts.append(first)
        self._lasts.append(last)
        self._ranks.append(rank)

    def rank(self, digits: int) -> int | None:
        """Which layer has a number, from 0; None when none has."""
        at = bisect_right(self._firsts, digits) - 1
        return self._ranks[at] if at >= 0 and digits <= self._lasts[at] else None


class Coverage:
    """Which numbers of a call centre the letters cover that are signed and valid today. Made by ``coverage_of``.

    Attributes:
        letters: those letters, the one that lasts longest first.
    """

    __slots__ = ("_layers", "letters")

    def __init__(self, letters: Sequence[Loa]) -> None:
        self.letters = tuple(sorted(letters, key=_rank, reverse=True))
        self._layers = Layers([spans_of(letter.numbers) for letter in self.letters])

    @property
    def spans(self) -> list[Span]:
        """All numbers that are covered, in normal form."""
        return self._layers.spans

    def letter(self, digits: int) -> Loa | None:
        """The letter that covers a number: of several, the one that lasts longest; None when there is none."""
        rank = self._layers.rank(digits)
        return None if rank is None else self.letters[rank]

    def missing(self, ranges: Sequence[Span]) -> list[Span]:
        """What no letter covers of these spans, which may come in any order and meet: in normal form."""
        return without(ranges, self._layers.spans)


class WhiteListing:
    """How many texts a day the white lists of a call centre let expect of a number. Made by ``white_listing_of``."""

    __slots__ = ("_layers", "white_lists")

    def __init__(self, white_lists: Sequence[WhiteList]) -> None:
        self.white_lists = tuple(sorted(white_lists, key=lambda each: (-each.texts_per_day, each.name)))
        self._layers = Layers([spans_of(each.numbers) for each in self.white_lists])

    def white_list(self, digits: int) -> WhiteList | None:
        """The white list that names a number: of several, the one that expects most; None when there is none."""
        rank = self._layers.rank(digits)
        return None if rank is None else self.white_lists[rank]


def coverage_of(loas: Iterable[Loa], call_centre: str, today: str) -> Coverage:
    """Put together what covers a call centre's numbers today.

    Args:
        loas: letters, of any call centre and state.
        call_centre: whose numbers.
        today: the day, UTC: ``"2026-11-01"``. Ask again when it is another.
    """
    return Coverage([loa for loa in loas if loa.call_centre == call_centre and is_valid(loa, today)])


def white_listing_of(white_lists: Iterable[WhiteList], call_centre: str, today: str) -> WhiteListing:
    """Put together the white lists of a call centre that are valid today. A list names only its own centre's numbers.

    Args:
        white_lists: of any call centre.
        call_centre: whose numbers.
        today: the day, UTC.
    """
    return WhiteListing(
        [
            each
            for each in white_lists
            if each.call_centre == call_centre and (not each.valid_until or today <= each.valid_until)
        ]
    )


def expiring(loas: Iterable[Loa], today: str, within_days: int = WARN_DAYS) -> list[Loa]:
    """The signed letters that have expired or will soon, unless others go on covering all that they cover.

    So a letter that was renewed in time is not told of, and need not be removed.

    Args:
        loas: letters, of any call centre and state.
        today: the day, UTC.
        within_days: what is soon.

    Returns: who is first to go comes first.
    """
    known = list(loas)
    now = datetime.date.fromisoformat(today)
    afterwards = _day(now, within_days + 1)
    coverages: dict[tuple[str, str], Coverage] = {}

    def lacks(loa: Loa, left: int) -> bool:
        # On the day after its last, and still when all that expires soon has gone.
        for day in {_day(now, max(0, left + 1)), afterwards}:
            at = (loa.call_centre, day)
            if at not in coverages:
                coverages[at] = coverage_of(known, *at)
            if coverages[at].missing(spans_of(loa.numbers)):
                return True
        return False

    soon = [(left, loa) for loa in known if is_signed(loa) and (left := days_left(loa, today)) is not None]
    found = [(left, loa) for left, loa in soon if left <= within_days and lacks(loa, left)]
    return [loa for _, loa in sorted(found, key=lambda each: (each[0], each[1].name))]


def _day(start: datetime.date, days: int) -> str:
    return (start + datetime.timedelta(days)).isoformat()


def _rank(loa: Loa) -> tuple[str, str, str]:
    return (loa.valid_until or _WITHOUT_END, loa.valid_from, loa.name)
