"""The fuzzer for a bounded number of inputs, from a fixed beginning; ``make fuzz`` runs it for hours."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.fuzz.run import ROOT
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS
from tests.meta.tree import pyproject

RUNS = 2500
SEED = 20_260_101
PATIENCE_S = 150


@pytest.fixture(scope="module")
def atheris() -> None:
    """The fuzzer is there, or cannot be: it is released for some systems only, which pyproject.toml tells."""
    lines: list[str] = pyproject()["project"]["optional-dependencies"]["dev"]  # type: ignore[index]
    wanted = next(Requirement(line) for line in lines if Requirement(line).name == "atheris")
    if wanted.marker is not None and not wanted.marker.evaluate():
        here = f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
        pytest.skip(f"atheris is not released for {here}, only for: {wanted.marker}")
    if importlib.util.find_spec("atheris") is None:
        pytest.fail("atheris is missing: run 'ops/setup/setup dev'", pytrace=False)


def fuzz(target: str, directory: Path, runs: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.run", target, f"--runs={runs}", f"--seed={SEED}"),
            *(f"--directory={directory}", f"--patience={PATIENCE_S}"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=160,
    )


def test_every_target_has_seeds() -> None:
    assert set(SEEDS) == set(TARGETS)
    assert all(SEEDS.values())


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_break_nothing(target: str) -> None:
    for seed in SEEDS[target]:
        TARGETS[target](seed)


@pytest.mark.slow
@pytest.mark.usefixtures("atheris")
@pytest.mark.parametrize("target", TARGETS)
def test_the_fuzzer_finds_nothing(target: str, tmp_path: Path) -> None:
    run = fuzz(target, tmp_path, RUNS)
    finds = {path.name: path.read_bytes() for path in (tmp_path / "found").iterdir()}
    assert not finds, f"{finds}\n{run.stderr[-3000:]}"
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"Done {RUNS} runs" in run.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("atheris")
def test_the_fuzzer_follows_branches_and_tells_what_it_found(tmp_path: Path) -> None:
    run = fuzz("canary", tmp_path, 3_000_000)
    assert run.returncode != 0
    assert "the canary sings" in run.stderr + run.stdout
    (find,) = (tmp_path / "found").iterdir()
    assert find.read_bytes().startswith(b"sing")
