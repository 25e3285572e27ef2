"""A Prometheus of its own for each test that wants one: its data, its port, its end."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import wait_or_kill

PATIENCE_S = 240.0
STOP_S = 30.0


class Prometheus:
    """One that runs."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._process = process
        self._log = log

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers. Raises: AssertionError when it answers with an error."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an expression, now."""
        found = self.ask("query", query=expr)
        assert found["resultType"] == "vector", expr
        return list(found["result"])

    def wait_until(self, ready: Callable[[], object], what: str) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE_S
        while not ready():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, f"not seen: {what}"
            time.sleep(0.2)

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def running_prometheus(folder: Path, configuration: str, port: int) -> Iterator[Prometheus]:
    """Run it while the body lasts.

    Args:
        folder: for its data; it must be empty.
        configuration: of the file prometheus.yml.
        port: nobody listens on it.
    """
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(configuration)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            running = Prometheus(port, process, log)
            running.wait_until(running._is_up, "Prometheus is ready")
            yield running
        finally:
            process.terminate()
            wait_or_kill(process, STOP_S)
