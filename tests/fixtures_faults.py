"""How many times the fault tests kill the daemon.

A plugin and not a conftest of tests/faults: options must be known before pytest looks into folders.
"""

from __future__ import annotations

import pytest

KILLS = 52  # in one run of `make test`, over both databases


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=0, help=f"how often tests/faults kill the daemon in all (default: {KILLS} x scale)"
    )
    parser.addoption("--fault-seed", type=int, default=0, help="seed of the fault tests' chance (default: a new one)")


def kills_asked_for(config: pytest.Config) -> int:
    """Kills in all."""
    return int(config.getoption("--kills")) or KILLS * int(config.getoption("--scale"))


@pytest.fixture(scope="session")
def fault_seed(pytestconfig: pytest.Config) -> int:
    """What the chance of fault tests grows from; 0 for a new one each time."""
    return int(pytestconfig.getoption("--fault-seed"))
