"""The same examples are tried at home and in CI, and a failure can be repeated from its print."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.meta.tree import ROOT

_CODE = """
import tests.conftest
from hypothesis import settings
now = settings()
print(now.max_examples, now.derandomize, now.print_blob, now.deadline, now.database is not None)
"""


@pytest.mark.parametrize("ci", ["", "true"])
def test_ci_runs_no_other_profile(ci: str) -> None:
    # Hypothesis looks at CI when it is imported, so this needs a process of its own.
    environment = {**os.environ, "CI": ci} if ci else {k: v for k, v in os.environ.items() if k != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", _CODE], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["100", "False", "True", "None", "True"]
