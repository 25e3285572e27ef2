"""What is compared between versions: ratios within one run, never seconds. Pure.

A machine that is slow today is slow for both sides of a ratio; what is left is noise, and each ratio has a tolerance
that is wider than its noise was in repeated runs on a machine that had other work to do. CPU per message moves least,
waits most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

Rows = Sequence[Mapping[str, float]]


class Watched(msgspec.Struct, frozen=True):
    """A ratio that is watched.

    Attributes:
        says: what it is, for people.
        tolerance: how much worse than the baseline it may be: 0.3 is 30 %.
        higher_is_better: which way is worse.
    """

    says: str
    tolerance: float
    higher_is_better: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """How a ratio stands to its baseline.

    Attributes:
        name: the ratio's.
        was: the baseline's; None for one that has none yet.
        now: what was found; None when it was not measured.
        limit: what would still do.
        is_worse: beyond its tolerance, or not measured.
    """

    name: str
    was: float | None
    now: float | None
    limit: float | None
    is_worse: bool


# Quotients of two figures: name → (dividend, divisor, what it is).
QUOTIENTS: dict[str, tuple[str, str, Watched]] = {
    "hub_cpu_over_echo": (
        "cpu_s_per_1000_msgs",
        "echo_cpu_s_per_1000_msgs",
        Watched("CPU of the whole road over a bare answer's", 0.4),
    ),
    "half_load_cpu_over_full_load": (
        "cpu_s_per_1000_half_load",
        "cpu_s_per_1000_msgs",
        Watched("CPU of a text at half load over one at full load", 0.5),
    ),
    "half_load_p99_over_p50": (
        "ack_p99_ms_half_load",
        "ack_p50_ms_half_load",
        Watched("the long waits at half load over the middle ones", 2.0),
    ),
    "receipts_cpu_over_plain": (
        "cpu_s_per_1000_msgs_with_receipts",
        "cpu_s_per_1000_msgs",
        Watched("CPU of a text with its receipt over one without", 0.4),
    ),
    "desk_cpu_over_link": (
        "link_to_xmpp_cpu_s_per_1000_msgs",
        "cpu_s_per_1000_msgs",
        Watched("CPU of a text to a desk, in a new thread, over one to a link", 0.4),
    ),
    "memory_with_a_queue_over_empty": (
        "rss_mb_queued",
        "rss_mb_empty",
        Watched("memory with the long queue over memory without", 0.3),
    ),
    "memory_with_a_million_over_empty": (
        "rss_mb_million_queued",
        "rss_mb_empty",
        Watched("memory with a million queued over memory without", 0.3),
    ),
}
# Figures that are ratios already.
AS_THEY_ARE: dict[str, Watched] = {
    "nine_links_beside_a_slow_one": Watched(
        "texts a second over nine links beside a slow tenth, over those beside a quick one",
        0.25,
        higher_is_better=True,
    ),
    "nine_links_cpu_beside_a_slow_one": Watched("the same for the CPU of a text", 0.3),
    "live_rate_while_draining_ratio": Watched(
        "texts a second that go on while a backlog drains, over those before", 0.2, higher_is_better=True
    ),
    "live_p99_while_draining_times": Watched("their long waits meanwhile over those before", 4.0),
}
# What the largest size of a curve has over the smallest: curve → figure of a row → what it is. Sizes are in the name.
GROWTHS: dict[str, dict[str, Watched]] = {
    "links": {"cpu_s_per_1000": Watched("CPU of a text, many links over few", 0.4)},
    "numbers": {
        "cpu_s_per_1000": Watched("CPU of a text, many numbers over few", 0.3),
        "rss_mb_at_start": Watched("memory at the start, many numbers over few", 0.2),
    },
    "threads": {
        "cpu_s_per_1000": Watched("CPU of a text in a new thread, many in the store over few", 0.3),
        "known_cpu_s_per_1000": Watched("CPU of a text in a thread that is open, many in the store over few", 0.4),
        "ready_s": Watched("the start, many threads in the store over few", 1.0),
    },
}


def ratios_of(figures: Mapping[str, float], curves: Mapping[str, Rows]) -> dict[str, float]:
    """The ratios that a run's figures give; those of what was not measured are left out."""
    found = {}
    for name, (dividend, divisor, _) in QUOTIENTS.items():
        if dividend in figures and figures.get(divisor, 0.0) > 0.0:
            found[name] = figures[dividend] / figures[divisor]
    found |= {name: figures[name] for name in AS_THEY_ARE if name in figures}
    for curve, keys in GROWTHS.items():
        for key in keys:
            rows = [row for row in curves.get(curve, ()) if row.get(key, 0.0) > 0.0]
            if len(rows) > 1:
                name = f"{curve}_{key}_{rows[-1]['size']:.0f}_over_{rows[0]['size']:.0f}"
                found[name] = rows[-1][key] / rows[0][key]
    return found


def watched(name: str) -> Watched:
    """What is known of a ratio. Raises: KeyError: nothing is."""
    if name in QUOTIENTS:
        return QUOTIENTS[name][2]
    if name in AS_THEY_ARE:
        return AS_THEY_ARE[name]
    for curve, keys in GROWTHS.items():
        for key, known in keys.items():
            if name.startswith(f"{curve}_{key}_"):
                return known
    raise KeyError(name)


def judge(found: Mapping[str, float], baseline: Mapping[str, float]) -> list[Verdict]:
    """Compare with the baseline.

    Args:
        found: of ``ratios_of``.
        baseline: what it was; each of its ratios must have been found.

    Returns: one verdict for each ratio of either, those of the baseline first.
    """
    verdicts = []
    for name, was in baseline.items():
        try:
            known = watched(name)
        except KeyError:
            continue  # it is watched no more
        now = found.get(name)
        limit = was * (1 - known.tolerance) if known.higher_is_better else was * (1 + known.tolerance)
        is_worse = now is None or not (now >= limit if known.higher_is_better else now <= limit)
        verdicts.append(Verdict(name, was, now, limit, is_worse))
    verdicts += [Verdict(name, None, now, None, False) for name, now in found.items() if name not in baseline]
    return verdicts


def words_of(verdict: Verdict) -> str:
    """A verdict as a line."""
    known = watched(verdict.name)
    if verdict.now is None:
        return f"MISSING  {verdict.name}: was {verdict.was:.3g}, and was not measured ({known.says})"
    if verdict.was is None or verdict.limit is None:
        return f"new      {verdict.name} {verdict.now:.3g}: the baseline has none ({known.says})"
    bound = "at least" if known.higher_is_better else "at most"
    mark = "WORSE  " if verdict.is_worse else "as good"
    return (
        f"{mark}  {verdict.name} {verdict.now:.3g}, was {verdict.was:.3g}, {bound} {verdict.limit:.3g} ({known.says})"
    )
