"""Says whether histories keep what the hub promises: ``python -m tests.faults.check HISTORY… [--journal URL]``.

In the manner of Jepsen: senders, sinks and the weather write down what they saw (``history``), and this finds out
whether a hub that keeps its promises could have been seen so. It knows nothing of how the hub works, nor how many
there are. The promises, and the words for what breaks them:

- **lost**: what was acknowledged, or stands in the journal, is taken, whole.
- **twice**: a text is taken once. A part may come again only when its answer was in doubt: it was never answered, or
  late; its session ended; something was broken in between. With a journal, no more often than that says that it was.
- **order**: the texts of a lane are submitted in the order in which they were acknowledged. One that was acknowledged
  before another was sent comes before it, whatever died meanwhile; so does one that was sent before another in the
  same session. What was on its way at the same time over two sessions has no order (with one hub it has that of
  sending: there, nothing of an earlier session can come in after it). The parts of a text come in their order, and a
  repetition directly repeats the lane's last part. Only the copy that a hub was about to write when it was frozen, and
  writes when it wakes, has no place in the order: no clock can call it back. It is a repetition like any other, which
  must have been in doubt.
- **early**: no part is submitted before the one before it in its lane was answered, or in doubt.
- **split**: one hub at a time sends for a lane. Two do when one submits while another's part is unanswered; and when a
  session that another hub has taken the lane from goes on with something that had not come before.
- **receipt**: who asked gets one, who did not gets none; it says what the sink said, and "delivered" not before the
  text is taken whole. It may come again under the conditions of *twice*.
- **stray**: nothing is taken that nobody sent; nothing that was refused, unless something was broken.

What was never answered may be taken or not. A text that its sender sends again under the same name may be taken as
often as it was sent, and must be as often as it was acknowledged.

All but the *with a journal* holds of histories alone. Events are fed in the order of time (``Checker.feed``); at the
end the journal may be laid beside them (``Checker.finish``). Memory: some hundred octets for each text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from hub.model import ReceiptState
from tests.faults.history import BadHistory, Event, read

NEVER = 1 << 62  # later than any time
MOST_SHOWN = 100
# Statuses that ask to come again: ESME_RSYSERR, ESME_RMSGQFUL, ESME_RTHROTTLED (SMPP 3.4 §5.1.3).
FOR_NOW = {"0x00000008", "0x00000014", "0x00000058"}
FINAL = {state.value for state in ReceiptState if state.is_final}
DELIVERED = ReceiptState.DELIVERED.value

Key = tuple[str, int]  # of a session: who, and which of its


class Kind(StrEnum):
    """What is broken; see the module's head."""

    LOST = "lost"
    TWICE = "twice"
    ORDER = "order"
    EARLY = "early"
    SPLIT = "split"
    RECEIPT = "receipt"
    STRAY = "stray"


class Violation(msgspec.Struct, frozen=True):
    """A promise that was broken.

    Attributes:
        kind: which.
        about: the text's name, or ``lane …``.
        words: what happened.
    """

    kind: Kind
    about: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.about}: {self.words}"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What depends on the hub's surroundings.

    Attributes:
        one_hub: there is one, so that what was sent earlier by one party cannot come in after what it sent later.
        patience_s: an answer that is later than this may have been too late for the hub, and leaves a doubt. Well below
            the response timeout of its links; 0 where that is short: then the journal alone says what was in doubt.
        notice_s: a hub may know of a session's end so much earlier than the sink.
        overtake_s: a text that was acknowledged so shortly before another was sent, over another session, may follow
            it: of what is taken in by another node, a node hears a moment later (docs/discussion/many-nodes.md).
    """

    one_hub: bool = True
    patience_s: float = 1.0
    notice_s: float = 5.0
    overtake_s: float = 0.0


class Journalled(msgspec.Struct, frozen=True):
    """What the journal says of a text.

    Attributes:
        is_over: it was handed over, all of its copies.
        in_doubt: how often a part of it was in doubt.
        receipt_doubts: how often a receipt about it was in doubt.
        copies: how often the journal holds it.
        receipts: how many were made.
    """

    is_over: bool = True
    in_doubt: int = 0
    receipt_doubts: int = 0
    copies: int = 1
    receipts: int = 0


class Tally(msgspec.Struct):
    """How much a history holds: a test that expects no violation sees here that there was something to violate.

    Attributes:
        events, texts: in all.
        acknowledged: texts, whole.
        taken: parts that were answered with OK.
        repeated: parts that were submitted again after they were taken, or may have been.
        receipts: that senders were told.
        sessions, faults: that began.
    """

    events: int = 0
    texts: int = 0
    acknowledged: int = 0
    taken: int = 0
    repeated: int = 0
    receipts: int = 0
    sessions: int = 0
    faults: int = 0


# What most texts are like, once for all of them: an hour's history has millions.
_NONE: dict[int, int] = {}
_ONCE = {1: 1}


def _one_more(counts: dict[int, int], number: int) -> dict[int, int]:
    """Counts are never changed, since they may be everybody's."""
    return _ONCE if number == 1 and not counts else {**counts, number: counts.get(number, 0) + 1}


class _Part:
    """The submissions of one part. ``how`` is that of the last one, '' while it is unanswered."""

    __slots__ = ("came", "done", "how", "key", "taken", "unsure", "word")

    def __init__(self) -> None:
        self.taken = 0  # answered with OK
        self.unsure = 0  # not answered: who knows
        self.how = self.word = ""
        self.key: Key = ("", 0)
        self.came = self.done = 0


def _taken_once(total: int) -> dict[int, _Part]:
    parts = {number: _Part() for number in range(1, total + 1)}
    for part in parts.values():
        part.how, part.taken = "ok", 1
    return parts


_FOLDED: dict[int, dict[int, _Part]] = {}  # number of parts → what is known of a text that was taken once


class _Text:
    """What is known of a text."""

    __slots__ = (
        "acknowledged",
        "asked",
        "bad_news",
        "begun",
        "ended",
        "has_begun",
        "is_whole",
        "key",
        "lane",
        "name",
        "parts",
        "pieces",
        "place",
        "refused",
        "sent",
        "taken_whole_at",
        "told",
        "total",
    )

    def __init__(self, name: str, lane: str, begun: int) -> None:
        self.name = name
        self.lane = lane
        self.begun = begun  # when its first piece was sent
        self.ended = NEVER  # when its last piece was acknowledged
        self.sent = _NONE  # piece → times
        self.acknowledged = _NONE
        self.refused = 0
        self.pieces = 1
        self.key: Key = ("", 0)  # the session it was sent in
        self.place = 0  # of its last piece, among what its sender sent
        self.asked = False
        self.is_whole = True  # False: it was taken with parts missing
        self.total = 0  # of its parts; 0 before any came
        self.parts: dict[int, _Part] = {}
        self.taken_whole_at = NEVER
        self.told: tuple[tuple[int, Key, str], ...] = ()
        self.bad_news = ""  # what the sink said of a part that was not delivered
        self.has_begun = False  # its turn in its lane

    @property
    def attempts(self) -> int:
        return max(self.sent.values(), default=0)

    @property
    def acknowledgements(self) -> int:
        """How often all of its pieces were."""
        return min((self.acknowledged.get(piece, 0) for piece in range(1, self.pieces + 1)), default=0)


class _Lane:
    """What a lane's sink saw."""

    __slots__ = ("latest_begun", "latest_place", "left", "node", "open", "part", "text")

    def __init__(self) -> None:
        self.text: _Text | None = None  # the one that is being submitted
        self.part = 0
        self.open: dict[Key, tuple[str, int]] = {}  # submitted, not answered
        self.latest_begun: _Text | None = None  # of those whose turn has begun, the one sent last
        self.latest_place: dict[Key, _Text] = {}
        self.node = ""
        self.left: dict[str, int] = {}  # node → when another one took the lane from it


class Checker:
    """Feed it a history, in the order of time, then ask what is broken.

    Attributes:
        tally: how much there was.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.tally = Tally()
        self._rules = rules or Rules()
        self._patience, self._notice = int(self._rules.patience_s * 1e9), int(self._rules.notice_s * 1e9)
        self._overtake = int(self._rules.overtake_s * 1e9)
        self._found: list[Violation] = []
        self._texts: dict[str, _Text] = {}
        self._lanes: dict[str, _Lane] = {}
        self._places: dict[str, int] = {}  # who → pieces sent
        self._begun: dict[Key, int] = {}
        self._ended: dict[Key, int] = {}
        self._nodes: dict[Key, str] = {}
        self._at_work: dict[Key, set[str]] = {}  # session → lanes with something unanswered in it
        self._left_over: dict[Key, set[tuple[str, int]]] = {}  # given up as unanswered: the answer may be noted yet
        self._suspects: dict[Key, list[tuple[int, Violation]]] = {}
        self._broken: set[str] = set()
        self._last_fault = -1
        self._ids: dict[str, str] = {}
        self._nameless: list[Event] = []  # receipts for ids that no sender had been given by then
        self._keys: dict[Key, Key] = {}
        self._steps = {
            ("send", "invoke"): self._sending,
            ("send", "ok"): self._acknowledged,
            ("send", "fail"): self._refused,
            ("take", "invoke"): self._came,
            ("take", "ok"): self._took,
            ("take", "fail"): self._took,
            ("take", "info"): self._took,
            ("news", "ok"): self._news,
            ("told", "ok"): self._hear,
            ("bind", "ok"): self._bound,
            ("end", "ok"): self._session_ended,
            ("fault", "invoke"): self._fault,
            ("fault", "ok"): self._mended,
        }

    # --- feeding -----------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Take an event. What says nothing here (a bind that failed) is counted and left."""
        self.tally.events += 1
        step = self._steps.get((event.do, event.how))
        if step is not None:
            step(event)

    def _sending(self, event: Event) -> None:
        text = self._texts.get(event.name)
        if text is None:
            text = self._texts[event.name] = _Text(event.name, sys.intern(event.lane), event.at)
        text.pieces = event.total
        text.sent = _one_more(text.sent, event.part)
        text.asked = text.asked or event.asked
        text.key = self._key(event.who, 0 if self._rules.one_hub else event.session)
        text.place = self._places[event.who] = self._places.get(event.who, 0) + 1

    def _acknowledged(self, event: Event) -> None:
        text = self._texts.get(event.name)
        if text is not None:
            if event.id:
                self._ids[event.id] = text.name
            text.acknowledged = _one_more(text.acknowledged, event.part)
            if text.ended == NEVER and text.acknowledgements:
                text.ended = event.at

    def _refused(self, event: Event) -> None:
        text = self._texts.get(event.name)
        if text is not None:
            text.refused += 1

    def _bound(self, event: Event) -> None:
        self.tally.sessions += 1
        key = (event.who, event.session)
        self._begun[key] = event.at
        self._nodes[key] = event.node

    def _session_ended(self, event: Event) -> None:
        key = (event.who, event.session)
        self._ended[key] = event.at
        for name in self._at_work.pop(key, ()):
            lane = self._lanes[name]
            waiting = lane.open.pop(key, None)
            if waiting is not None:
                self._give_up(key, waiting, event.at)
        # A hub sees the end of a session before the sink does, and may have begun to repeat what it left.
        for at, violation in self._suspects.pop(key, ()):
            if event.at - at > self._notice:
                self._found.append(violation)

    def _fault(self, event: Event) -> None:
        self.tally.faults += 1
        self._broken.add(event.word)
        self._last_fault = event.at

    def _mended(self, event: Event) -> None:
        if event.word not in self._broken:
            return  # it had not been broken: a first start
        self._broken.discard(event.word)
        self._last_fault = event.at

    def _news(self, event: Event) -> None:
        text = self._texts.get(event.name)
        if text is not None and event.word in FINAL and event.word != DELIVERED:
            text.bad_news = event.word

    def _hear(self, event: Event) -> None:
        if event.word in FINAL:
            self.tally.receipts += 1
            if not self._put_down(event, self._ids.get(event.id, "")):
                self._nameless.append(event)

    def _put_down(self, event: Event, known: str) -> bool:
        """A receipt, beside the text that it is about. Returns: False when nobody knows which."""
        if known and event.name and known != event.name:
            self._say(Kind.RECEIPT, event.name, f"a receipt quotes it that names the id of {known}")
        text = self._texts.get(known or event.name)
        if text is None:
            return False
        text.told += ((event.at, self._key(event.who, event.session), event.word),)
        return True

    def _key(self, who: str, session: int) -> Key:
        """A session; the same object each time."""
        key = (who, session)
        return self._keys.setdefault(key, key)

    # --- taking ------------------------------------------------------------------------------------------------------

    def _came(self, event: Event) -> None:
        text = self._texts.get(event.name)
        if text is None:
            self._say(Kind.STRAY, event.name, "taken, but nobody sent it")
            return
        key = (event.who, event.session)
        lane = self._lanes.setdefault(text.lane, _Lane())
        if text.parts is _FOLDED.get(text.total):
            text.parts = _taken_once(text.total)
        part = text.parts.get(event.part)
        is_new = part is None
        if part is None:
            part = text.parts[event.part] = _Part()
        elif self._has_left(lane, key):
            self.tally.repeated += part.how != "fail"
            self._see_doubt(text, event, part)
            part.unsure += 1
            self._left_over.setdefault(key, set()).add((event.name, event.part))
            return
        self._see_who_sends(lane, text, event, key, is_new=is_new)
        if event.whole:  # else it went on when the wait for its missing parts had ended: its place is then
            self._see_order(lane, text, event, part)
        else:
            text.is_whole = False
        if text.total not in (0, event.total):
            self._say(Kind.STRAY, event.name, f"came in {text.total} parts, and in {event.total}")
        text.total = event.total
        if not is_new:
            self.tally.repeated += part.how != "fail"
            self._see_doubt(text, event, part)
        part.how, part.key, part.came, part.done = "", key, event.at, NEVER
        lane.open[key] = (event.name, event.part)
        self._at_work.setdefault(key, set()).add(text.lane)

    def _took(self, event: Event) -> None:
        text = self._texts.get(event.name)
        key = (event.who, event.session)
        lane = self._lanes.get(text.lane) if text is not None else None
        if lane is None or lane.open.get(key) != (event.name, event.part):
            if (event.name, event.part) not in self._left_over.get(key, ()):
                self._came(event)  # of a sink that does not answer: it came and was taken in one
                text = self._texts.get(event.name)
                if text is None:
                    return
                lane = self._lanes[text.lane]
            if (event.name, event.part) in self._left_over.get(key, ()):
                self._answer_late(event)
                return
        assert lane is not None
        assert text is not None
        del lane.open[key]
        part = text.parts[event.part]
        part.how, part.word, part.done = event.how, event.word, event.at
        if event.how == "ok":
            self._is_taken(text, part, event)
        part.unsure += event.how == "info"

    def _is_taken(self, text: _Text, part: _Part, event: Event) -> None:
        self.tally.taken += 1
        part.taken += 1
        is_all = len(text.parts) == event.total and all(part.taken for part in text.parts.values())
        if is_all and text.taken_whole_at == NEVER:
            text.taken_whole_at = event.at

    def _give_up(self, key: Key, waiting: tuple[str, int], at: int) -> None:
        """A part is not going to be answered, or nobody will hear the answer."""
        part = self._texts[waiting[0]].parts[waiting[1]]
        part.how, part.word, part.done = "info", "", at
        part.unsure += 1
        self._left_over.setdefault(key, set()).add(waiting)

    def _answer_late(self, event: Event) -> None:
        """Its session had ended before the sink noted its answer, its own copy had taken its place, or its lane had."""
        self._left_over[event.who, event.session].discard((event.name, event.part))
        text = self._texts[event.name]
        part = text.parts[event.part]
        if event.how != "info":
            part.unsure -= 1
        if event.how == "ok":
            self._is_taken(text, part, event)

    def _see_who_sends(self, lane: _Lane, text: _Text, event: Event, key: Key, *, is_new: bool) -> None:
        """Nothing else of the lane may be unanswered; and who has lost the lane begins nothing new."""
        node = self._nodes.get(key, "")
        for other, waiting in list(lane.open.items()):
            if waiting == (event.name, event.part):
                # In doubt, and sent again: ``_see_doubt`` says whether it may be. The old copy is not waited for.
                del lane.open[other]
                self._give_up(other, waiting, event.at)
                continue
            what = f"part {event.part} was submitted before {waiting[0]} part {waiting[1]} was answered"
            if other == key or (node and node == self._nodes.get(other)):
                self._say(Kind.EARLY, event.name, what)
            else:
                self._say(Kind.SPLIT, event.name, f"two send at once: by {_said(key, node)}, {what} to {_said(other)}")
        if not node:
            return
        has_left = self._has_left(lane, key)
        if has_left and is_new:
            words = f"part {event.part} was begun by {_said(key, node)} after {lane.node} had taken the lane from it"
            self._say(Kind.SPLIT, event.name, words)
        if not has_left and lane.node != node:
            if lane.node:
                lane.left[lane.node] = event.at
            lane.node = node

    def _has_left(self, lane: _Lane, key: Key) -> bool:
        """Whether another hub has taken the lane from the one that has this session, since it began."""
        return self._begun.get(key, 0) < lane.left.get(self._nodes.get(key, ""), -1)

    def _see_order(self, lane: _Lane, text: _Text, event: Event, part: _Part) -> None:
        name, number = event.name, event.part
        about, now = f"lane {text.lane}", lane.text
        if now is text and number in (lane.part, lane.part + 1):
            lane.part = number
            return
        if now is text and number > lane.part:
            self._say(Kind.ORDER, about, f"{name} part {number} came straight after part {lane.part}")
        elif not text.has_begun:
            if number != 1:
                self._say(Kind.ORDER, about, f"{name} began with part {number}")
            self._see_turn(lane, text)
        elif now is not None and number == 1 and part.taken + part.unsure < text.attempts:
            pass  # the next copy of a text that was sent more than once
        elif now is not None:
            self._say(Kind.ORDER, about, f"{name} part {number} came after {now.name} part {lane.part}")
            return
        if now is not None and now is not text:
            self._fold(now)
        lane.text, lane.part = text, number

    @staticmethod
    def _fold(text: _Text) -> None:
        """Its lane has gone on: when each part was taken once, all such texts share one memory of that."""
        parts = text.parts.values()
        if len(parts) == text.total and all(part.how == "ok" and part.taken == 1 and not part.unsure for part in parts):
            text.parts = _FOLDED.setdefault(text.total, _taken_once(text.total))

    def _see_turn(self, lane: _Lane, text: _Text) -> None:
        """A text's turn has come: nothing that had to wait for it may have been before it."""
        about, before = f"lane {text.lane}", lane.latest_begun
        text.has_begun = True
        if before is not None and text.ended + self._overtake < before.begun:
            words = f"{text.name} came after {before.name}, which was sent when {text.name} was acknowledged"
            self._say(Kind.ORDER, about, words)
        if before is None or text.begun > before.begun:
            lane.latest_begun = text
        if text.attempts != 1:
            return
        sooner = lane.latest_place.get(text.key)
        if sooner is not None and sooner.place > text.place:
            self._say(Kind.ORDER, about, f"{text.name} came after {sooner.name}, which {text.key[0]} sent later")
        else:
            lane.latest_place[text.key] = text

    def _see_doubt(self, text: _Text, event: Event, last: _Part) -> None:
        """A part comes again: something must have left a doubt about the last time."""
        if last.how == "fail" or last.taken + last.unsure < text.attempts:
            return
        if last.how == "ok":
            words = f"part {event.part} was taken again, and its answer was in no doubt"
        elif last.how == "info" and event.at == last.done:  # it is unanswered, and this copy takes its place
            words = f"part {event.part} was sent again while it was waiting for its answer"
        else:
            return
        if self._is_beyond_doubt(last.key, last.came, last.done):
            suspects = self._suspects.setdefault(last.key, [])
            suspects.append((event.at, Violation(Kind.TWICE, event.name, words)))

    def _is_beyond_doubt(self, key: Key, asked: int, answered: int) -> bool:
        """Nothing was broken since it was asked, the answer was quick, and its session lives."""
        is_calm = not self._broken and self._last_fault < asked
        return is_calm and answered - asked <= self._patience and key not in self._ended

    def _say(self, kind: Kind, about: str, words: str) -> None:
        self._found.append(Violation(kind, about, words))

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(
        self, journal: Mapping[str, Journalled] | None = None, names: Mapping[str, str] | None = None
    ) -> list[Violation]:
        """All that is broken. The history is over: what is under way now will never be.

        Args:
            journal: by name, of all texts; None when there is none to look at.
            names: ids that senders are told of → name, as the journal has them.
        """
        for suspects in self._suspects.values():
            self._found += [violation for _, violation in suspects]
        self._suspects.clear()
        self._name_receipts(names or {}, is_known=journal is not None)
        for text in self._texts.values():
            self.tally.texts += 1
            self.tally.acknowledged += bool(text.acknowledgements)
            row = journal.get(text.name) if journal is not None else None
            if journal is not None:
                self._lay_beside(text, row)
            self._see_whole(text, row)
            self._see_receipts(text, row, has_journal=journal is not None)
        return self._found

    def _lay_beside(self, text: _Text, row: Journalled | None) -> None:
        if row is None:
            if any(text.acknowledged.values()):
                self._say(Kind.LOST, text.name, "acknowledged, but not in the journal")
            if text.parts:
                self._say(Kind.STRAY, text.name, "taken, but not in the journal")
            return
        if not row.is_over:
            self._say(Kind.LOST, text.name, "journalled, but not handed over")
        if row.copies > text.attempts:
            self._say(Kind.TWICE, text.name, f"{row.copies} times in the journal, sent {text.attempts} times")
        if row.receipts > row.copies:
            self._say(Kind.RECEIPT, text.name, f"{row.receipts} receipts made")
        # A repetition of one that was refused in between is one all the same; one that was refused at last is none.
        times = sum(max(0, part.taken + part.unsure - row.copies) for part in text.parts.values())
        if times > row.in_doubt:
            self._say(Kind.TWICE, text.name, f"taken again {times} times, in doubt {row.in_doubt} times")

    def _see_whole(self, text: _Text, row: Journalled | None) -> None:
        parts = text.parts
        if not parts:
            if any(text.acknowledged.values()) or row is not None:
                self._say(Kind.LOST, text.name, "lost")
            return
        # A part is not submitted before its text is in the journal: what came at all, must come whole.
        taken = sorted(number for number, part in parts.items() if part.taken)
        must = max(text.acknowledgements, row.copies if row is not None else 0)
        refused = [number for number, part in parts.items() if part.how == "fail" and part.word not in FOR_NOW]
        if refused and taken == list(range(1, min(refused))):
            pass  # the sink refused it for good: its sender is told by a receipt
        elif not taken:
            self._say(Kind.LOST, text.name, "lost: it came, and the sink never took it")
        elif len(taken) < text.total:
            self._say(Kind.LOST, text.name, f"lost in part: {taken} of {text.total}")
        elif must > 1 and any(parts[number].taken < must for number in taken):
            self._say(Kind.LOST, text.name, f"acknowledged {must} times, and not taken as often")
        if text.acknowledgements and not text.is_whole:
            self._say(Kind.LOST, text.name, "every piece was acknowledged, and some are missing")
        if not self.tally.faults and text.refused == sum(text.sent.values()):
            self._say(Kind.STRAY, text.name, "refused, and taken all the same")

    def _name_receipts(self, names: Mapping[str, str], *, is_known: bool) -> None:
        for event in self._nameless:
            known = self._ids.get(event.id) or names.get(event.id, "")
            # Without a journal an id may be one that only the hub can name.
            if not self._put_down(event, known) and (known or event.name or is_known):
                self._say(Kind.RECEIPT, known or event.name or event.id, "a receipt for what nobody sent")

    def _see_receipts(self, text: _Text, row: Journalled | None, *, has_journal: bool) -> None:
        told = text.told
        if told and not text.asked:
            self._say(Kind.RECEIPT, text.name, "a receipt that nobody asked for")
            return
        if has_journal and row is None:
            if told:
                self._say(Kind.RECEIPT, text.name, "a receipt for what is not in the journal")
            return
        must = row.copies if row is not None else text.acknowledgements
        if text.asked and must and len(told) < must:
            self._say(Kind.RECEIPT, text.name, f"{len(told)} receipts for {must}" if told else "no receipt")
        most = row.copies if row is not None else max(text.attempts, 1)
        if row is not None and len(told) - most > row.receipt_doubts:
            self._say(Kind.RECEIPT, text.name, f"{len(told)} receipts, in doubt {row.receipt_doubts} times")
        elif row is None and len(told) > most:
            self._see_told_again(text)
        for at, _, word in told:
            self._see_word(text, at, word)

    def _see_told_again(self, text: _Text) -> None:
        for (first, key, _), (again, _, _) in zip(text.told, text.told[1:], strict=False):
            if self._last_fault < first and again < self._ended.get(key, NEVER):
                self._say(Kind.RECEIPT, text.name, f"{len(text.told)} receipts, and the first was in no doubt")
                return

    def _see_word(self, text: _Text, at: int, word: str) -> None:
        is_whole = text.taken_whole_at <= at
        if word == DELIVERED and not is_whole:
            late = "it was taken" if text.taken_whole_at != NEVER else "anybody took it, whole"
            self._say(Kind.RECEIPT, text.name, f"told {word} before {late}")
            return
        if word == DELIVERED and text.bad_news:
            self._say(Kind.RECEIPT, text.name, f"told {word}, and the sink said {text.bad_news}")
        elif word != DELIVERED and is_whole and not text.bad_news:
            self._say(Kind.RECEIPT, text.name, f"told {word}, and it was taken whole")


def _said(key: Key, node: str = "") -> str:
    return f"{node or key[0]} session {key[1]}"


def check(
    events: Iterable[Event],
    journal: Mapping[str, Journalled] | None = None,
    names: Mapping[str, str] | None = None,
    rules: Rules | None = None,
) -> tuple[list[Violation], Tally]:
    """Judge a whole history; see ``Checker``. Raises: BadHistory, when ``events`` come of ``history.read``."""
    checker = Checker(rules)
    for event in events:
        checker.feed(event)
    return checker.finish(journal, names), checker.tally


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns: 0 when all promises were kept, 1 when not, 2 when a file is no history."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("histories", nargs="+", type=Path, metavar="HISTORY", help="files of tests.faults.history")
    parser.add_argument("--journal", default="", help="the store's URL; no daemon needs to run on it")
    parser.add_argument("--several-hubs", action="store_true", help="several nodes took the texts in")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds after which an answer is late (1)")
    parser.add_argument("--overtake", type=float, default=0.0, help="seconds within which nodes may mix up (0)")
    options = parser.parse_args(arguments)
    journal = names = None
    if options.journal:
        from tests.faults.book import read_book  # the driver, only for those who have a database

        book = read_book(options.journal)
        journal, names = book.texts, book.name_of_id
    rules = Rules(one_hub=not options.several_hubs, patience_s=options.patience, overtake_s=options.overtake)
    try:
        found, tally = check(read(options.histories), journal, names, rules)
    except (BadHistory, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(", ".join(f"{count:,} {name}" for name, count in msgspec.structs.asdict(tally).items()))
    for violation in found[:MOST_SHOWN]:
        print(violation)
    more = f", {MOST_SHOWN} shown" if len(found) > MOST_SHOWN else ""
    print(f"{len(found)} violations{more}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
