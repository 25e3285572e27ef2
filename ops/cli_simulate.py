"""``smshub simulate …``: a carrier, a desk and a registry to try the hub with (X8)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import trio

from ops import logs
from ops.simulators import registry_behaviour, smsc_words
from ops.simulators.desk import simulate_desk
from ops.simulators.registry import simulate_registry
from ops.simulators.registry_settings import RegistrySettings
from ops.simulators.registry_users import User
from ops.simulators.smsc_behaviour import Behaviour
from ops.simulators.smsc_errors import BadWords, SimulatorError
from ops.simulators.smsc_settings import SmscSettings
from ops.simulators.smsc_terminal import simulate_smsc


@click.group()
def simulate() -> None:
    """A simulated carrier, desk or registry, at the terminal or by script."""
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


_file = click.Path(dir_okay=False, exists=True, path_type=Path)


@simulate.command("registry")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8443, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--user", "users", multiple=True, metavar="NAME[:OWNER]", help="Who may publish; may be given again.")
@click.option("--password-env", "password_variables", multiple=True, help="Variable with a user's SOAP password.")
@click.option("--token-env", "token_variables", multiple=True, help="Variable with a user's REST bearer token.")
@click.option("--tls-cert", type=_file, help="Certificate with its chain (PEM); in clear without it.")
@click.option("--tls-key", type=_file, help="Its key (PEM).")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="File that keeps the numbers.")
@click.option("--decide-after", type=click.FloatRange(0, 86_400), default=0.0, help="Seconds before it decides.")
@click.option("--set", "words", multiple=True, metavar="WORDS", help="A behaviour, for example 'fault status 503 2'.")
@click.option("--script", type=_file, help="Run the steps of a file; exit status 0 when all were done.")
def registry(
    host: str,
    port: int,
    users: tuple[str, ...],
    password_variables: tuple[str, ...],
    token_variables: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    state: Path | None,
    decide_after: float,
    words: tuple[str, ...],
    script: Path | None,
) -> None:
    """A registry of text-enabled numbers, by REST and SOAP: the hub publishes into it as into a real one."""
    behaviour = registry_behaviour.Behaviour(decide_after_s=decide_after)
    try:
        for word in words:
            behaviour = registry_behaviour.change(behaviour, word.split())
    except BadWords as error:
        raise click.ClickException(str(error)) from None
    settings = RegistrySettings(
        host=host,
        port=port,
        users=_users(users, password_variables, token_variables),
        behaviour=behaviour,
        state=state,
        tls_cert_file=str(tls_cert or ""),
        tls_key_file=str(tls_key or ""),
    )

    async def run() -> bool:
        return await simulate_registry(settings, script=script, write=click.echo)

    try:
        sys.exit(0 if trio.run(run) else 1)
    except (SimulatorError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _users(names: tuple[str, ...], passwords: tuple[str, ...], tokens: tuple[str, ...]) -> tuple[User, ...]:
    """The users of a registry: the first name with the first password and the first token, and so on."""
    if not names:
        raise click.ClickException("nobody may publish: give --user NAME, and --password-env, --token-env or both")
    users = []
    for at, word in enumerate(names):
        name, _, owner = word.partition(":")
        password, token = (_variable(given[at]) if at < len(given) else "" for given in (passwords, tokens))
        if not password and not token:
            raise click.ClickException(f"--user {name}: needs a --password-env, a --token-env or both")
        users.append(User(name=name, owner=owner, password=password, token=token))
    return tuple(users)


def _variable(name: str) -> str:
    if not (value := os.environ.get(name, "")):
        raise click.ClickException(f"the variable {name} is not set, or is empty")
    return value


async def _read_line() -> str:
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
