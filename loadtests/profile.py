"""Where the hub's time goes: py-spy's samples, counted.

A sampler beside the process slows it by a few per cent; cProfile inside it would double the cost of the small functions
and so show the wrong ones.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from loadtests.processes import ROOT

SAMPLES_PER_S = 400
TOP = 45


class Profiler:
    """Samples one process.

    Args:
        pid: the process.

    Raises: SystemExit: py-spy is not there.
    """

    def __init__(self, pid: int) -> None:
        beside = Path(sys.executable).parent / "py-spy"
        found = str(beside) if beside.exists() else shutil.which("py-spy")
        if found is None:
            raise SystemExit("--profile needs py-spy: pip install py-spy")
        self._program = found
        self._pid = pid

    def record(self, name: str, work: Callable[[], object]) -> None:
        """Sample while the work runs; the stacks go to var/profile-NAME.txt, the top functions are printed."""
        stacks = ROOT / "var" / f"profile-{name}.txt"
        stacks.parent.mkdir(exist_ok=True)
        command = [self._program, "record", "--pid", str(self._pid), "--rate", str(SAMPLES_PER_S), "--format", "raw"]
        command += ["--output", str(stacks), "--duration", "600", "--gil", "--threads", "--nonblocking"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sampler:
            work()
            sampler.send_signal(2)
            sampler.wait(60)
        print(f"\n{name}: shares of the samples in which a thread held the GIL ({stacks.name})")
        print("\n".join(table(stacks.read_text())) + "\n")


def table(raw: str, top: int = TOP) -> list[str]:
    """Count folded stacks: own and total shares of each function, the largest own first."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    samples = 0
    for line in raw.splitlines():
        stack, _, number = line.rpartition(" ")
        count = int(number)
        names = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in stack.split(";")]
        samples += count
        own[names[-1]] += count
        for each in set(names):
            total[each] += count
    if not samples:
        return ["no samples"]
    lines = [f"{'own':>6} {'total':>6}  function"]
    lines += [f"{count / samples:6.1%} {total[name] / samples:6.1%}  {name}" for name, count in own.most_common(top)]
    return lines
