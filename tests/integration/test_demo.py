"""``smshub demo`` and ``smshub run --demo``, as a newcomer starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "ops.cli"]
PATIENCE_S = 60


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def test_the_demonstration_sees_every_step_and_ends_with_status_0(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for seen in (
        "acknowledged: it is on disk",
        "new thread",
        "designated",
        "part 2 of 3",
        "receipt: delivered",
        "same",
    ):
        assert seen in done.stdout
    log = (tmp_path / "var/demo/smshub.log").read_text()
    assert "red light" not in log, "a text in the log"
    assert "demo-secret" not in log, "a secret in the log"


def test_the_demonstration_fails_when_a_step_is_missed(tmp_path: Path) -> None:
    # The desk never gets a text whose number nobody has: the step is missed, and said so.
    script = (
        "import sys, trio; from pathlib import Path; from ops import demo; demo.STEP_S = 1.0;"
        "demo.NUMBER = '+18005550199'; sys.exit(trio.run(demo.run_demo, Path('var/demo'), print, print))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED at text in" in done.stdout


def test_run_demo_stays_up_takes_texts_and_stops_when_told(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "--demo"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "To stop it" in line:
                process.stdin.write("is it still red?\n@ yes it is\n")
                process.stdin.flush()
            if "[phone" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    text = "".join(lines)
    assert "is it still red?" in text
    assert "yes it is" in text
