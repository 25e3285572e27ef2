"""What ``smshub top`` shows, made of readings. Pure.

Rates are differences of two readings by the time between them. A counter that went back belongs to a daemon that was
started again: there is no rate until the next reading. Alarms are what a look at one reading tells; rules that need
more time than that are Prometheus's (``ops/alerts``), with the same bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ops.top.samples import Sample

HISTORY: Final = 60  # rates kept for each endpoint
OLDEST_S: Final = 900.0  # as QueueOld
LETTER_DAYS: Final = 14  # as LetterExpires
DISK_SHARE: Final = 0.1  # as DiskFull
BEHIND_ROWS: Final = 10_000  # rows that wait for the journal
LATE: Final = 0.5  # of a lease, as NodeLate
UNNUMBERED_S: Final = 60.0  # as NoServices
BLOCKS: Final = "▁▂▃▄▅▆▇█"


class Row(msgspec.Struct, frozen=True):
    """An endpoint.

    Attributes:
        name: its name.
        state: up, down, unbound (an account, which comes and goes), a director's reach; empty when nobody said.
        bound: sessions, of those wanted: ``2/3``; empty where there are none.
        in_per_s, out_per_s: messages taken from it and parts handed over to it; None before the second reading.
        history: of both together, the newest last.
        waiting, held: messages in the store (or being given), and of these in memory.
        oldest_s: the age of the oldest that is due.
        room: parts that it would take now.
        rate_limit: parts a second; 0 without a limit.
        throttled, dead: since the daemon's start.
    """

    name: str
    state: str
    bound: str
    in_per_s: float | None
    out_per_s: float | None
    history: tuple[float, ...]
    waiting: int
    held: int
    oldest_s: float
    room: int
    rate_limit: float
    throttled: int
    dead: int


class DeadRow(msgspec.Struct, frozen=True):
    """Dead letters since the daemon's start, by endpoint and reason; ``fresh`` since the reading before."""

    endpoint: str
    reason: str
    count: int
    fresh: int


class View(msgspec.Struct, frozen=True):
    """All that is shown.

    Attributes:
        at_us: when it was read.
        version, uptime_s: of the daemon.
        missing: see ``Sample``.
        in_per_s, out_per_s: of all endpoints.
        waiting, dead: messages in the store.
        rows: endpoints in order of name.
        dead_letters: the most first.
        store: the store in words.
        alarms: what is wrong in words, the worst first.
    """

    at_us: int
    version: str
    uptime_s: float
    missing: tuple[str, ...] | None
    in_per_s: float | None
    out_per_s: float | None
    waiting: int
    dead: int
    rows: tuple[Row, ...]
    dead_letters: tuple[DeadRow, ...]
    store: str
    alarms: tuple[str, ...]


class Following:
    """Readings of one daemon, one after the other."""

    def __init__(self) -> None:
        self._before: Sample | None = None
        self._histories: dict[str, deque[float]] = {}
        self.totals: deque[float] = deque(maxlen=HISTORY)
        """Messages a second of all endpoints, the newest last."""

    def look(self, sample: Sample) -> View:
        """What a reading shows, after those before it."""
        before = self._before
        if before is not None and (_started(before) != _started(sample) or before.at_us >= sample.at_us):
            before = None
        self._before = sample
        taken, given = (
            _Rates("smshub_accepted_total", before, sample),
            _Rates("smshub_handed_over_total", before, sample),
        )
        names = sorted(_endpoints(sample))
        rows = tuple(self._row(name, sample, taken, given) for name in names)
        for gone in self._histories.keys() - set(names):
            del self._histories[gone]
        if before is not None:
            self.totals.append((taken.total or 0.0) + (given.total or 0.0))
        dead = _dead_letters(before, sample)
        return View(
            at_us=sample.at_us,
            version=_version(sample),
            uptime_s=max(0.0, sample.at_us / 1e6 - _started(sample)) if _started(sample) else 0.0,
            missing=sample.missing,
            in_per_s=taken.total,
            out_per_s=given.total,
            waiting=int(sample.total("smshub_queue_messages")),
            dead=int(sample.total("smshub_dead_letter_messages")),
            rows=rows,
            dead_letters=dead,
            store=_store(before, sample),
            alarms=alarms_of(sample, dead),
        )

    def _row(self, name: str, sample: Sample, taken: _Rates, given: _Rates) -> Row:
        in_per_s, out_per_s = taken.of(name), given.of(name)
        history = self._histories.setdefault(name, deque(maxlen=HISTORY))
        if in_per_s is not None and out_per_s is not None:
            history.append(in_per_s + out_per_s)
        sums = {metric: sample.sums(metric).get(name, 0.0) for metric in _SUMS}
        return Row(
            name=name,
            state=_state(name, sample),
            bound=_bound(name, sample),
            in_per_s=in_per_s,
            out_per_s=out_per_s,
            history=tuple(history),
            waiting=int(sums["smshub_queue_messages"]),
            held=int(sums["smshub_held_messages"]),
            oldest_s=sample.greatest("smshub_queue_oldest_seconds").get(name, 0.0),
            room=int(sums["smshub_room_parts"]),
            rate_limit=sums["smshub_rate_limit_parts_per_second"],
            throttled=int(sums["smshub_throttled_total"]),
            dead=int(sums["smshub_dead_letters_total"]),
        )


_SUMS: Final = (
    "smshub_queue_messages",
    "smshub_held_messages",
    "smshub_room_parts",
    "smshub_rate_limit_parts_per_second",
    "smshub_throttled_total",
    "smshub_dead_letters_total",
)


class _Rates:
    """One counter's rates between two readings, by endpoint; None without a reading before."""

    def __init__(self, name: str, before: Sample | None, now: Sample) -> None:
        self._per_s: dict[str, float] | None = None
        if before is not None:
            then, since_s = before.sums(name), (now.at_us - before.at_us) / 1e6
            self._per_s = {
                endpoint: max(0.0, value - then.get(endpoint, 0.0)) / since_s
                for endpoint, value in now.sums(name).items()
            }

    def of(self, endpoint: str) -> float | None:
        return None if self._per_s is None else self._per_s.get(endpoint, 0.0)

    @property
    def total(self) -> float | None:
        return None if self._per_s is None else sum(self._per_s.values())


def _started(sample: Sample) -> float:
    return sample.value("process_start_time_seconds")


def _version(sample: Sample) -> str:
    return next(iter(sample.sums("smshub_build_info", "version")), "")


def _endpoints(sample: Sample) -> set[str]:
    names: set[str] = set()
    for metric in ("smshub_held_messages", "smshub_endpoint_up", "smshub_queue_messages"):
        names |= sample.sums(metric).keys()
    return names - {""}


def _state(name: str, sample: Sample) -> str:
    for labels, value in sample.values.get("smshub_desk_reach", {}).items():
        told = dict(labels)
        if told.get("endpoint") == name and value:
            return told.get("state", "")
    up = sample.sums("smshub_endpoint_up")
    if name not in up:
        return ""
    return "up" if up[name] else "unbound" if name.startswith("account:") else "down"


def _bound(name: str, sample: Sample) -> str:
    bound, wanted = sample.sums("smshub_sessions"), sample.sums("smshub_sessions_wanted")
    if name in wanted:
        return f"{bound.get(name, 0):.0f}/{wanted[name]:.0f}"
    return f"{bound[name]:.0f}" if name in bound else ""


def _dead_letters(before: Sample | None, now: Sample) -> tuple[DeadRow, ...]:
    then = before.values.get("smshub_dead_letters_total", {}) if before is not None else None
    rows = []
    for labels, value in now.values.get("smshub_dead_letters_total", {}).items():
        told = dict(labels)
        fresh = value - then.get(labels, 0.0) if then is not None else 0.0
        rows.append(DeadRow(told.get("endpoint", ""), told.get("reason", ""), int(value), max(0, int(fresh))))
    return tuple(sorted(rows, key=lambda row: (-row.count, row.endpoint, row.reason)))


def _store(before: Sample | None, now: Sample) -> str:
    words = []
    if now.has("smshub_store_answer_seconds"):
        words.append(f"answers in {now.total('smshub_store_answer_seconds') * 1e3:.1f} ms")
    if before is not None:
        since_s = (now.at_us - before.at_us) / 1e6
        rows = max(0.0, now.total("smshub_store_rows_total") - before.total("smshub_store_rows_total")) / since_s
        busy = now.total("smshub_store_busy_seconds_total") - before.total("smshub_store_busy_seconds_total")
        words.append(f"{rows:,.0f} rows/s, busy {min(1.0, max(0.0, busy / since_s)):.0%}")
    words.append(f"{now.total('smshub_store_pending_rows'):,.0f} rows pending")
    words.append(f"longest commit {now.total('smshub_store_longest_commit_seconds') * 1e3:,.0f} ms")
    return ", ".join(words)


# --- alarms ----------------------------------------------------------------------------------------------------------


def alarms_of(sample: Sample, dead: Sequence[DeadRow] = ()) -> tuple[str, ...]:
    """What is wrong, in words, the worst first."""
    found: list[str] = []
    if sample.missing:
        found.append(f"not ready: {', '.join(sample.missing)}")
    if sample.value("smshub_store_up", 1.0) == 0:
        found.append("the store does not answer")
    found += [
        f"{name} is down"
        for name, up in sorted(sample.sums("smshub_endpoint_up").items())
        if not up and not name.startswith("account:")  # who binds to us comes and goes
    ]
    found += _node_alarms(sample)
    found += _queue_alarms(sample)
    fresh = sum(row.fresh for row in dead)
    if fresh:
        found.append(f"{fresh} new dead letters")
    found += [words for name, is_bad, words in _ONE_VALUE if sample.has(name) and is_bad(sample.total(name))]
    for what, size in sorted(sample.sums("smshub_disk_size_bytes", "what").items()):
        free = sample.sums("smshub_disk_free_bytes", "what").get(what, size)
        if size and free < DISK_SHARE * size:
            found.append(f"disk of {what}: {free / size:.0%} free")
    if sample.total("smshub_catalog_revision") != sample.total("smshub_catalog_stored_revision"):
        found.append("the catalog in force is not the one in the store (yet)")
    for letter, days in sorted(sample.greatest("smshub_loa_days_left", "loa").items()):
        if days < LETTER_DAYS:
            found.append(f"letter {letter} " + (f"expires in {days:.0f} days" if days >= 0 else "has expired"))
    return tuple(found)


def _node_alarms(sample: Sample) -> list[str]:
    """Of several nodes on one database."""
    found = []
    age_s, lease_s = sample.value("smshub_node_sign_age_seconds"), sample.value("smshub_node_lease_seconds")
    if lease_s and age_s > LATE * lease_s:
        found.append(f"this node gave its last sign of life {lasting(age_s)} ago, of a lease of {lasting(lease_s)}")
    dead = int(sample.value("smshub_nodes", state="dead"))
    if dead:
        found.append(f"dead nodes: {dead}; `smshub node list` says which")
    if sample.value("smshub_outbox_oldest_seconds") > UNNUMBERED_S:
        found.append("no node does what is done once for all: `smshub node list`")
    return found


def _queue_alarms(sample: Sample) -> list[str]:
    oldest = sample.greatest("smshub_queue_oldest_seconds")
    return [
        f"{name}: the oldest has waited for {lasting(age)}"
        for name, age in sorted(oldest.items())
        if age > OLDEST_S and not name.startswith("account:")
    ]


_ONE_VALUE: Final[tuple[tuple[str, Callable[[float], bool], str], ...]] = (
    ("smshub_store_pending_rows", lambda rows: rows > BEHIND_ROWS, "the journal is behind: many rows are pending"),
    ("smshub_reload_successful", lambda value: value == 0, "the last reload was refused or failed"),
    (
        "smshub_troubled_endpoints",
        lambda count: count > 0,
        "endpoints are not as provisioned: `smshub reload` says why",
    ),
    ("smshub_publications_uncovered", lambda count: count > 0, "published numbers that no valid letter covers"),
    ("smshub_draining", lambda value: value > 0, "it is stopping"),
)


# --- words -----------------------------------------------------------------------------------------------------------


def lasting(seconds: float) -> str:
    """A time span in two units at most: ``3s``, ``5m 10s``, ``2h 5m``, ``12d 3h``."""
    whole = max(0, int(seconds))
    units = (("d", whole // 86_400), ("h", whole // 3600 % 24), ("m", whole // 60 % 60), ("s", whole % 60))
    told = [f"{value}{unit}" for unit, value in units if value]
    first = next((index for index, (_, value) in enumerate(units) if value), 3)
    return " ".join(f"{value}{unit}" for unit, value in units[first : first + 2] if value) if told else "0s"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as bars, the highest as high as can be; nothing for values that are all zero."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(BLOCKS[min(7, int(value / top * 7.999))] if value > 0 else " " for value in shown).rjust(width)


def per_s(value: float | None) -> str:
    """A rate in a column: one decimal below ten, ``-`` when it is not known yet."""
    if value is None:
        return "-"
    return f"{value:.1f}" if 0 < value < 10 else f"{value:,.0f}"


SORTS: Final = ("name", "out/s", "in/s", "waiting", "oldest", "dead")


def chosen(rows: Sequence[Row], words: str, sort: str) -> list[Row]:
    """Rows whose name has some words in it, sorted.

    Args:
        rows: all.
        words: what the name shall contain, whatever its case; nothing leaves nothing out.
        sort: one of ``SORTS``; numbers with the greatest first.
    """
    found = [row for row in rows if words.lower() in row.name.lower()]
    keys: dict[str, Callable[[Row], float]] = {
        "out/s": lambda row: row.out_per_s or 0.0,
        "in/s": lambda row: row.in_per_s or 0.0,
        "waiting": lambda row: row.waiting,
        "oldest": lambda row: row.oldest_s,
        "dead": lambda row: row.dead,
    }
    return sorted(found, key=lambda row: (-keys[sort](row) if sort in keys else 0, row.name))
