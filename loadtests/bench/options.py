"""What the benchmark can be told, and the sizes of its load."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from loadtests.processes import ROOT

BINDS = 4
WINDOW = 250  # for each bind: a thousand unanswered in all, which is what keeps the hub busy and waits short
SOURCE_WINDOW = 1000  # of the carrier's one bind
RECEIPT_WINDOW = 900  # receipts of the carrier under way; the inbox of a link takes 2000
WARM_UP = 4000
MILLION = 1_000_000
LANES = 100_000  # of a backlog of a million: ten texts for each customer
MEASUREMENTS = (
    "codec",
    "echo",
    "account",
    "latency",
    "receipts",
    "desk",
    "idle",
    "slow",
    "million",
    "outage",
    "links",
    "numbers",
    "threads",
)
CONVERSATIONS = frozenset({"account", "latency", "receipts", "desk"})


def sizes(words: str) -> tuple[int, ...]:
    """Read ``1,10,100``: rising, none twice; a growth is measured from the first to the last."""
    try:
        found = tuple(int(word.replace("_", "")) for word in words.split(",") if word.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r}: write numbers with commas between, like 1,10,100") from None
    if not found or found[0] < 1 or list(found) != sorted(set(found)):
        raise argparse.ArgumentTypeError(f"{words!r}: write numbers above 0 that rise, like 1,10,100")
    return found


def _at_least(least: float, kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(words: str) -> float:
        try:
            value = kind(words)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{words!r}: write a number of {least:g} or more")
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description="Messages a second, waits, CPU and memory of the real daemon, and how they grow.",
    )
    parser.add_argument("--quick", action="store_true", help="small and once, for a look while developing")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="only these")
    parser.add_argument(
        "--store", choices=("sqlite", "postgresql"), default="sqlite", help="a private one, thrown away"
    )
    parser.add_argument("--count", type=_at_least(BINDS, int), default=100_000, help="messages of one measurement")
    parser.add_argument("--runs", type=_at_least(1, int), default=3, help="repetitions, whose median counts")
    parser.add_argument(
        "--half-s", type=_at_least(0.1, float), default=8.0, help="seconds of one measurement at a share of the peak"
    )
    parser.add_argument("--idle-s", type=_at_least(0.1, float), default=30.0, help="seconds of looking at idle binds")
    parser.add_argument(
        "--queued", type=_at_least(0, int), default=MILLION, help="messages of the long queue; 0 skips it"
    )
    parser.add_argument(
        "--backlog", type=_at_least(0, int), default=MILLION, help="messages that an outage leaves; 0 skips it"
    )
    parser.add_argument(
        "--live-rate", type=_at_least(10, float), default=2000.0, help="texts a second beside the backlog"
    )
    parser.add_argument("--links", type=sizes, default=(1, 10, 100, 300), metavar="N,N", help="numbers of links")
    parser.add_argument(
        "--numbers",
        type=sizes,
        default=(100, 1000, 10_000, 100_000, MILLION),
        metavar="N,N",
        help="how many numbers are provisioned",
    )
    parser.add_argument(
        "--threads",
        type=sizes,
        default=(10, 10_000, 100_000, MILLION, 10 * MILLION),
        metavar="N,N",
        help="how many open threads are in the store",
    )
    parser.add_argument("--synchronous", default="FULL", help="of SQLite; anything but FULL is for comparisons")
    parser.add_argument("--profile", action="store_true", help="sample the hub with py-spy, which must be installed")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "bench.json", help="where the figures go")
    return parser


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or other words in its place.

    Returns: the options; ``only`` is a set.
    """
    options = _parser().parse_args(words)
    options.only = set(options.only or MEASUREMENTS)
    if options.quick:
        options.count, options.runs, options.half_s = min(options.count, 20_000), 1, min(options.half_s, 2.0)
        options.idle_s = min(options.idle_s, 5.0)
        options.queued, options.backlog = min(options.queued, 50_000), min(options.backlog, 50_000)
        options.links = _up_to(options.links, 100)
        options.numbers = _up_to(options.numbers, 10_000)
        options.threads = _up_to(options.threads, 100_000)
    return options


def _up_to(found: tuple[int, ...], largest: int) -> tuple[int, ...]:
    """The smallest size and the largest of those that are not too large for a quick look."""
    fitting = [size for size in found if size <= largest] or [found[0]]
    return (fitting[0],) if len(fitting) == 1 else (fitting[0], fitting[-1])
