"""Invented histories: a hub that keeps its promises, under weather, played by chance; what ``check`` is tested on.

The hub here is a few queues: texts are committed in the order of arrival of each session, in any order between
sessions; each lane has one part under way; a kill, or the end of a sink's session, leaves it in doubt. Several nodes
take turns in sending when one is killed. Everything else (who is slow, who refuses, who asks for receipts) is chance.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec

from tests.faults.check import Journalled
from tests.faults.history import Event
from tests.faults.texts import name_of

THROTTLED, INVALID_DESTINATION = "0x00000058", "0x0000000b"
MOST_STEP_NS = 20_000_000
LONGEST_QUIET_NS = 8_000_000_000
NODES = ("north", "south")


class _Text(msgspec.Struct):
    name: str
    lane: str
    pieces: int
    parts: int
    asked: bool
    part: int = 1
    is_refused: bool = False
    has_receipt: bool = False


class Invention:
    """Plays a history.

    Args:
        seed: of its chance.
        texts: how many are sent.
        several_hubs: two nodes, and two senders for every lane.
        is_calm: nothing breaks.

    Attributes:
        events: the history.
        journal: what the hub's journal says at the end.
        names: ids of receipts to senders that only the journal can name.
    """

    def __init__(self, seed: int, texts: int = 30, *, several_hubs: bool = False, is_calm: bool = False) -> None:
        self._chance = random.Random(seed)
        self._several, self._is_calm = several_hubs, is_calm
        self._now = 1_000_000_000
        self.events: list[Event] = []
        self.journal: dict[str, Journalled] = {}
        self.names: dict[str, str] = {}
        self._senders = ("east", "west")
        self._sessions = {"east": 0, "west": 0, "sink": 0}
        self._arrived: dict[str, deque[_Text]] = {who: deque() for who in self._senders}
        self._to_acknowledge: dict[str, deque[tuple[_Text, bool]]] = {who: deque() for who in self._senders}
        self._lanes: dict[str, deque[_Text]] = {}
        self._wire: dict[str, int] = {}  # lane → session that its part is unanswered in
        self._to_tell: list[_Text] = []
        self._untold: list[_Text] = []
        self._of: dict[str, str] = {}  # text → sender
        self._node = 0
        for who in (*self._senders, "sink"):
            self._bind(who)
        self._play(texts)

    def _note(self, who: str, do: Any, how: Any, **more: Any) -> None:
        self._now += self._chance.randrange(1, MOST_STEP_NS)
        session = more.pop("session", self._sessions.get(who, 0))
        self.events.append(Event(at=self._now, who=who, do=do, how=how, session=session, **more))

    def _bind(self, who: str) -> None:
        self._sessions[who] += 1
        self._note(who, "bind", "ok", node=NODES[self._node] if self._several and who == "sink" else "")

    def _play(self, texts: int) -> None:
        weather = [] if self._is_calm else [self._kill, self._cut_sink, self._cut_sender, self._quiet]
        sent = 0
        while sent < texts:
            step = self._chance.choices([self._send, self._work, None], weights=(4, 12, 0.6))[0]
            if step is not None:
                sent += step == self._send
                step()
            elif weather:
                self._chance.choice(weather)()
        while any(self._arrived.values()) or any(self._to_acknowledge.values()) or any(self._lanes.values()):
            self._work()
        while self._to_tell or self._untold:
            self._work()

    # --- steps -------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        chance, number = self._chance, len(self._of)
        who = chance.choice(self._senders)
        lane = chance.randrange(3) if self._several else chance.randrange(3) + 3 * (who == "west")
        pieces = chance.choice((1, 1, 1, 3))
        text = _Text(name_of("A", lane, number), f"A{lane:02d}", pieces, chance.choice((1, 1, 3)), pieces == 1)
        text.asked = text.asked and chance.random() < 0.6
        self._of[text.name] = who
        for piece in range(1, pieces + 1):
            self._note(
                who,
                "send",
                "invoke",
                name=text.name,
                lane=text.lane,
                part=piece,
                total=pieces,
                asked=text.asked,
            )
        self._arrived[who].append(text)

    def _work(self) -> None:
        steps = (self._commit, self._acknowledge, self._submit, self._answer, self._tell, self._hear)
        self._chance.choice(steps)()

    def _commit(self) -> None:
        who = self._chance.choice(self._senders)
        if not self._arrived[who]:
            return
        text = self._arrived[who].popleft()
        good = self._chance.random() > 0.05
        self._to_acknowledge[who].append((text, good))
        if good:
            self._lanes.setdefault(text.lane, deque()).append(text)
            self.journal[text.name] = Journalled()
            self.names[f"id-{text.name}"] = text.name

    def _acknowledge(self) -> None:
        who = self._chance.choice(self._senders)
        if not self._to_acknowledge[who]:
            return
        text, good = self._to_acknowledge[who].popleft()
        for piece in range(1, text.pieces + 1):
            if good:
                self._note(who, "send", "ok", name=text.name, part=piece, id=f"id-{text.name}" if piece == 1 else "")
            else:
                self._note(who, "send", "fail", name=text.name, part=piece, word=THROTTLED)

    def _submit(self) -> None:
        free = [lane for lane, queue in self._lanes.items() if queue and lane not in self._wire]
        if not free:
            return
        lane = self._chance.choice(free)
        text = self._lanes[lane][0]
        self._note("sink", "take", "invoke", name=text.name, part=text.part, total=text.parts)
        self._wire[lane] = self._sessions["sink"]

    def _answer(self) -> None:
        if not self._wire:
            return
        lane = self._chance.choice(list(self._wire))
        session = self._wire.pop(lane)
        text, kind = self._lanes[lane][0], self._chance.random()
        more = {"name": text.name, "part": text.part, "total": text.parts, "session": session}
        if kind < 0.06:
            self._note("sink", "take", "fail", word=THROTTLED, **more)
            return
        if kind < 0.08:
            self._note("sink", "take", "fail", word=INVALID_DESTINATION, **more)
            text.is_refused = True
        else:
            self._note("sink", "take", "ok", **more)
            text.part += 1
        if text.is_refused or text.part > text.parts:
            self._lanes[lane].popleft()
            (self._to_tell if text.asked else []).append(text)

    def _tell(self) -> None:
        """The sink says what became of a text."""
        if not self._to_tell:
            return
        text = self._to_tell.pop(self._chance.randrange(len(self._to_tell)))
        if not text.is_refused and self._chance.random() < 0.7:
            word = "DELIVRD" if self._chance.random() < 0.8 else "UNDELIV"
            for part in range(1, text.parts + 1):
                self._note("sink", "news", "ok", name=text.name, part=part, word=word)
            text.is_refused = word != "DELIVRD"
        self._untold.append(text)

    def _hear(self) -> None:
        if not self._untold:
            return
        text = self._untold.pop(0)
        who = self._of[text.name]
        word = "UNDELIV" if text.is_refused else "DELIVRD"
        if self._chance.random() < 0.5:
            self._note(who, "told", "ok", id=f"id-{text.name}", word=word)
        else:
            self._note(who, "told", "ok", id=f"id-{text.name}", name=text.name, word=word)
        row = self.journal[text.name]
        if not self._is_calm and self._chance.random() < 0.05:
            self._cut_sender(who)
            self.journal[text.name] = msgspec.structs.replace(row, receipt_doubts=row.receipt_doubts + 1)
            self._untold.append(text)

    # --- weather -----------------------------------------------------------------------------------------------------

    def _doubt(self) -> None:
        for lane in self._wire:
            name = self._lanes[lane][0].name
            row = self.journal[name]
            self.journal[name] = msgspec.structs.replace(row, in_doubt=row.in_doubt + 1)
        self._wire.clear()

    def _kill(self) -> None:
        self._note("weather", "fault", "invoke", word="kill hub")
        for who in self._senders:
            self._arrived[who].clear()  # what was not committed is gone
            self._to_acknowledge[who].clear()
            self._note(who, "end", "ok")
        old = self._sessions["sink"]
        self._doubt()
        self._node = 1 - self._node
        sees_late = self._chance.random() < 0.5
        if not sees_late:
            self._note("sink", "end", "ok")
        for who in (*self._senders, "sink"):
            self._bind(who)
        if sees_late:
            for _ in range(self._chance.randrange(4)):
                self._submit()
            self._note("sink", "end", "ok", session=old)
        self._note("weather", "fault", "ok", word="kill hub")

    def _cut_sink(self) -> None:
        """The hub sees the end before the sink does, or after."""
        old = self._sessions["sink"]
        self._doubt()
        if self._chance.random() < 0.5:
            self._note("sink", "end", "ok")
            self._bind("sink")
        else:
            self._bind("sink")
            self._submit()
            self._note("sink", "end", "ok", session=old)

    def _cut_sender(self, who: str = "") -> None:
        who = who or self._chance.choice(self._senders)
        self._note(who, "end", "ok")
        self._to_acknowledge[who].clear()  # committed, and its sender does not know
        if self._several:  # what had arrived, the other node may commit whenever it likes
            self._commit()
        else:
            while self._arrived[who]:
                text = self._arrived[who].popleft()
                self._lanes.setdefault(text.lane, deque()).append(text)
                self.journal[text.name] = Journalled()
                self.names[f"id-{text.name}"] = text.name
        self._arrived[who].clear()
        self._bind(who)

    def _quiet(self) -> None:
        """Answers of this moment are late: whoever waits for them may be in doubt, and send again."""
        self._now += self._chance.randrange(LONGEST_QUIET_NS)
