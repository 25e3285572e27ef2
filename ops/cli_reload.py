"""``smshub reload``: a running daemon reads its configuration file again."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

import click

from ops import reload_requests
from ops.cli_provision import config_options, in_store, operator_name, refusals_told, say_json
from ops.config import Config
from ops.reload import Answer, request_of
from ops.reload_requests import ReloadRequest

LOOK_S = 0.25  # between two looks for the answer
NOBODY = 1  # exit status when no daemon has answered, or when the one that began could not go on


@click.command("reload")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option(
    "--wait-s",
    type=click.FloatRange(0, 3600),
    default=60.0,
    show_default=True,
    help="How long to wait for the daemon's answer; 0 to ask only.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_options
def reload_command(config: Config, dry_run: bool, wait_s: float, as_json: bool) -> None:
    """Let the running daemon read its configuration file again.

    The daemon reads the file that it was started with; --config only says which store to ask it by. No bind is dropped
    that did not change. A file with an error changes nothing.
    """
    now_us = time.time_ns() // 1000
    asked = ReloadRequest(now_us, now_us, operator_name(), dry_run)
    with refusals_told():
        number = in_store(config, lambda tx: reload_requests.ask(tx, asked))
    if not wait_s:
        click.echo("asked for; the daemon does it within a second")
        return
    give_up_at = time.monotonic() + wait_s
    state, answer = "asked", None
    while answer is None and state in reload_requests.OPEN and time.monotonic() < give_up_at:
        time.sleep(LOOK_S)
        with refusals_told():
            state, answer = in_store(config, lambda tx: request_of(tx, number), reads=True)
    if answer is None:
        _say_nobody(state, wait_s)
    if as_json:
        say_json(answer)
        sys.exit(_STATUS[answer.state])
    if answer.errors:
        came = "the file is in the store, and the daemon goes on with it" if answer.is_stored else "nothing has changed"
        for line in (*answer.errors, f"{answer.state}: {came}"):
            click.echo(f"smshub: {line}", err=True)
        sys.exit(_STATUS[answer.state])
    for line in told(answer):
        click.echo(line)


_STATUS = {"done": 0, "planned": 0, "refused": 2, "failed": NOBODY}


def _say_nobody(state: str, wait_s: float) -> NoReturn:
    """End the command without an answer."""
    why = {
        "asked": f"no daemon has taken it up within {wait_s:g} s: is one running on this store?",
        "running": f"the daemon is not done after {wait_s:g} s; it goes on, and its log will say what came of it",
        "void": "the daemon was started again meanwhile: it has read its file",
    }
    click.echo(f"smshub: {why.get(state, 'the request is gone: too many others were answered since')}", err=True)
    sys.exit(0 if state == "void" else NOBODY)


def told(answer: Answer) -> list[str]:
    """An answer in words for people, a line for each thing."""
    will = "would be " if answer.state == "planned" else ""
    lines = [f"{answer.file or 'no file'}: {'checked, nothing has changed' if will else 'in force'}"]
    if answer.added or answer.changed:
        lines.append(f"entries: {answer.added} added, {answer.changed} changed, {answer.unchanged} as they were")
    for change in answer.endpoints:
        fields = f": {', '.join(change.fields)}" if change.fields else ""
        lines.append(f"{change.endpoint} {will}{change.how.value}{fields}")
    lines += [f"setting {name} {'would hold' if will else 'holds'} at once" for name in answer.settings]
    lines += [f"setting {name} holds when the daemon starts again" for name in answer.needs_restart]
    lines += [
        f"{entry} is not in the file any more and stays provisioned; `smshub provision … remove` removes it"
        for entry in answer.dropped
    ]
    lines += [f"{name}: {number} messages wait in the store" for name, number in answer.waiting.items() if number]
    lines += [f"{name} is not as provisioned: {why}" for name, why in answer.troubles.items()]
    if len(lines) == 1:
        lines.append("nothing differs")
    return lines
