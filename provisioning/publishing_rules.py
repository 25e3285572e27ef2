"""How a number comes into a directory, stays there, and is taken out again: the rules. Pure.

Each (directory, number) that was ever wished for is a ``Publication``: a wish of an operator, and how far it has come.

```
             publish             answered          looked up
    WANTED ----------> SUBMITTING ----------> SUBMITTED ----------> ACTIVE
      |  ^                 |  (or ACTIVE at once)  |
      v  | a letter        +------> REFUSED, CONFLICT <----+  until an operator asks again or the content changes
     HELD
             withdraw            answered          looked up
   UNWANTED ----------> WITHDRAWING ----------> LEAVING -----------> WITHDRAWN
```

1. The row is written before the directory is told: SUBMITTING and WITHDRAWING mean "told, or about to be told, and the
   answer is not known". A row found so after a crash is told again **under the same key**, so that a directory that was
   told already stands as if it had been told once.
2. A ``submission`` is the name of one such telling. It rises, all rows of one call share it, and the key is made of it,
   the number and the content. A new wish or new content is a new submission: a registry that remembers keys must not
   answer it from its memory. An answer counts only while its row is in the state and submission that it was asked in:
   what a command changed meanwhile wins.
3. ``content`` is the digest of what the directory was last told, and empty while it was never told anything, or has let
   go of the number. So a wish that is dropped before anybody heard of it needs no withdrawal.
4. Nothing is submitted that no valid letter covers: WANTED becomes HELD, and SUBMITTING is only looked up. What is
   ACTIVE stays and is flagged; taking a number out because a letter lapsed over night would cut off its customers.
5. What is not served is not published: a suspended number is withdrawn and comes back by itself; of a number that was
   removed, or moved to another call centre, the wish ends too.

Waits double from the directory's first to its longest; the jitter spreads directories, not the rows of one call, which
stay together. No wait is longer than the longest: a row that is due later than that was written by a clock that ran
ahead, and is due now (``is_due``).
"""

from __future__ import annotations

import hashlib
from enum import Enum, IntEnum

import msgspec

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Answer, Finding, Listing

MAX_REASON_CHARACTERS = 200
MAX_REMOTE_ID_CHARACTERS = 200
MAX_ATTEMPTS = 30_000  # as much as a SMALLINT holds; waits stopped growing long before
TIMEOUTS = 4  # a call may take so many times as long as one answer
NUMBERS_A_TIMEOUT = (
    100  # and once more for so many numbers of its batch: the fewest that an adapter asks about at a time
)
SLACK_US = 1_000_000  # a wait may end so much later than the longest without being a clock that jumped

SUSPENDED = "the number is suspended"
GONE = "the number is not provisioned any more"
UNCOVERED = "no valid letter of authorization covers it"


class State(IntEnum):
    """How far a wish has come. The values are in the store: none may change."""

    WANTED = 1  # shall be told
    SUBMITTING = 2  # is being told: the answer is not known
    SUBMITTED = 3  # the directory has it and has not decided
    ACTIVE = 4
    REFUSED = 5
    CONFLICT = 6  # another owner has it
    HELD = 7  # no valid letter covers it
    UNWANTED = 8  # shall be withdrawn
    WITHDRAWING = 9  # is being withdrawn: the answer is not known
    LEAVING = 10  # the directory knows, and has not let go of it
    WITHDRAWN = 11

    @property
    def word(self) -> str:
        """As people and metrics call it."""
        return self.name.lower()


class Step(Enum):
    """What a publication needs next from its directory's adapter."""

    PUBLISH = "publish"
    WITHDRAW = "withdraw"
    CONFIRM = "confirm"


class Standing(Enum):
    """Whether the hub serves a number for the call centre that its publication belongs to."""

    SERVED = "served"
    SUSPENDED = "suspended"
    GONE = "gone"


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A number in a directory: one row of the table ``publication``, columns in its order.

    Attributes:
        directory: name of the carrier directory.
        digits: the number, as an integer.
        call_centre: whose wish it is.
        wanted: 1 while it shall be there, 0 when it shall not.
        state: see ``State``.
        content: digest of what the directory was last told (``content_of``), or empty.
        submission: names the last telling; 0 before the first. Microseconds, rising.
        remote_id: the directory's own name of the last telling; empty until it has answered that.
        attempts: calls since the last one that brought it on.
        next_us: when it is due; 0 when nothing is to be done.
        since_us: in this state since. A row that goes round, because its directory takes it and has it not when it is
            looked up, keeps the instant at which that began: else nobody would see that it never arrives.
        reason: why it is not further, for people.
    """

    directory: str
    digits: int
    call_centre: str
    wanted: int
    state: int
    content: str = ""
    submission: int = 0
    remote_id: str = ""
    attempts: int = 0
    next_us: int = 0
    since_us: int = 0
    reason: str = ""


class Waits(msgspec.Struct, frozen=True):
    """How long to wait before a directory is asked again.

    Attributes:
        first_us, longest_us: the first wait and the longest; each doubles the one before.
        jitter: 0 ≤ jitter < 1, chosen for a call: the wait is between half of it and all of it.
    """

    first_us: int
    longest_us: int
    jitter: float = 0.0

    def after(self, attempts: int, at_least_s: float = 0.0) -> int:
        """The wait after so many attempts, in microseconds."""
        doubled = self.first_us << min(max(attempts - 1, 0), 40)
        wait = int(min(doubled, self.longest_us) * (0.5 + 0.5 * self.jitter))
        asked = int(min(at_least_s, 1e9) * 1e6) if at_least_s > 0 else 0  # a directory may say "in a year", or NaN
        return min(max(wait, asked), self.longest_us)


def patience_s(directory: CarrierDirectory) -> float:
    """How long a call of a batch may take, in seconds.

    An adapter asks about a hundred or a thousand numbers at a time, and each answer may take ``timeout_s``. A call that
    is given up is made again from its beginning: were the time for all of it fixed, a large batch would never come
    to its end in a directory that is slow.
    """
    return directory.timeout_s * (TIMEOUTS + directory.batch // NUMBERS_A_TIMEOUT)


STEPS: dict[State, Step | None] = {
    State.WANTED: Step.PUBLISH,
    State.SUBMITTING: Step.PUBLISH,
    State.SUBMITTED: Step.CONFIRM,
    State.ACTIVE: None,
    State.REFUSED: None,
    State.CONFLICT: None,
    State.HELD: None,
    State.UNWANTED: Step.WITHDRAW,
    State.WITHDRAWING: Step.WITHDRAW,
    State.LEAVING: Step.CONFIRM,
    State.WITHDRAWN: None,
}
"""What each state needs."""

DUE = tuple(state for state, step in STEPS.items() if step is not None)
FINAL = tuple(state for state, step in STEPS.items() if step is None)
ON_ITS_WAY_OUT = (State.UNWANTED, State.WITHDRAWING, State.LEAVING, State.WITHDRAWN)
TELLING = {State.WANTED: State.SUBMITTING, State.UNWANTED: State.WITHDRAWING}
"""What a row becomes before the directory is told; the states that it repeats from stay as they are."""


class Wait(Enum):
    """When a publication is due after an answer."""

    NEVER = 0
    RETRY = 1  # doubling
    LONGEST = 2


_NEVER, _RETRY, _LONGEST = Wait.NEVER, Wait.RETRY, Wait.LONGEST

AFTER: dict[State, dict[Finding, tuple[State, Wait]]] = {
    State.SUBMITTING: {
        Finding.ACTIVE: (State.ACTIVE, _NEVER),
        Finding.SUBMITTED: (State.SUBMITTED, _RETRY),
        # Told and not there: it was dropped, or this was only a look-up. A new telling needs a new key.
        Finding.ABSENT: (State.WANTED, _RETRY),
        Finding.DIFFERS: (State.WANTED, _RETRY),
        Finding.REFUSED: (State.REFUSED, _NEVER),
        Finding.CONFLICT: (State.CONFLICT, _NEVER),
        Finding.LATER: (State.SUBMITTING, _RETRY),
    },
    State.SUBMITTED: {
        Finding.ACTIVE: (State.ACTIVE, _NEVER),
        Finding.SUBMITTED: (State.SUBMITTED, _RETRY),
        Finding.ABSENT: (State.WANTED, _RETRY),
        Finding.DIFFERS: (State.WANTED, _RETRY),
        Finding.REFUSED: (State.REFUSED, _NEVER),
        Finding.CONFLICT: (State.CONFLICT, _NEVER),
        Finding.LATER: (State.SUBMITTED, _RETRY),
    },
    State.WITHDRAWING: {
        Finding.ABSENT: (State.WITHDRAWN, _NEVER),
        Finding.SUBMITTED: (State.LEAVING, _RETRY),
        # Another owner has it by now: nothing of ours is left to take out.
        Finding.CONFLICT: (State.WITHDRAWN, _NEVER),
        Finding.ACTIVE: (State.UNWANTED, _RETRY),
        Finding.DIFFERS: (State.UNWANTED, _RETRY),
        # It must not stay in the directory, whatever that says: an operator sees the reason, and it is tried on.
        Finding.REFUSED: (State.UNWANTED, _LONGEST),
        Finding.LATER: (State.WITHDRAWING, _RETRY),
    },
    State.LEAVING: {
        Finding.ABSENT: (State.WITHDRAWN, _NEVER),
        Finding.SUBMITTED: (State.LEAVING, _RETRY),
        Finding.CONFLICT: (State.WITHDRAWN, _NEVER),
        Finding.ACTIVE: (State.UNWANTED, _RETRY),
        Finding.DIFFERS: (State.UNWANTED, _RETRY),
        Finding.REFUSED: (State.UNWANTED, _LONGEST),
        Finding.LATER: (State.LEAVING, _RETRY),
    },
}
"""State that a directory was asked in → what it said → the next state, and when that is due."""


def step_of(row: Publication, covered: bool) -> Step | None:
    """What a publication needs next.

    Args:
        row: how it stands.
        covered: whether a valid letter covers the number now.
    """
    step = STEPS[State(row.state)]
    if step is Step.PUBLISH and not covered:
        return Step.CONFIRM if row.state == State.SUBMITTING else None
    return step


def is_due(row: Publication, now_us: int, waits: Waits) -> bool:
    """Whether its next step may be taken now."""
    if STEPS[State(row.state)] is None:
        return False
    return row.next_us <= now_us or row.next_us > now_us + waits.longest_us + SLACK_US


def wished(row: Publication | None, directory: str, digits: int, call_centre: str, now_us: int) -> Publication:
    """A publication after an operator asked for it: a new one, one that is tried again, or the same.

    The caller sees to it that a row of another call centre is WITHDRAWN.
    """
    if row is None:
        return Publication(directory, digits, call_centre, 1, State.WANTED, next_us=now_us, since_us=now_us)
    if row.call_centre != call_centre:
        row = msgspec.structs.replace(row, call_centre=call_centre, remote_id="")
    settled = (State.WANTED, State.SUBMITTING, State.SUBMITTED, State.ACTIVE, State.HELD)
    if row.wanted and row.state in settled:
        return row
    return _moved(row, State.WANTED, now_us, wanted=1)


def unwished(row: Publication, now_us: int, reason: str = "") -> Publication:
    """A publication that shall end: after an operator asked for that, or because the number is gone."""
    return _ended(row, now_us, reason, wanted=0)


def forgotten(row: Publication, now_us: int) -> Publication:
    """A publication of which the directory is not told that it ends: the directory is no more."""
    if row.state == State.WITHDRAWN:
        return unwished(row, now_us)
    ended = _moved(row, State.WITHDRAWN, now_us, wanted=0, reason="forgotten: the directory was not told")
    return msgspec.structs.replace(ended, content="", remote_id="")


def reconciled(row: Publication, standing: Standing, content: str, covered: bool, now_us: int) -> Publication:
    """A publication measured by what is provisioned now; the same object when nothing is to be done.

    Args:
        row: how it stands.
        standing: whether its call centre's number is served.
        content: digest of what the directory should be told; of no matter unless it is served and covered.
        covered: whether a valid letter covers the number.
        now_us: now.
    """
    if not row.wanted or standing is Standing.GONE:
        return _ended(row, now_us, GONE if row.wanted else row.reason, wanted=0)
    if standing is Standing.SUSPENDED:
        return _ended(row, now_us, SUSPENDED, wanted=1)
    if row.state in ON_ITS_WAY_OUT:
        return _moved(row, State.WANTED if covered else State.HELD, now_us, reason="" if covered else UNCOVERED)
    if not covered:
        if row.state == State.WANTED:
            return _moved(row, State.HELD, now_us, reason=UNCOVERED)
        if row.state == State.ACTIVE and row.reason != UNCOVERED:
            return msgspec.structs.replace(row, reason=UNCOVERED)
        return row
    if row.state == State.HELD or (row.state != State.WANTED and row.content != content):
        return _moved(row, State.WANTED, now_us)
    if row.state == State.ACTIVE and row.reason:
        return msgspec.structs.replace(row, reason="")
    return row


def told(row: Publication, content: str, submission: int, until_us: int, now_us: int) -> Publication:
    """A publication that its directory is about to be told, as it must be in the store before that.

    Args:
        row: WANTED or UNWANTED for a new telling, SUBMITTING or WITHDRAWING for one that is repeated.
        content: digest of what it is told; of no matter when it is withdrawn or repeated.
        submission: a new one; of no matter when it is repeated.
        until_us: when it is due again if nothing is heard of this call.
        now_us: now.
    """
    state = TELLING.get(State(row.state))
    if state is None:
        return msgspec.structs.replace(row, next_us=until_us)
    return msgspec.structs.replace(
        row,
        state=state,
        content=content if state == State.SUBMITTING else row.content,
        submission=submission,
        remote_id="",  # a look-up by the name of an earlier telling would find what that said
        next_us=until_us,
        since_us=row.since_us if row.attempts else now_us,
    )


def answered(row: Publication, answer: Answer, waits: Waits, now_us: int) -> Publication:
    """A publication after its directory was asked and has said how the number stands."""
    state, wait = AFTER[State(row.state)][answer.finding]
    attempts = min(row.attempts + 1, MAX_ATTEMPTS)
    next_us = 0
    if wait is Wait.RETRY:
        next_us = now_us + waits.after(attempts, answer.after_s)
    elif wait is Wait.LONGEST:
        next_us = now_us + waits.longest_us
    goes_round = row.attempts > 0 and next_us > 0
    return msgspec.structs.replace(
        row,
        state=state,
        content="" if state == State.WITHDRAWN else row.content,
        remote_id=answer.remote_id or row.remote_id,
        attempts=attempts if next_us else 0,
        next_us=next_us,
        since_us=row.since_us if state == row.state or goes_round else now_us,
        reason="" if state in (State.ACTIVE, State.WITHDRAWN) else answer.reason,
    )


def _moved(row: Publication, state: State, now_us: int, *, wanted: int | None = None, reason: str = "") -> Publication:
    """The row in another state, as if it had never been tried."""
    return msgspec.structs.replace(
        row,
        state=state,
        wanted=row.wanted if wanted is None else wanted,
        attempts=0,
        next_us=now_us if STEPS[state] is not None else 0,
        since_us=now_us,
        reason=reason,
    )


def _ended(row: Publication, now_us: int, reason: str, *, wanted: int) -> Publication:
    if row.state in ON_ITS_WAY_OUT:
        return row if row.wanted == wanted else msgspec.structs.replace(row, wanted=wanted, reason=reason)
    state = State.UNWANTED if row.content else State.WITHDRAWN
    return _moved(row, state, now_us, wanted=wanted, reason=reason)


def content_of(listing: Listing, directory: CarrierDirectory) -> str:
    """The digest of what a directory is told of a number, with what its adapter adds: 32 hexadecimal digits."""
    told_too = (directory.adapter, directory.zone, directory.gateway, directory.ttl_s)
    return hashlib.sha256(msgspec.json.encode((listing, told_too))).hexdigest()[:32]


def key_of(row: Publication) -> str:
    """The key of what a row is being told, or was told last. Keys sort in the order in which tellings began."""
    action = "w" if row.state in ON_ITS_WAY_OUT else "p"
    return f"{row.submission:014x}-{row.digits}-{action}{row.content[:12]}"


def believed(answers: object, count: int) -> list[Answer] | None:
    """What is believed of what an adapter returned: so many answers, bounded and printable; None of anything else."""
    if not isinstance(answers, list) or len(answers) != count or not all(isinstance(each, Answer) for each in answers):
        return None
    return [_bounded(answer) for answer in answers]


def bounded_text(text: str, most: int) -> str:
    """A foreign text as one line of printable characters, bounded."""
    words = " ".join(text[: 4 * most].split())
    return "".join([char if char.isprintable() else "?" for char in words])[:most]


def _bounded(answer: Answer) -> Answer:
    remote_id = answer.remote_id
    if len(remote_id) > MAX_REMOTE_ID_CHARACTERS or not remote_id.isprintable():
        remote_id = ""
    reason = bounded_text(answer.reason, MAX_REASON_CHARACTERS)
    if reason == answer.reason and remote_id == answer.remote_id:
        return answer
    return Answer(answer.finding, reason, remote_id, answer.after_s)
