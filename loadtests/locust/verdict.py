"""How a run ended: its figures, which bounds it broke, and the words for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from loadtests.locust.ledger import Account
from loadtests.locust.scenario import Bounds

COLUMNS = {
    "offered": "offered",
    "acknowledged": "acked",
    "refused": "refused",
    "failed": "failed",
    "doubtful": "in doubt",
    "arrived": "arrived",
    "again": "again",
    "lost": "lost",
    "doubled": "doubled",
    "disordered": "disorder",
}


class Findings(msgspec.Struct, frozen=True):
    """What a run left behind.

    Attributes:
        title: the scenario's.
        accounts: of each flow.
        failures: requests that failed; ``requests``: all.
        p99_ms: of each measure that was taken.
        settled: whether all that was acknowledged had arrived when the drain ended.
        under_way: what had not, in words, and how much of it.
        drained_s: how long the drain took.
        strange: texts that reached carrier or desk and bore no label of ours.
        leftovers: texts that an earlier run had left in the hub.
        interrupted: somebody ended it early.
        troubles: faults of the tool or the stage itself.
        tool_cpu_s, hub_cpu_s: seconds of CPU; the hub's is None when it is not our child.
        wall_s: seconds from the first phase to the end.
    """

    title: str
    accounts: Sequence[Account]
    failures: int
    requests: int
    p99_ms: Mapping[str, float]
    settled: bool
    under_way: Mapping[str, int]
    drained_s: float
    strange: int
    leftovers: int
    interrupted: bool
    troubles: Sequence[str]
    tool_cpu_s: float
    hub_cpu_s: float | None
    wall_s: float

    @property
    def arrived(self) -> int:
        """Texts that arrived, receipts not among them."""
        return sum(account.arrived for account in self.accounts if "receipts" not in account.flow)


def broken_bounds(found: Findings, bounds: Bounds) -> list[str]:
    """What the run did not hold, in words; nothing when all is well."""
    broken = list(found.troubles)
    if found.interrupted:
        broken.append("it was ended before its time")
    for word in ("lost", "doubled", "disordered"):
        count, most = sum(getattr(account, word) for account in found.accounts), getattr(bounds, word)
        if count > most:
            where = ", ".join(f"{account.flow} {getattr(account, word)}" for account in found.accounts)
            broken.append(f"{word}: {count}, at most {most} ({where})")
    if not found.settled and not found.interrupted and not found.troubles:
        what = ", ".join(f"{count} {words}" for words, count in found.under_way.items())
        broken.append(f"after {found.drained_s:.0f} s of drain this was still under way: {what}")
    if found.failures > bounds.failures:
        broken.append(f"failed requests: {found.failures}, at most {bounds.failures}")
    if found.arrived < bounds.arrived:
        broken.append(f"arrived: {found.arrived}, at least {bounds.arrived}")
    strange = found.strange + sum(account.strange for account in found.accounts)
    if strange:
        broken.append(f"strange: {strange} texts or receipts came that nobody here had sent")
    for name, most_ms in bounds.p99_ms.items():
        took_ms = found.p99_ms.get(name)
        if took_ms is None:
            broken.append(f"p99 of {name}: there was none, at most {most_ms:g} ms")
        elif took_ms > most_ms:
            broken.append(f"p99 of {name}: {took_ms:g} ms, at most {most_ms:g} ms")
    return broken


def account_lines(accounts: Sequence[Account]) -> list[str]:
    """The accounts as a table."""
    widths = {word: max(8, len(title)) for word, title in COLUMNS.items()}
    lines = [f"{'flow':20} " + " ".join(f"{title:>{widths[word]}}" for word, title in COLUMNS.items())]
    lines += [
        f"{account.flow:20} " + " ".join(f"{getattr(account, word):>{widths[word]},}" for word in COLUMNS)
        for account in accounts
    ]
    return lines


def summary(found: Findings, broken: Sequence[str]) -> list[str]:
    """The last words of a run."""
    lines = [f"Accounts of {found.title!r}", *account_lines(found.accounts), ""]
    spent = {"the tool": found.tool_cpu_s, "the hub": found.hub_cpu_s}
    cost = ", ".join(
        f"{who} {cpu_s:.1f} s" + (f" ({cpu_s / found.arrived * 1000:.2f} s per 1,000 texts)" if found.arrived else "")
        for who, cpu_s in spent.items()
        if cpu_s is not None
    )
    lines.append(f"{found.wall_s:.0f} s, of these {found.drained_s:.0f} s of drain. CPU: {cost}.")
    lost, doubled, disordered = (
        sum(getattr(account, word) for account in found.accounts) for word in ("lost", "doubled", "disordered")
    )
    again = sum(account.again for account in found.accounts)
    if not lost and not doubled and found.settled:
        also = f"; {again} came again after a doubt" if again else ""
        order = "" if disordered else ", in order"
        lines.append(f"Every acknowledged text arrived, once{order}{also}.")
    if found.leftovers:
        lines.append(f"{found.leftovers} texts or receipts came that an earlier run had left in the hub.")
    lines += [f"BROKEN {each}" for each in broken]
    if not broken:
        lines.append("All bounds held.")
    return lines
