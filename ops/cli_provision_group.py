"""``smshub provision …``, with what has modules of its own: letters, and what is published."""

from __future__ import annotations

from typing import cast

import click

from ops.cli_loa import loa_commands
from ops.cli_provision import provision
from ops.cli_publish import publishing_commands

for _publishing in publishing_commands:
    provision.add_command(_publishing)
for _letter in loa_commands():
    cast(click.Group, provision.commands["loa"]).add_command(_letter)
