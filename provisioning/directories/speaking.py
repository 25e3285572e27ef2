"""How a batch is told to a registry, whatever comes back. Pure: the call itself is an argument.

The theory
    One call of the publisher may become several requests: no more numbers in each than a registry takes. What a request
    meets decides about the rest:

    - an answer: each task has its own, and the next request goes out;
    - ``Postponed``: the registry does not serve us now (busy, too many requests, our credentials refused, a wrong
      address). What is left is not asked: it is put off for the same reason.
    - ``Unacceptable``: the registry refuses the request as a whole. One number may be what it chokes on, and must not
      hold up the others: the batch is halved until that number stands alone. It is refused; the rest is asked. Halving
      has a bound, since a registry may refuse everything: what is left then is put off.
    - ``OSError``: nobody answered. When nothing was answered before, the caller hears of it; else what is left is put
      off, since the answers that came must not be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

from provisioning.directories.adapter import Answer, Finding, Task
from provisioning.directories.replies import bounded_wait_s, clean

MAX_REFUSED: Final = 24
"""Requests refused as a whole, in one call: enough for two bad numbers among 1,000 (2 x 10), no storm."""


class Postponed(Exception):
    """A registry does not serve us now.

    Attributes:
        reason: what it said, for people.
        after_s: do not ask again before; 0 when it did not say.
    """

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = clean(reason)
        self.after_s = bounded_wait_s(after_s)


class Unacceptable(Exception):
    """A registry refuses a request as a whole.

    Attributes:
        reason: what it said, for people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = clean(reason)


def in_requests(tasks: Sequence[Task], most: int, ask: Callable[[Sequence[Task]], list[Answer]]) -> list[Answer]:
    """Ask about tasks in as many requests as it takes.

    Args:
        tasks: what to ask about.
        most: tasks in one request.
        ask: makes one request, and one answer for each of its tasks in order.

    Returns: an answer for each task, in order.
    Raises: OSError: when ``ask`` did so before anything was answered.
    """
    answers: dict[int, Answer] = {}
    waiting = [range(at, min(at + most, len(tasks))) for at in range(0, len(tasks), most)]
    waiting.reverse()
    refused = 0
    put_off = Answer(Finding.LATER)
    while waiting:
        these = waiting.pop()
        try:
            found = ask([tasks[at] for at in these])
        except Unacceptable as refusal:
            refused += 1
            if len(these) == 1:
                answers[these[0]] = Answer(Finding.REFUSED, refusal.reason)
            else:
                middle = len(these) // 2
                waiting += [these[middle:], these[:middle]]
            if refused == MAX_REFUSED:
                put_off = Answer(Finding.LATER, clean(f"the registry refuses whole requests: {refusal.reason}"))
                break
        except Postponed as later:
            put_off = Answer(Finding.LATER, later.reason, after_s=later.after_s)
            break
        except OSError as error:
            if not answers:
                raise
            put_off = Answer(Finding.LATER, clean(str(error)))
            break
        else:
            answers.update(zip(these, found, strict=True))
    return [answers.get(at, put_off) for at in range(len(tasks))]


def judge_status(status: int, *, after_s: float, words: str) -> None:
    """Say what an HTTP status other than success means for us.

    Args:
        status: 100…999.
        after_s: what Retry-After asked for, 0 when it did not.
        words: what the registry wrote about it, may be empty.

    Raises: Postponed, Unacceptable; nothing for 2xx.
    """
    if 200 <= status <= 299:
        return
    said = f": {clean(words)}" if words else ""
    if status in (401, 403):
        raise Postponed(f"the registry does not accept our credentials (HTTP {status}{said}); check them", after_s)
    if status in (429, 503):
        raise Postponed(f"the registry is busy (HTTP {status}{said})", after_s)
    if status in (400, 413, 422):
        raise Unacceptable(f"HTTP {status}{said}")
    if status == 409:
        raise Postponed(f"the registry is still at an earlier request (HTTP 409{said})", after_s)
    if 300 <= status <= 399:
        raise Postponed(f"the registry sends us elsewhere (HTTP {status}), which is not followed; correct the url")
    if 400 <= status <= 499:
        raise Postponed(f"the registry does not know this request (HTTP {status}{said}); check the url", after_s)
    raise Postponed(f"the registry failed (HTTP {status}{said})", after_s)


def retry_after_s(text: str, now_s: float) -> float:
    """Read a Retry-After (RFC 9110 §10.2.3): seconds, or a date.

    Args:
        text: of the field, may be empty or anything.
        now_s: seconds since 1970 UTC.

    Returns: seconds, 0…86,400; 0 when it says nothing.
    """
    words = text.strip()[:64]
    if words.isascii() and words.isdigit():
        return bounded_wait_s(float(words))
    try:
        return bounded_wait_s(parsedate_to_datetime(words).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
