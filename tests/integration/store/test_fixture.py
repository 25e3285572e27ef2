"""The private PostgreSQL leaves nothing behind, however a session ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STARTING = """
from tests.fixtures_postgres import PostgresServer, find_programs
server = PostgresServer(find_programs())
server.start()
print(server.folder, server.process_id, flush=True)
input()
"""


def test_a_session_that_is_killed_takes_its_server_along(pytestconfig):
    with subprocess.Popen(
        [sys.executable, "-c", STARTING],
        cwd=pytestconfig.rootpath,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        folder, process_id = session.stdout.readline().split()
        os.kill(int(process_id), 0)
        session.send_signal(signal.SIGKILL)
    give_up_at = time.monotonic() + 30
    while (Path(folder).exists() or Path(f"/proc/{process_id}").exists()) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert not Path(f"/proc/{process_id}").exists()
