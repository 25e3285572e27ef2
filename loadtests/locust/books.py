"""The flows of one run, and what is known of texts under way."""

from __future__ import annotations

from loadtests.locust.ledger import Account, Flow
from loadtests.locust.pdus import ANSWER, TEXT, fill, read_label, write_label


class Books:
    """All that is written down of a run's texts.

    Attributes:
        texts: from applications to the carrier; ``text_receipts`` their receipts, back.
        questions: from customers, by the carrier, to the desk.
        answers: from the desk, by the carrier, to customers; ``answer_receipts`` their receipts, back.
        run: 16 bits that tell this run's texts from those that an earlier one left in the hub.
        hub_window: how many requests or stanzas of the hub may be unanswered on one session.
        strange: texts that came and bore no label of ours.
        leftovers: texts of earlier runs that came.
    """

    def __init__(self, run: int, hub_window: int) -> None:
        self.run = run
        self.hub_window = hub_window
        self.strange = self.leftovers = 0
        self.texts, self.text_receipts = Flow("texts"), Flow("their receipts")
        self.questions = Flow("questions")
        self.answers, self.answer_receipts = Flow("answers"), Flow("receipts of answers")
        self.flows = (self.texts, self.text_receipts, self.questions, self.answers, self.answer_receipts)
        self._since: dict[tuple[bytes, int], float] = {}

    def receipts_of(self, flow: bytes) -> Flow:
        """The flow of the receipts for texts that bear this letter."""
        return {TEXT: self.text_receipts, ANSWER: self.answer_receipts}[flow]

    def label(self, flow: bytes, key: int) -> bytes:
        """What a text is known by."""
        return write_label(flow, self.run, key)

    def write(self, flow: bytes, key: int, length: int) -> bytes:
        """A text of so many characters."""
        return fill(self.label(flow, key), length)

    def read(self, octets: bytes, *flows: bytes) -> tuple[bytes, int] | None:
        """The flow and key of what came; None for what is not this run's, or of another flow, which is counted."""
        known = read_label(octets)
        if known is None or known[0] not in flows:
            self.strange += 1
        elif known[1] != self.run:
            self.leftovers += 1
        else:
            return known[0], known[2]
        return None

    def begin(self, flow: bytes, key: int, at: float) -> None:
        """It is on its way since then; said again, it counts from the first time."""
        self._since.setdefault((flow, key), at)

    def since(self, flow: bytes, key: int) -> float | None:
        """When it set out, once."""
        return self._since.pop((flow, key), None)

    @property
    def waiting(self) -> int:
        """How much was acknowledged and is still to arrive."""
        return sum(flow.waiting for flow in self.flows)

    def accounts(self) -> list[Account]:
        """The account of each flow in which anything happened."""
        return [account for flow in self.flows if (account := flow.account()).offered or account.strange]
