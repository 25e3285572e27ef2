"""``smshub simulate …``: a carrier and a desk to try the hub with (X8)."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import trio

from ops import logs
from ops.simulators import smsc_words
from ops.simulators.desk import simulate_desk
from ops.simulators.smsc_behaviour import Behaviour
from ops.simulators.smsc_errors import BadWords
from ops.simulators.smsc_settings import SmscSettings
from ops.simulators.smsc_terminal import simulate_smsc


@click.group()
def simulate() -> None:
    """A simulated carrier or desk, at the terminal or by script."""
    logs.configure("warning", "console")


@simulate.command("desk")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5347, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--domain", default="sms.desk.example", show_default=True, help="The component's domain.")
@click.option("--secret", envvar="SMSHUB_DESK_SECRET", default="secret", help="The component's secret.")
@click.option("--desk-domain", default="desk.example", show_default=True, help="Domain of the director and the CSRs.")
@click.option(
    "--script",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Headless: lines 'PATTERN => ANSWER'; the first pattern found in a text answers it.",
)
@click.option("--self-designate", is_flag=True, help="The CSR takes each new thread.")
def desk(
    host: str, port: int, domain: str, secret: str, desk_domain: str, script: Path | None, self_designate: bool
) -> None:
    """An XMPP server, a director and a CSR in one: the hub connects to it as to a real desk."""
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(script.read_text().splitlines() if script else (), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, arrow, answer = line.partition("=>")
        if not arrow:
            raise click.ClickException(f"{script}:{number}: write PATTERN => ANSWER")
        pairs.append((pattern.strip(), answer.strip()))

    async def run() -> None:
        await simulate_desk(
            secret=secret,
            domain=domain,
            host=host,
            port=port,
            desk_domain=desk_domain,
            script=pairs,
            self_designate=self_designate,
            terminal=script is None,
        )

    trio.run(run)


@simulate.command("smsc")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=2776, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--system-id", default="", help="Who may bind; everybody when not given.")
@click.option("--password", envvar="SMSHUB_SMSC_PASSWORD", default="", help="The password to bind with.")
@click.option("--set", "words", multiple=True, metavar="WORDS", help="A behaviour, for example 'drop 0.1' or 'dlr on'.")
@click.option("--seed", type=int, default=None, help="Makes misbehaviour the same every time.")
@click.option(
    "--script",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Headless: run the steps of a file; exit status 0 when all were seen.",
)
def smsc(
    host: str, port: int, system_id: str, password: str, words: tuple[str, ...], seed: int | None, script: Path | None
) -> None:
    """An SMSC with handsets: a link of the hub binds to it as to a real carrier."""
    behaviour = Behaviour()
    try:
        for word in words:
            behaviour = smsc_words.change(behaviour, word.split())
    except BadWords as error:
        raise click.ClickException(str(error)) from None
    settings = SmscSettings(
        host=host, port=port, system_id=system_id, password=password, behaviour=behaviour, seed=seed
    )

    async def run() -> bool:
        return await simulate_smsc(
            settings, script=script, write=click.echo, read_line=None if script is not None else _read_line
        )

    sys.exit(0 if trio.run(run) else 1)


async def _read_line() -> str:
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
