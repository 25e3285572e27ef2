"""The words for the service manager."""

from __future__ import annotations

import pytest

from ops.readiness import MAX_STATUS_CHARACTERS, Supervisor, reloading, socket_address, status, watchdog_s


def test_the_words() -> None:
    assert reloading(1234) == "RELOADING=1\nMONOTONIC_USEC=1234"
    assert status("two\nlines") == "STATUS=two lines"
    assert len(status("x" * 1000)) == len("STATUS=") + MAX_STATUS_CHARACTERS


@pytest.mark.parametrize(
    ("name", "address"),
    [("/run/x", "/run/x"), ("@abstract", b"\0abstract"), ("", None), ("vsock:2:1", None), ("relative", None)],
)
def test_where_the_manager_listens(name: str, address: str | bytes | None) -> None:
    assert socket_address({"NOTIFY_SOCKET": name}) == address
    assert socket_address({}) is None


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": ""}, 0.0),
    ],
)
def test_how_often_it_wants_to_hear(environ: dict[str, str], seconds: float) -> None:
    assert watchdog_s(environ, 42) == seconds


def test_a_manager_that_is_not_there_harms_nobody(tmp_path: object) -> None:
    Supervisor({}).tell("READY=1")
    Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/nobody"}).tell("READY=1")
