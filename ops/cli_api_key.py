"""``smshub api-key …``: keys of the control interface. A key is shown once, when it is made; its digest is kept."""

from __future__ import annotations

import secrets
import time

import click
import msgspec

from ops.api import digest_of, make_key
from ops.api.keys import KEY_OCTETS
from ops.cli_provision import config_options, in_store, operator_name, refusals_told, say_json, say_table
from ops.config import Config
from provisioning import ApiKey, catalog
from provisioning.api_keys import SCOPES
from provisioning.errors import Refused
from provisioning.model import build
from provisioning.rows import shown
from store import Transaction


def _now_us() -> int:
    return time.time_ns() // 1000


@click.group("api-key")
def api_key_group() -> None:
    """Keys by which call centres' own applications provision over HTTP."""


@api_key_group.command("create")
@click.argument("name")
@click.option("--call-centre", required=True, help="The call centre that it acts for.")
@click.option("--scopes", default=None, metavar="A,B,…", help=f"What it may do: {', '.join(SCOPES)}. [default: all]")
@click.option("--per-minute", default=None, type=int, metavar="N", help="Requests that it may make a minute.")
@click.option("--valid-until", default="", metavar="DAY", help="Last day (UTC), '2027-12-31'.")
@config_options
def create(
    config: Config, name: str, call_centre: str, scopes: str | None, per_minute: int | None, valid_until: str
) -> None:
    """Make a key and write it to standard output, once."""
    key = make_key(secrets.token_bytes(KEY_OCTETS))
    given: dict[str, object] = {"name": name, "call_centre": call_centre, "digest": digest_of(key)}
    if scopes is not None:
        given["scopes"] = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    if per_minute is not None:
        given["per_minute"] = per_minute
    if valid_until:
        given["valid_until"] = valid_until
    with refusals_told():
        entry, problems = build(ApiKey, given)
        if entry is None:
            raise Refused(list(enumerate(problems)))
        in_store(config, lambda tx: catalog.add(tx, entry, who=operator_name(), now_us=_now_us()))
    click.echo(f"key {name} of call centre {call_centre}: keep it, it is not shown again", err=True)
    click.echo(key)


@api_key_group.command("list")
@click.option("--call-centre", default="", help="Only those of this call centre.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_options
def list_keys(config: Config, call_centre: str, as_json: bool) -> None:
    """List keys; none is shown itself."""
    with refusals_told():
        keys = in_store(config, lambda tx: catalog.entries(tx, ApiKey, call_centre), reads=True)
    if as_json:
        say_json([{name: value for name, value in shown(key).items() if name != "digest"} for key in keys])
    elif keys:
        rows = [
            [key.name, key.call_centre, ",".join(key.scopes), str(key.per_minute), key.valid_until or "-", key.state]
            for key in keys
        ]
        say_table([["name", "call_centre", "scopes", "per_minute", "valid_until", "state"], *rows])


def _set_state(config: Config, name: str, state: str) -> None:
    def work(tx: Transaction) -> bool:
        catalog.hold(tx)
        changed = msgspec.structs.replace(catalog.get(tx, ApiKey, name), state=state)
        return catalog.update(tx, changed, who=operator_name(), now_us=_now_us())

    with refusals_told():
        differs = in_store(config, work)
    click.echo(f"key {name} is {state}" if differs else f"key {name} is {state} already")


@api_key_group.command("suspend")
@click.argument("name")
@config_options
def suspend(config: Config, name: str) -> None:
    """Let a key open nothing, until it is resumed. A running daemon knows within a second."""
    _set_state(config, name, "suspended")


@api_key_group.command("resume")
@click.argument("name")
@config_options
def resume(config: Config, name: str) -> None:
    """Let a suspended key open what it did."""
    _set_state(config, name, "active")


@api_key_group.command("revoke")
@click.argument("name")
@config_options
def revoke(config: Config, name: str) -> None:
    """Remove a key for good. What it did stays in the audit."""
    with refusals_told():
        in_store(config, lambda tx: catalog.remove(tx, ApiKey, name, who=operator_name(), now_us=_now_us()))
    click.echo(f"key {name} is revoked")
