"""A private ejabberd, on loopback, without a node name: so it needs no epmd and meets no other.

It runs as Debian's own user when the tests run as root, and as whoever runs them otherwise. A machine without it fails
the tests that need it: skipping would look like passing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers import listens, wait_or_kill

START_S = 60.0
LIBRARIES = sorted(Path("/usr/lib").glob("*/ejabberd-*"))  # where Debian keeps it, beside Erlang's own
REGISTER = "[ejabberd_auth:try_register(list_to_binary(U), <<{host}>>, <<{password}>>) || U <- [{names}]]"


class Ejabberd:
    """A server that is not started yet.

    Args:
        home: its folder, which it may own; with ``ejabberd.yml``.
        ports: that it will listen on.
        host: the domain of its users.
        password: theirs.
        names: who they are.
    """

    def __init__(self, home: Path, ports: tuple[int, ...], host: str, password: str, names: tuple[str, ...]) -> None:
        self.home, self._ports = home, ports
        told = {"host": f'"{host}"', "password": f'"{password}"', "names": ", ".join(f'"{name}"' for name in names)}
        self._register = REGISTER.format(**told)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        erlang = shutil.which("erl")
        if erlang is None or not LIBRARIES:
            pytest.fail("ejabberd is missing: run 'ops/setup/setup system'", pytrace=False)
        identity = _identity()
        if identity:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, identity["user"], identity["group"])
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ERL_LIBS": str(LIBRARIES[0].parent),
            "EJABBERD_CONFIG_PATH": str(self.home / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.home / "ejabberd.log"),
        }
        command = [erlang, "-noinput", "-mnesia", "dir", f'"{self.home}/mnesia"', "-s", "ejabberd"]
        with (self.home / "stdout").open("wb") as stdout:
            self._process = subprocess.Popen(
                [*command, "-eval", self._register],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=environment,
                **identity,
            )
        until = time.monotonic() + START_S
        for port in self._ports:
            while not listens(port):
                if self._process.poll() is not None or time.monotonic() > until:
                    log = (self.home / "stdout").read_text(errors="replace")[-4000:]
                    self.stop()
                    pytest.fail(f"ejabberd did not start:\n{log}", pytrace=False)
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        wait_or_kill(self._process, 30)
        self._process = None


def _identity() -> dict[str, Any]:
    """As whom it runs."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("ejabberd")
    except KeyError:
        pytest.fail("the tests run as root and there is no user ejabberd to run it as", pytrace=False)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
