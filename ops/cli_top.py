"""``smshub top``: a running daemon, watched in a terminal."""

from __future__ import annotations

import sys
import time
from urllib.parse import urlsplit

import click
import msgspec

from ops.cli_provision import CommandRefused, config_options, say_json
from ops.config import Config

NOBODY = 1  # exit status when no daemon answers
ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on: looked at


@click.command("top")
@click.option("--url", default="", help="Of the daemon's metrics; else what the configuration's [metrics] says.")
@click.option(
    "--interval", "interval_s", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds."
)
@click.option("--once", is_flag=True, help="Look twice, print a table, and end: for scripts, and without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="With --once: as JSON.")
@config_options
def top(config: Config, url: str, interval_s: float, once: bool, as_json: bool) -> None:
    """Watch a running daemon: endpoints, rates, queues, the store, what is wrong.

    It reads the daemon's metrics as Prometheus does and goes on trying while nobody answers. Keys: q leave, / filter,
    s sort, p pause, d dead letters, ? help.
    """
    if as_json and not once:
        raise CommandRefused("--json goes with --once")
    where = url
    if not url:
        url, where = _url_of(config), f"node {config.node.id} "
        where += url
    elif urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise CommandRefused(f"--url {url}: write for example http://127.0.0.1:9464/metrics")
    elif urlsplit(url).path in ("", "/"):
        url = where = url.rstrip("/") + "/metrics"
    if once:
        _print_once(url, where, interval_s, as_json)
        return
    from ops.top.reading import Reader

    try:
        from ops.top.app import TopApp  # here: no other command waits for Textual to load
    except ImportError as error:
        raise CommandRefused(
            f"the live view needs {error.name}: install smshub with its extra, smshub[top]; --once needs nothing"
        ) from None

    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual draws on standard error
        raise CommandRefused("standard input or error is no terminal: --once prints a table")
    reader = Reader(url)
    try:
        TopApp(reader, where, interval_s).run()
    finally:
        reader.close()


def _url_of(config: Config) -> str:
    """Where the daemon of a configuration tells. Raises: CommandRefused."""
    settings = config.metrics
    if not settings.port:
        raise CommandRefused("the configuration has no [metrics] port: set one, or name the daemon's with --url")
    host = ANYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}/metrics" if ":" in host else f"http://{host}:{settings.port}/metrics"


def _print_once(url: str, where: str, interval_s: float, as_json: bool) -> None:
    from ops.top.reading import NobodyThere, Reader
    from ops.top.view import Following
    from ops.top.words import lines_of

    reader, following = Reader(url), Following()
    try:
        following.look(reader.read())
        time.sleep(interval_s)
        view = following.look(reader.read())
    except NobodyThere as error:
        click.echo(f"smshub: {error}", err=True)
        sys.exit(NOBODY)
    finally:
        reader.close()
    if as_json:
        say_json(msgspec.structs.asdict(view))
        return
    click.echo("\n".join(lines_of(view, view.rows, where)))
