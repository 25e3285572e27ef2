"""``smshub simulate …``: a carrier and a desk to try the hub with (X8)."""

from __future__ import annotations

from pathlib import Path

import click
import trio

from ops.simulators.desk import simulate_desk


@click.group()
def simulate() -> None:
    """A simulated carrier or desk, at the terminal or by script."""


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
