"""The reference of the command ``smshub``, in Markdown, made from the commands themselves.

Run as a program (``python -m ops.cli_reference``) it writes docs/reference/cli.md to standard output; a test holds the
file to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from ops.cli import main

_HEAD = """# The command `smshub`

<!-- Made by `python -m ops.cli_reference`; do not edit. -->

Exit status: 0 done; 1 the daemon could not go on, or a demonstration failed; 2 a command or file was refused, with
every reason on standard error.
"""


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    nowhere = click.Context(group)
    for name in sorted(group.list_commands(nowhere)):
        command = group.get_command(nowhere, name)
        assert command is not None  # noqa: S101 - it has just named it
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(option: click.Option) -> str:
    shown = option.default if option.show_default else ""
    return "" if shown in (None, "", ()) or callable(shown) else f" Default: `{shown}`."


def reference() -> str:
    """All commands with their arguments and options."""
    lines = [_HEAD]
    for path, command in _commands(main, "smshub"):
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        words = " ".join(a.make_metavar(click.Context(command)) for a in arguments)
        ending = " COMMAND" if isinstance(command, click.Group) else ""
        lines.append(f"## `{path}{f' {words}' if words else ''}{ending}`\n\n{(command.help or '').strip()}\n")
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        if options:
            lines.append("| option | what it does |\n| --- | --- |")
            for option in options:
                name = ", ".join((*option.opts, *option.secondary_opts))
                value = "" if option.is_flag else f" {option.make_metavar(click.Context(command))}"
                lines.append(f"| `{_cell(name + value)}` | {_cell(option.help or '')}{_default(option)} |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
