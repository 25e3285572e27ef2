"""The settings of the daemon: one table that checks, documentation and command-line options are made from.

Each section of the configuration file is a Struct; the annotation of an attribute is the row of ``SETTINGS`` that
describes it. Run as a program (``python -m ops.settings``) this module writes the reference of the whole file, settings
and provisioning tables alike, to standard output; a test holds docs/reference/configuration.md to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy

from ops.archive.making import read_target
from ops.enum_settings import EnumSettings
from ops.plan import NEW_SESSION, how_it_takes
from ops.redis_settings import RedisSettings
from ops.tracing_settings import TracingSettings
from provisioning.errors import BadValue
from provisioning.fields import Field, fields_of, reference_row, spec
from provisioning.model import KINDS
from provisioning.secret import Secret
from provisioning.syntax import read_host, read_network, read_number

_DEFAULT_URL = "sqlite:///var/smshub.db"


def read_store_url(text: str, field: str) -> str:
    """Check a store's URL. An error shows it without its password."""
    try:
        url = sqlalchemy.make_url(text)
    except sqlalchemy.exc.ArgumentError:
        # Not shown: it may hold a password.
        raise BadValue(field, "***", "write 'sqlite:///PATH' or 'postgresql://USER@HOST/DATABASE'") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        why = "the store is SQLite or PostgreSQL: 'sqlite:///PATH' or 'postgresql://USER@HOST/DATABASE'"
        raise BadValue(field, url.render_as_string(), why)
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise BadValue(field, text, "give the database's file, for example 'sqlite:///var/smshub.db'")
    return text


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is kept."""

    url: Annotated[
        str,
        spec(
            "The database: 'sqlite:///PATH' (relative to this file's directory; four slashes for an absolute path) or "
            "'postgresql://USER@HOST/DATABASE'.",
            read=read_store_url,
        ),
    ] = _DEFAULT_URL
    password: Annotated[Secret | None, spec("The database user's password, when the URL has none.")] = None
    synchronous: Annotated[
        str,
        spec(
            "SQLite only. Anything but 'FULL' may lose acknowledged texts when the power fails.",
            choices=("FULL", "NORMAL", "OFF"),
        ),
    ] = "FULL"

    def __repr__(self) -> str:
        return f"StoreSettings(url={redacted_url(self.url)!r}, synchronous={self.synchronous!r})"


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which of several daemons on one database this is."""

    id: Annotated[int, spec("Part of every id; no two daemons may share it.", minimum=0, maximum=1022)] = 0


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Several daemons on one PostgreSQL database, on one machine or many (design: docs/discussion/many-nodes.md)."""

    enabled: Annotated[
        bool, spec("Share the database with other daemons, each with a node.id of its own. Not with SQLite.")
    ] = False
    lease_s: Annotated[
        float,
        spec(
            "A node that has given no sign for so long is taken for dead, and others go on with its endpoints. A tenth "
            "of it is how often nodes look at each other. The same for all nodes.",
            unit="s",
            minimum=1,
            maximum=600,
        ),
    ] = 10.0


class SmppSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where accounts bind."""

    host: Annotated[
        str,
        spec("Address to listen on; '0.0.0.0' or '::' for all, which a firewall should guard (H15).", read=read_host),
    ] = "127.0.0.1"
    port: Annotated[int, spec("Port without TLS; 0 for none.", minimum=0, maximum=65_535)] = 2775
    tls_port: Annotated[int, spec("Port with TLS; 0 for none.", minimum=0, maximum=65_535)] = 0
    tls_cert_file: Annotated[str, spec("The hub's certificate and chain (PEM).", is_path=True, live=True)] = ""
    tls_key_file: Annotated[str, spec("The key of the certificate (PEM).", is_path=True, live=True)] = ""
    system_id: Annotated[str, spec("What the hub calls itself in bind responses.", minimum=1, maximum=15)] = "smshub"
    max_connections: Annotated[
        int, spec("Connections at a time, bound or not.", unit="connections", minimum=1, maximum=100_000, live=True)
    ] = 1000
    max_unbound: Annotated[
        int,
        spec(
            "Connections at a time that have not bound yet.", unit="connections", minimum=1, maximum=100_000, live=True
        ),
    ] = 100
    address_per_s: Annotated[
        float,
        spec(
            "New connections of one address; four seconds' worth may come at once, more are closed. 0 for any number. "
            "Behind a balancer without the PROXY protocol all have its address.",
            unit="1/s",
            minimum=0,
            maximum=100_000,
            live=True,
        ),
    ] = 100.0
    strangers_per_s: Annotated[
        float,
        spec(
            "New connections of all addresses from which nobody has bound within a day, counted likewise. A flood from "
            "everywhere costs no more than these, and who has bound before does not wait for them. 0 for any number.",
            unit="1/s",
            minimum=0,
            maximum=100_000,
            live=True,
        ),
    ] = 100.0
    session_init_s: Annotated[
        float, spec("Time to bind in, after connecting.", unit="s", minimum=0.1, maximum=600, live=True)
    ] = 10.0
    proxy_protocol: Annotated[
        str,
        spec(
            "'required' behind a balancer that tells by the PROXY protocol, version 1 or 2, whose each connection is: "
            "that address is what everything goes by, on both ports. Other connections are closed.",
            choices=("off", "required"),
        ),
    ] = "off"
    proxy_networks: Annotated[
        tuple[str, ...],
        spec(
            "Where the balancers connect from, which alone are believed: ['10.0.0.5', '10.0.1.0/28'].",
            read=read_network,
            live=True,
        ),
    ] = ()
    reuse_port: Annotated[
        bool,
        spec("Share the ports with other daemons of this user on this machine that say so too (SO_REUSEPORT)."),
    ] = False


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics, health and readiness over HTTP."""

    host: Annotated[str, spec("Address to listen on.", read=read_host)] = "127.0.0.1"
    port: Annotated[int, spec("Port; 0 for none.", minimum=0, maximum=65_535)] = 9464


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The control interface: call centres' own applications provision their numbers over HTTP (H4, H14)."""

    host: Annotated[str, spec("Address to listen on.", read=read_host)] = "127.0.0.1"
    port: Annotated[int, spec("Port; 0 for none.", minimum=0, maximum=65_535)] = 0
    tls_cert_file: Annotated[str, spec("The hub's certificate and chain (PEM).", is_path=True)] = ""
    tls_key_file: Annotated[str, spec("The key of the certificate (PEM).", is_path=True)] = ""
    plain: Annotated[
        bool,
        spec(
            "Allow an address that is not loopback without TLS: keys then travel in clear. Only behind a proxy that "
            "speaks TLS, on a private link."
        ),
    ] = False


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is said on standard error. Never a text's body, a password or a whole token."""

    level: Annotated[
        str, spec("Least severity that is written.", choices=("debug", "info", "warning", "error"), live=True)
    ] = "info"
    format: Annotated[str, spec("One JSON object a line, or words for people.", choices=("json", "console"))] = "json"


class LimitsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and waits of the message path."""

    heads_per_endpoint: Annotated[
        int,
        spec(
            "Texts that memory holds for each endpoint; the rest of its queue stays in the store.",
            unit="texts",
            minimum=10,
            maximum=1_000_000,
            live=True,
        ),
    ] = 10_000
    store_backlog: Annotated[
        int,
        spec(
            "Rows that may wait for the store. Beyond, sessions take nothing more in; what then arrives is throttled.",
            unit="rows",
            minimum=100,
            maximum=1_000_000,
        ),
    ] = 20_000
    reassembly_wait_s: Annotated[
        float,
        spec(
            "How long the missing parts of a text are waited for; then what came is delivered, marked.",
            unit="s",
            minimum=1,
            maximum=86_400,
            live=True,
        ),
    ] = 300.0
    retry_first_s: Annotated[
        float,
        spec(
            "Wait before the first retry; each further one doubles it.", unit="s", minimum=0.01, maximum=3600, live=True
        ),
    ] = 5.0
    retry_longest_s: Annotated[
        float, spec("Longest wait between retries.", unit="s", minimum=0.01, maximum=86_400, live=True)
    ] = 900.0
    drain_s: Annotated[
        float,
        spec(
            "How long stopping waits for answers to what is on the wire.", unit="s", minimum=0, maximum=600, live=True
        ),
    ] = 10.0
    reload_s: Annotated[
        float, spec("How often the catalog's revision is looked at.", unit="s", minimum=0.1, maximum=600, live=True)
    ] = 1.0


class FiltersSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What texts are held against on their way through, whoever sends them."""

    url_list_file: Annotated[
        str,
        spec(
            "Hosts and domains, one a line, '#' before a remark: a text that links to one of them, or to what is "
            "below it, is refused. Read again when it changes.",
            is_path=True,
            live=True,
        ),
    ] = ""
    loop_texts: Annotated[
        int,
        spec(
            "Repetitions of one text between the same two parties, both directions counted, within loop_s after which "
            "it is cut as a loop; 0 for never.",
            unit="texts",
            minimum=0,
            maximum=100_000,
            live=True,
        ),
    ] = 20
    loop_s: Annotated[
        float, spec("The time over which loop_texts counts.", unit="s", minimum=1, maximum=86_400, live=True)
    ] = 60.0


class ChargingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Charging records: a file of them now and then, for whoever bills (X6)."""

    directory: Annotated[
        str, spec("Where files of charging records go; it must be there. None are made when not given.", is_path=True)
    ] = ""
    format: Annotated[
        str,
        spec(
            "3GPP TS 32.298 in BER ('.cdr'), comma-separated values ('.csv'), or both of each file.",
            choices=("ber", "csv", "ber+csv"),
        ),
    ] = "ber+csv"
    node_address: Annotated[str, spec("The hub's own address in each record, E.164.", read=read_number)] = ""
    rotate_s: Annotated[
        float, spec("A file is closed when its oldest record is so old.", unit="s", minimum=0.1, maximum=86_400)
    ] = 900.0
    rotate_records: Annotated[
        int,
        spec(
            "Or when it has so many records; it also gets the rest of their batch.",
            unit="records",
            minimum=1,
            maximum=1_000_000,
        ),
    ] = 10_000


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where rules of retention put what they archive, and how long what no rule names is kept."""

    target: Annotated[
        str,
        spec(
            "'directory:PATH' (relative to this file's directory) or 's3:BUCKET/PREFIX'; none when empty: what a rule "
            "would archive stays in the store then.",
            read=read_target,
        ),
    ] = ""
    format: Annotated[
        str,
        spec("Of objects that are written from now on; 'parquet' needs smshub[parquet].", choices=("jsonl", "parquet")),
    ] = "jsonl"
    s3_endpoint_url: Annotated[str, spec("The store's address, when it is not Amazon's: 'https://s3.example.net'.")] = (
        ""
    )
    s3_region: Annotated[str, spec("The bucket's region.")] = ""
    s3_access_key: Annotated[Secret | None, spec("The access key's id; boto3 looks for its own when not given.")] = None
    s3_secret_key: Annotated[Secret | None, spec("The secret of the access key.")] = None
    keep_feed_days: Annotated[
        float,
        spec("How long events that every follower has seen stay in the feed.", unit="days", minimum=0, maximum=3650),
    ] = 7.0
    keep_account_days: Annotated[
        int, spec("How long it is known what an account sent on a day.", unit="days", minimum=2, maximum=36_500)
    ] = 400


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "store": StoreSettings,
    "node": NodeSettings,
    "cluster": ClusterSettings,
    "smpp": SmppSettings,
    "metrics": MetricsSettings,
    "api": ApiSettings,
    "log": LogSettings,
    "limits": LimitsSettings,
    "filters": FiltersSettings,
    "enum": EnumSettings,
    "archive": ArchiveSettings,
    "charging": ChargingSettings,
    "tracing": TracingSettings,
    "redis": RedisSettings,
}

SETTINGS: tuple[Field, ...] = tuple(
    msgspec.structs.replace(field, name=f"{section}.{field.name}")
    for section, struct in SECTIONS.items()
    for field in fields_of(struct)
)

TABLES: dict[str, str] = {kind.replace("-", "_"): kind for kind in KINDS}
"""The provisioning tables of the file (``[[call_centre]]``) and the kind that each holds."""


def redacted_url(url: str) -> str:
    """A store's URL without its password."""
    return sqlalchemy.make_url(url).render_as_string(hide_password=True)


def anchored_url(url: str, directory: Path) -> str:
    """A SQLite URL whose relative path is taken from a directory, so that daemon and commands mean one file."""
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database.startswith("file:"):
        return url
    return parsed.set(database=str(directory / parsed.database)).render_as_string(hide_password=False)


_HEAD = """# Configuration

<!-- Made by `python -m ops.settings`; do not edit. -->

One TOML file, given by `--config FILE` or the environment variable `SMSHUB_CONFIG`. It is checked as a whole: every
error is shown at once, with its line. `smshub check` does only that. An example with everything in its place:
[smshub.example.toml](smshub.example.toml).

A secret is given in exactly one form: itself (`password`), a file that holds it (`password_file`), or an environment
variable (`password_env`). No command, log or error shows one. Relative file names are taken from the directory of the
configuration file. Any setting of the daemon can also be given on the command line: `--set smpp.port=2776`.

A running daemon reads the file again on `smshub reload` or SIGHUP ([reload](../discussion/reload.md)). The last column
says when a changed setting holds: *at once*; with the *next session* or bind; with a *new session* that is made for it,
of this endpoint alone; or *at restart* of the daemon.
"""

_MIDDLE = """
# Provisioning tables

The same file may hold what is provisioned. `smshub run` and `smshub provision apply FILE` bring the store to it: what
is new is added, what differs is changed, what the file does not name stays. The same settings are options of
`smshub provision KIND add` and `set` (`call_centre` is `--call-centre`).
"""


def _table(
    title: str, text: str, fields: tuple[Field, ...], holds: Callable[[Field], str] | None = None
) -> Iterator[str]:
    head = ["setting", "type", "default", "what it is", *(["changed, it holds"] if holds is not None else [])]
    yield f"\n## `{title}`\n\n{text}\n"
    yield f"| {' | '.join(head)} |\n|{' --- |' * len(head)}"
    for field in fields:
        cells = [*reference_row(field), *([holds(field)] if holds is not None else [])]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _holds(field: Field) -> str:
    return "at once" if field.spec.live else "at restart"


def reference() -> str:
    """The reference of the configuration file, in Markdown."""
    lines = [_HEAD.rstrip("\n")]
    for section, struct in SECTIONS.items():
        lines += _table(f"[{section}]", (struct.__doc__ or "").strip(), fields_of(struct), _holds)
    lines.append(_MIDDLE.rstrip("\n"))
    for table, kind in TABLES.items():
        struct = KINDS[kind]
        text = (struct.__doc__ or "").strip().partition("\n\n")[0]
        holds = (lambda field, kind=kind: how_it_takes(kind, field.name)) if kind in NEW_SESSION else None
        lines += _table(f"[[{table}]]", text, fields_of(struct), holds)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
