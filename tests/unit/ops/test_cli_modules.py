"""The command ``smshub`` finds its commands late, and all of them."""

from __future__ import annotations

import subprocess
import sys

import click

from ops.cli import MODULES, main

LATE = ("hypercorn", "starlette", "pyasn1", "boto3", "urllib3", "dns", "textual", "ops.simulators", "ops.daemon")


def test_every_command_is_where_it_is_said_to_be() -> None:
    nowhere = click.Context(main)
    assert main.list_commands(nowhere) == sorted(MODULES)
    for name in MODULES:
        command = main.get_command(nowhere, name)
        assert command is not None
        assert command.name == name
        assert command.help
    assert main.get_command(nowhere, "runn") is None


def test_who_looks_at_the_queue_loads_no_web_server() -> None:
    program = "import sys, ops.cli_operate, ops.cli_provision_group; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name in LATE] == []
