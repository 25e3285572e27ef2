"""Several nodes under load, in a small form: what is acknowledged at either arrives, by either's link."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from loadtests.processes import ROOT


def test_two_nodes_carry_what_comes_in_at_either(tmp_path: Path) -> None:
    kept = tmp_path / "nodes.json"
    command = [sys.executable, "-m", "loadtests.nodes", "--nodes", "2", "--count", "1000", "--runs", "1"]
    subprocess.run([*command, "--json", str(kept)], cwd=ROOT, check=True, timeout=150, stdout=subprocess.DEVNULL)
    rows = json.loads(kept.read_text())["rows"]
    assert [(row["nodes"], row["way"]) for row in rows] == [(2, "own"), (2, "across")]
    assert all(row["msgs_per_s"] > 0 for row in rows)
