"""Nothing is opened when a text is encoded: descriptors may have run out by then."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.faults.process import ROOT

PROGRAM = """
import resource
import smpp.alphabet, hub.journal, hub.parts
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
text = "\\u2603".encode({codec!r}).decode({codec!r})
assert text == "\\u2603"
"""


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le", "latin-1", "ascii", "utf-8"])
def test_codecs_are_there_before_the_first_text(codec: str) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0
    program = PROGRAM.format(codec=codec)
    if codec in ("latin-1", "ascii"):
        program = program.replace("\\u2603", "e")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
