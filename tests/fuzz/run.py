"""Drives the fuzzer: ``python -m tests.fuzz.run TARGET``, or ``all`` for each target in turn; ``make fuzz`` does.

The corpus of a target grows in ``var/fuzz/TARGET``, so that a run goes on where the last one stopped. What breaks a
promise is written to ``var/fuzz/found/`` and shown; ``--replay FILE`` runs it again, without the fuzzer.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUZZED = ("smpp", "translators", "provisioning.directories", "tests.fuzz.targets")
"""What is instrumented: the fuzzer follows the branches of these."""

LONGEST_INPUT = 1024
PATIENCE_S = 20
"""No input may take longer: what takes seconds to read is a find too. Tests wait longer: machines may stand still."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("target", help="a name of tests.fuzz.targets.TARGETS, or all")
    parser.add_argument("--seconds", type=int, default=0, help="stop after this long (0: never)")
    parser.add_argument("--runs", type=int, default=-1, help="stop after so many inputs (-1: never)")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer's choices (0: another one each time)")
    parser.add_argument("--patience", type=int, default=PATIENCE_S, help="seconds that one input may take")
    parser.add_argument("--directory", type=Path, default=ROOT / "var/fuzz", help="where corpus and finds are kept")
    parser.add_argument("--replay", type=Path, help="run one input, without the fuzzer")
    options = parser.parse_args(arguments)
    if options.target == "all":
        return _all(options)
    if options.replay is not None:
        from tests.fuzz.targets import TARGETS

        TARGETS[options.target](options.replay.read_bytes())
        return 0
    return fuzz(options)


def _all(options: argparse.Namespace) -> int:
    """Each target in a process of its own, since the fuzzer ends its process. Returns: 1 when one of them failed."""
    from tests.fuzz.seeds import SEEDS

    failed = []
    for name in SEEDS:
        print(f"--- {name}", flush=True)
        limits = [f"--{limit}={getattr(options, limit)}" for limit in ("seconds", "runs", "seed", "patience")]
        command = [sys.executable, "-m", "tests.fuzz.run", name, *limits, f"--directory={options.directory}"]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    print(f"found something in: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


def fuzz(options: argparse.Namespace) -> int:
    """Fuzz one target. Does not come back: the fuzzer ends the process, with an error when it found something."""
    import atheris

    with atheris.instrument_imports(include=list(FUZZED), enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets")
        seeds = importlib.import_module("tests.fuzz.seeds")
    known = targets.TARGETS | {"canary": targets.canary}
    if options.target not in known:
        print(f"no such target: {options.target}; there are {', '.join(known)}")
        return 2
    corpus, found = options.directory / options.target, options.directory / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds.SEEDS.get(options.target, ())):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-runs={options.runs}", f"-max_total_time={options.seconds}", f"-seed={options.seed}"]
    slow = [f"-timeout={options.patience}", f"-report_slow_units={options.patience}"]
    shape = [f"-max_len={LONGEST_INPUT}", *slow, "-rss_limit_mb=1024", "-print_final_stats=1"]
    argv = [sys.argv[0], *limits, *shape, f"-artifact_prefix={found}/{options.target}-", str(corpus)]
    atheris.Setup(argv, known[options.target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
