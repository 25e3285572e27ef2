"""The accountant: says whether a history keeps what the hub promises. Pure.

A history is what the senders wrote and were answered, what the sinks took and in which order, and what the journal says
at the end. The promises:

- **Never lost.** What was acknowledged, or stands in the journal, was taken, whole.
- **Duplicates only in doubt.** A message was taken more often than once only as often as the journal says that one of
  its parts was in doubt.
- **Order.** The first takes of a lane are in the order of sending; a repetition directly repeats the lane's last part.
- **Receipts.** Who asked for one got exactly one; more only as often as the journal says that the receipt was in doubt.

What was never acknowledged may appear or not, once.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

# Nine characters, so that 17 of them fill a part of 153: every part of a long text begins with its name.
NAME = re.compile(r"[A-Z]\d{7}\.")
NAME_CHARACTERS = 9


def name_of(flow: str, lane: int, number: int) -> str:
    """The name of a text: its flow's letter, two digits of lane, five of its number in the lane, and a dot."""
    return f"{flow}{lane:02d}{number:05d}."


class Sent(msgspec.Struct, kw_only=True):
    """A text as its sender knows it.

    Attributes:
        name: see ``name_of``.
        pieces: in how many pieces it was sent.
        acknowledged: how many of them were answered with OK.
        wants_receipt: its sender asked to hear what became of it.
    """

    name: str
    pieces: int = 1
    acknowledged: int = 0
    wants_receipt: bool = False

    @property
    def lane(self) -> str:
        """Flow and lane."""
        return self.name[:3]

    @property
    def number(self) -> int:
        """Its place in the lane."""
        return int(self.name[3:8])


class Taken(msgspec.Struct, frozen=True):
    """A part of a text that a sink answered for.

    Attributes:
        name: of the text.
        part, total: which part of how many.
        whole: False for a text that came with parts missing.
    """

    name: str
    part: int = 1
    total: int = 1
    whole: bool = True


class Journalled(msgspec.Struct, frozen=True):
    """What the journal says of a text.

    Attributes:
        is_over: it was handed over.
        in_doubt: how often a part of it was in doubt.
        receipt_doubts: how often a receipt about it was in doubt.
    """

    is_over: bool = True
    in_doubt: int = 0
    receipt_doubts: int = 0


def audit(
    sent: Mapping[str, Sent],
    taken: Iterable[Taken],
    told: Iterable[str],
    journal: Mapping[str, Journalled],
) -> list[str]:
    """Everything in a history that breaks a promise, in words; empty when all were kept.

    Args:
        sent: by name.
        taken: in the order in which the sinks took them.
        told: names of texts whose sender got a receipt, once for each receipt.
        journal: by name.
    """
    by_name: dict[str, list[Taken]] = defaultdict(list)
    by_lane: dict[str, list[Taken]] = defaultdict(list)
    for each in taken:
        by_name[each.name].append(each)
        by_lane[each.name[:3]].append(each)
    found = [f"{name}: taken, but nobody sent it" for name in by_name if name not in sent]
    for text in sent.values():
        found += _of_text(text, by_name.get(text.name, []), journal.get(text.name))
    for lane, takes in by_lane.items():
        found += _of_lane(lane, takes)
    found += _of_receipts(sent, Counter(told), journal)
    return found


def _of_text(text: Sent, takes: list[Taken], row: Journalled | None) -> list[str]:
    found = []
    if text.acknowledged and row is None:
        found.append(f"{text.name}: acknowledged, but not in the journal")
    if row is not None and not row.is_over:
        found.append(f"{text.name}: journalled, but not handed over")
    if (text.acknowledged or row is not None) and not takes:
        found.append(f"{text.name}: lost")
    if takes and row is None:
        found.append(f"{text.name}: taken, but not in the journal")
    parts = Counter(take.part for take in takes)
    if takes and len(parts) != takes[0].total:
        found.append(f"{text.name}: lost in part: {sorted(parts)} of {takes[0].total}")
    if text.acknowledged == text.pieces and any(not take.whole for take in takes):
        found.append(f"{text.name}: every piece was acknowledged, and some are missing")
    extra, doubts = sum(parts.values()) - len(parts), row.in_doubt if row is not None else 0
    if extra > doubts:
        found.append(f"{text.name}: taken again {extra} times, in doubt {doubts} times")
    return found


def _of_lane(lane: str, takes: list[Taken]) -> list[str]:
    found = []
    last = (-1, 0)
    for take in takes:
        if not take.whole:  # it went on when the wait for its missing parts had ended: its place is then
            continue
        now = (int(take.name[3:8]), take.part)
        if now < last:
            found.append(f"lane {lane}: {take.name} part {now[1]} came after {last[0]} part {last[1]}")
        elif now[0] != last[0] and now[1] != 1:
            found.append(f"lane {lane}: {take.name} began with part {now[1]}")
        elif now[0] == last[0] and now[1] > last[1] + 1:
            found.append(f"lane {lane}: {take.name} part {now[1]} came straight after part {last[1]}")
        last = max(last, now)
    return found


def _of_receipts(sent: Mapping[str, Sent], told: Counter[str], journal: Mapping[str, Journalled]) -> list[str]:
    found = []
    for name in told:
        if name not in sent or not sent[name].wants_receipt:
            found.append(f"{name}: a receipt that nobody asked for")
        elif name not in journal:
            found.append(f"{name}: a receipt for what is not in the journal")
    for text in sent.values():
        row = journal.get(text.name)
        if not text.wants_receipt or row is None:
            continue
        count = told[text.name]
        if not count:
            found.append(f"{text.name}: no receipt")
        elif count - 1 > row.receipt_doubts:
            found.append(f"{text.name}: {count} receipts, in doubt {row.receipt_doubts} times")
    return found
