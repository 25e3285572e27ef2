"""``make soak``: steady load for minutes or hours while links flap and throttle; then everything is accounted for.

``python -m loadtests.soak --minutes 15 --per-s 1000``. Samples of memory, open files and the store go to
``var/soak.jsonl``, one JSON object a line. Exit status 0: nothing was lost, doubled without doubt, or out of order.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from loadtests.processes import ROOT, free_ports
from tests.faults.soak import Sample, open_soak, soak

DRAIN_S = 900.0


def show(found: Sample) -> None:
    print(
        f"{found.at_s:7.0f} s  sent {found.sent:9,}  acknowledged {found.acknowledged:9,}  taken {found.taken:9,}  "
        f"memory {found.rss_mb:6.0f} MB  files {found.descriptors:4}  store {found.store_mb:7.0f} MB  "
        f"ack {found.ack_p50_ms:5.0f} / {found.ack_p99_ms:6.0f} ms",
        flush=True,
    )


async def run(options: argparse.Namespace, folder: Path) -> int:
    url = options.store or f"sqlite:///{folder / 'hub.db'}"
    lines = options.samples.open("wb")

    def look(found: Sample) -> None:
        lines.write(msgspec.json.encode(found) + b"\n")
        lines.flush()
        show(found)

    seconds = options.minutes * 60 + options.hours * 3600
    async with open_soak(folder, url, lambda: free_ports(1)[0], options.seed, options.per_s) as scene:
        begun = time.monotonic()
        events = await soak(scene, seconds, options.often_s, look)
        loaded_s = time.monotonic() - begun
        await scene.drain(DRAIN_S)
        drained_s = time.monotonic() - begun - loaded_s
        await scene.stop(120)
        violations, book = scene.account()
    lines.close()
    sent = scene.load.sent.values()
    print(f"\n{len(sent):,} texts sent in {loaded_s:.0f} s, {len(sent) / loaded_s:.0f}/s; drained in {drained_s:.1f} s")
    print(f"{sum(1 for text in sent if text.acknowledged):,} acknowledged, {len(book.texts):,} in the journal")
    print(f"{book.doubts:,} times in doubt; carriers took {sum(c.binds for c in scene.carriers):,} binds")
    print("weather: " + ", ".join(f"{name} {count}" for name, count in sorted(events.items())))
    for violation in violations[:50]:
        print(f"VIOLATION {violation}")
    print(f"{len(violations)} violations")
    return 1 if violations else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0.0, help="how long")
    parser.add_argument("--hours", type=float, default=0.0, help="how long, beside the minutes")
    parser.add_argument("--per-s", type=float, default=1000.0, help="texts a second")
    parser.add_argument("--often-s", type=float, default=3.0, help="seconds between two events, on average")
    parser.add_argument("--seed", type=int, default=1, help="of chance")
    parser.add_argument("--store", default="", help="an empty PostgreSQL database; a new SQLite file by default")
    parser.add_argument("--samples", type=Path, default=ROOT / "var" / "soak.jsonl", help="where samples go")
    options = parser.parse_args()
    if not options.minutes and not options.hours:
        options.minutes = 15.0
    options.samples.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="smshub-soak-") as folder:
        sys.exit(trio.run(run, options, Path(folder)))


if __name__ == "__main__":
    main()
