"""The command ``smshub``.

A command's module is imported when the command is given: an operator who looks at the queue need not wait for a web
server and an ASN.1 compiler to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

MODULES: Final = {
    "run": "ops.cli_daemon",
    "check": "ops.cli_daemon",
    "demo": "ops.cli_daemon",
    "db": "ops.cli_daemon",
    "reload": "ops.cli_reload",
    "provision": "ops.cli_provision_group",
    "account": "ops.cli_provision",
    "api-key": "ops.cli_api_key",
    "route": "ops.cli_route",
    "enum": "ops.cli_enum",
    "thread": "ops.cli_operate",
    "queue": "ops.cli_queue",
    "node": "ops.cli_node",
    "opt-out": "ops.cli_optout",
    "charging": "ops.cli_charging",
    "retention": "ops.cli_keeping",
    "archive": "ops.cli_keeping",
    "erase": "ops.cli_keeping",
    "audit": "ops.cli_audit",
    "simulate": "ops.cli_simulate",
    "text": "ops.cli_text",
    "top": "ops.cli_top",
}
"""Where each command is: in the module's only command of that name."""


class LateGroup(click.Group):
    """A group that finds its commands when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in MODULES:
            return None
        return self.commands.get(cmd_name) or self._load(cmd_name)

    def _load(self, name: str) -> click.Command:
        module = import_module(MODULES[name])
        found = {each.name: each for each in vars(module).values() if isinstance(each, click.Command)}
        self.add_command(found[name])
        return found[name]


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="smshub")
def main() -> None:
    """Text-enables a call centre: SMPP to carriers and aggregators, XMPP to the desk, threads and receipts between."""


if __name__ == "__main__":
    main()
