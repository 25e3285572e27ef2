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


def need_atheris(wanted: Requirement, *, found: bool) -> None:
    """Skip where the fuzzer is not released for this system, which pyproject.toml tells; fail where it is missing."""
    if wanted.marker is not None and not wanted.marker.evaluate():
        here = f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
        pytest.skip(f"{wanted.name} is not released for {here}, only for: {wanted.marker}")
    if not found:
        pytest.fail(f"{wanted.name} is missing: run 'ops/setup/setup dev'", pytrace=False)


@pytest.fixture(scope="module")
def atheris() -> None:
    lines: list[str] = pyproject()["project"]["optional-dependencies"]["dev"]  # type: ignore[index]
    wanted = next(Requirement(line) for line in lines if Requirement(line).name == "atheris")
    need_atheris(wanted, found=importlib.util.find_spec("atheris") is not None)


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


def test_a_fuzzer_that_could_be_there_and_is_not_is_no_reason_to_skip() -> None:
    wanted = Requirement("atheris; python_version >= '3'")
    need_atheris(wanted, found=True)
    with pytest.raises(pytest.fail.Exception, match="atheris is missing"):
        need_atheris(wanted, found=False)


@pytest.mark.parametrize("found", [True, False])
def test_a_fuzzer_that_cannot_be_there_is_skipped_with_the_reason(found: bool) -> None:
    wanted = Requirement("atheris; python_version < '3'")
    with pytest.raises(pytest.skip.Exception, match=r"not released for Python 3.*, only for: python_version < \"3\""):
        need_atheris(wanted, found=found)


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
