"""``smshub provision …`` and ``smshub account …``: what is provisioned, changed from the command line.

The commands of each kind are made from its fields, as the reference is: ``provision link add NAME --host …``. They work
on the store directly, beside a running daemon, which sees the revision rise and loads the new snapshot.

Every refusal is one line for each error on standard error and exit status 2, never a traceback.
"""

from __future__ import annotations

import functools
import getpass
import os
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import trio

from ops import schema
from ops.config import Config, ConfigErrors, load_config, refused
from ops.number_lists import BadList, cut, read_list
from provisioning import catalog
from provisioning.errors import BadValue, ClaimedByAnother, ProvisioningError, Refused
from provisioning.fields import SECRET_FORMS, Field, Form, check_secret_length, fields_of, plain
from provisioning.letters import check_filed
from provisioning.model import KINDS, Account, Entry, Loa, Number, Route, build, key_of
from provisioning.passwords import hash_password, hash_passwords
from provisioning.rows import shown
from provisioning.secret import Secret, SecretKind
from store import Store, StoreError, Transaction, open_store

T = TypeVar("T")
Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

CLI_NODE = 1023  # of ids: no daemon may have it (the setting node.id ends at 1022)
PASSWORD_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - without look-alikes
_MANY = 2000  # entries from which on progress is shown


class CommandRefused(click.ClickException):
    """Ends a command with its reasons on standard error and exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write each reason on a line of its own."""
        for line in self.message.splitlines():
            click.echo(f"smshub: {line}", err=True)


@contextmanager
def refusals_told() -> Iterator[None]:
    """Turn the errors that an operator can mend into ``CommandRefused``."""
    try:
        yield
    except Refused as error:
        raise CommandRefused("\n".join(refusal_told(part) for _, part in error.refusals)) from None
    except (ProvisioningError, ConfigErrors, StoreError, OSError) as error:
        raise CommandRefused(refusal_told(error)) from None


def refusal_told(error: BaseException) -> str:
    """A refusal in words: the operator may know whose a number is; what travels to a call centre may not (H13)."""
    if isinstance(error, ClaimedByAnother):
        return f"{error} [call centre {error.owner!r}]"
    return str(error)


def config_options(command: Command) -> Command:
    """Give a command ``--config`` and ``--set``; it gets ``config``, loaded and checked."""

    @click.option(
        "--config",
        "config_path",
        envvar="SMSHUB_CONFIG",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The configuration file; else the environment variable SMSHUB_CONFIG, else the defaults.",
    )
    @click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A setting that beats the file's.")
    @functools.wraps(command)
    def with_config(config_path: Path | None, overrides: tuple[str, ...], **arguments: Any) -> Any:
        with refusals_told():
            config = load_config(config_path, overrides_of(overrides))
        return command(config=config, **arguments)

    return with_config


def overrides_of(words: tuple[str, ...]) -> dict[str, str]:
    """Read what ``--set`` was given.

    Raises: CommandRefused.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandRefused(f"--set {word}: write NAME=VALUE, for example --set log.level=debug")
        found[name] = value
    return found


def in_store(config: Config, work: Callable[[Transaction], T], *, reads: bool = False) -> T:
    """Run work in one transaction of the configured store."""

    async def run() -> T:
        url = config.store_url(os.environ)
        await trio.to_thread.run_sync(schema.prepare, url)
        async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store:
            return await (store.read(work) if reads else store.transact(work))

    return trio.run(run)


def operator_name() -> str:
    """Who sits at this terminal, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def clock_us() -> int:
    """Now, for what is written."""
    return time.time_ns() // 1000


def say_json(value: Any) -> None:
    """Write a value as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def say_table(rows: list[list[str]]) -> None:
    """Write rows in columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value) if isinstance(value, float) else str(value)


# --- Commands of one kind, made from its fields ----------------------------------------------------------------------

_COLUMNS: dict[str, tuple[str, ...]] = {
    "link": ("name", "host", "port", "system_id", "bind_mode", "tls", "window"),
    "group": ("name", "links", "standby", "resend_refused"),
    "account": ("system_id", "title", "bind_modes", "max_binds", "window", "throughput_per_s"),
    "call-centre": ("name", "title", "idle_s", "origin", "origin_value", "default_number"),
    "desk": ("name", "call_centre", "domain", "host", "port", "director"),
    "number": ("number", "call_centre", "alias_of", "element", "link", "state"),
    "block": ("first", "last", "call_centre", "alias", "element", "link", "state"),
    "route": ("prefix", "endpoint", "element", "cost", "weight", "hours", "time_zone"),
    "loa": ("name", "call_centre", "owner", "valid_from", "valid_until", "signed_on"),
    "white-list": ("name", "call_centre", "numbers", "texts_per_day", "valid_until"),
    "directory": ("name", "adapter", "url", "server", "zone", "drop_directory"),
    "retention": ("name", "call_centre", "order", "period_days", "action"),
    "legal-hold": ("name", "call_centre", "customers", "received_from", "received_until", "reason"),
    "api-key": ("name", "call_centre", "scopes", "valid_until", "state"),
}


def _option_name(key: str) -> str:
    return "--" + key.replace("_", "-")


def options_of(kind: type[Entry], *, for_set: bool, left_out: Collection[str] = ()) -> list[Decorator]:
    """One option for each setting that is no key; a secret has one for each form but itself."""
    made: list[Decorator] = []
    for field in fields_of(kind):
        if field.spec.key or field.name in left_out:
            continue
        if field.form is Form.SECRET:
            for ending, form in SECRET_FORMS.items():
                if field.name + ending in field.keys:
                    made.append(_secret_option(field, ending, form))
            continue
        notes = [field.spec.help]
        if field.spec.unit:
            notes.append(f"In {field.spec.unit}.")
        if field.form is Form.TEXTS:
            notes.append("Separated by commas.")
        if not for_set and not field.required and field.default not in ("", ()):
            notes.append(f"[default: {cell(field.default)}]")
        if not for_set and field.required:
            notes.append("[required]")
        made.append(click.option(_option_name(field.name), field.name, metavar=_metavar(field), help=" ".join(notes)))
    return made


def _metavar(field: Field) -> str:
    if field.spec.choices and field.form is Form.TEXT:
        return "|".join(field.spec.choices)
    return {Form.INTEGER: "N", Form.DECIMAL: "N", Form.BOOLEAN: "yes|no", Form.TEXTS: "A,B,…"}.get(field.form, "TEXT")


def _secret_option(field: Field, ending: str, form: SecretKind) -> Decorator:
    name = field.name + ending
    if form is SecretKind.LITERAL:
        # Not as an argument: every user of the machine could read it in the list of processes.
        text = "Ask for it (or read a line of standard input)."
        return click.option(_option_name(name), name, is_flag=True, help=text)
    texts = {
        SecretKind.FILE: "A file that holds it.",
        SecretKind.ENV: "An environment variable that holds it.",
        SecretKind.HASH: "Its argon2 hash.",
    }
    return click.option(_option_name(name), name, metavar="TEXT", help=texts[form])


def settings_given(kind: type[Entry], options: Mapping[str, Any]) -> tuple[dict[str, Any], list[BadValue]]:
    """Options that were used, as a configuration file would have them; and those that make no sense."""
    given: dict[str, Any] = {}
    problems: list[BadValue] = []
    for field in fields_of(kind):
        if field.form is Form.SECRET:
            for key in field.keys:
                words = options.get(key)
                if words is True:
                    given[key] = ask_password(f"{field.name} of the {kind.KIND}")
                elif words == "" and not field.required:
                    given[field.name] = None  # it need not be there
                elif words:
                    given[key] = str(Path(words).resolve()) if key.endswith("_file") else words
        elif options.get(field.name) is not None:
            words = options[field.name]
            try:
                given[field.name] = str(Path(words).resolve()) if field.spec.is_path and words else field.parse(words)
            except BadValue as problem:
                problems.append(problem)
    return given, problems


def ask_password(what: str) -> str:
    """Ask twice at a terminal, or read one line of standard input."""
    stream = sys.stdin
    if stream.isatty():
        prompted: str = click.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
        return prompted
    words: str = stream.readline().rstrip("\r\n")
    if not words:
        raise CommandRefused(f"{what}: standard input has none")
    return words


def _built(kind: type[Entry], options: Mapping[str, Any]) -> Entry:
    given, problems = settings_given(kind, options)
    entry, others = build(kind, given)  # type: ignore[type-var]
    told = {problem.field for problem in problems}
    problems += [problem for problem in others if problem.field not in told]
    if entry is None or problems:
        raise Refused(list(enumerate(problems)))
    return _hashed(entry)


def _hashed(entry: Entry) -> Entry:
    done, refusals = hash_passwords([entry], {}, os.environ)
    if refusals:
        raise refusals[0][1]
    return done[0]


def key_arguments(kind: type[Entry]) -> list[Decorator]:
    """The arguments that name an entry."""
    return [click.argument(field.name) for field in fields_of(kind) if field.spec.key]


def _key_of(kind: type[Entry], arguments: Mapping[str, Any]) -> str:
    """The key that arguments name, in canonical form.

    Raises: BadValue.
    """
    keys = [field.check(arguments[field.name]) for field in fields_of(kind) if field.spec.key]
    return key_of(kind, keys)


def decorate(command: Command, decorators: list[Decorator]) -> Command:
    """Put decorators around a command, the first outermost: it comes first in the help."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def _add_command(kind: type[Entry]) -> click.Command:
    def add(config: Config, **options: Any) -> None:
        with refusals_told():
            entry = _built(kind, options)
            in_store(config, lambda tx: catalog.add(tx, entry, who=operator_name(), now_us=clock_us()))
            click.echo(f"added {kind.KIND} {entry.key}")

    decorated = decorate(add, [*key_arguments(kind), *options_of(kind, for_set=False), config_options])
    return click.command("add", help=f"Add a {kind.KIND}.")(decorated)


def _set_command(kind: type[Entry]) -> click.Command:
    def change(config: Config, **options: Any) -> None:
        with refusals_told():
            key = _key_of(kind, options)
            given, faults = settings_given(kind, options)
            if faults:
                raise Refused(list(enumerate(faults)))

            def work(tx: Transaction) -> bool:
                catalog.hold(tx)
                entry = catalog.get(tx, kind, key)  # type: ignore[type-var]
                told = {name: getattr(entry, name) for name in entry.__struct_fields__}
                for field in fields_of(kind):
                    if field.form is Form.SECRET and any(name in given for name in field.keys):
                        del told[field.name]
                changed, problems = build(kind, {**told, **given})  # type: ignore[type-var]
                if changed is None:
                    raise Refused(list(enumerate(problems)))
                if isinstance(changed, Loa) and changed.digest != getattr(entry, "digest", ""):
                    check_filed(tx, changed)
                return catalog.update(tx, _hashed(changed), who=operator_name(), now_us=clock_us())

            differs = in_store(config, work)
            click.echo(f"changed {kind.KIND} {key}" if differs else f"{kind.KIND} {key} is so already")

    decorated = decorate(change, [*key_arguments(kind), *options_of(kind, for_set=True), config_options])
    return click.command("set", help=f"Change settings of a {kind.KIND}; those not named stay.")(decorated)


def _remove_command(kind: type[Entry]) -> click.Command:
    def remove(config: Config, **arguments: Any) -> None:
        with refusals_told():
            key = _key_of(kind, arguments)
            in_store(config, lambda tx: catalog.remove(tx, kind, key, who=operator_name(), now_us=clock_us()))  # type: ignore[type-var]
            click.echo(f"removed {kind.KIND} {key}")

    decorated = decorate(remove, [*key_arguments(kind), config_options])
    return click.command("remove", help=f"Remove a {kind.KIND} that nothing names any more.")(decorated)


def _show_command(kind: type[Entry]) -> click.Command:
    def show(config: Config, as_json: bool, **arguments: Any) -> None:
        with refusals_told():
            key = _key_of(kind, arguments)
            told = shown(in_store(config, lambda tx: catalog.get(tx, kind, key), reads=True))  # type: ignore[type-var]
            if as_json:
                say_json(told)
            else:
                say_table([[name, cell(value)] for name, value in told.items()])

    decorated = decorate(show, [*key_arguments(kind), json_option, config_options])
    return click.command("show", help=f"Show all settings of a {kind.KIND}; secrets only by reference.")(decorated)


def _list_command(kind: type[Entry]) -> click.Command:
    has_owner = "call_centre" in kind.__struct_fields__

    def list_entries(config: Config, as_json: bool, call_centre: str = "") -> None:
        with refusals_told():
            found: list[Entry] = in_store(config, lambda tx: catalog.entries(tx, kind, call_centre), reads=True)  # type: ignore[type-var]
            if as_json:
                say_json([shown(entry) for entry in found])
            elif found:
                columns = _COLUMNS[kind.KIND]
                say_table([list(columns), *([cell(getattr(entry, name)) for name in columns] for entry in found)])

    decorators: list[Decorator] = [json_option, config_options]
    if has_owner:
        decorators.insert(0, click.option("--call-centre", default="", help="Only those of this call centre."))
    return click.command("list", help=f"List every {kind.KIND}.")(decorate(list_entries, decorators))


json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def _group_of(kind: type[Entry]) -> click.Group:
    group = click.Group(kind.KIND, help=(kind.__doc__ or "").strip().partition("\n")[0])
    makers = [_add_command, _set_command, _remove_command, _show_command, _list_command]
    for maker in makers:
        group.add_command(maker(kind))
    if kind is Number:
        group.add_command(_import_numbers)
    return group


# --- Many numbers at once --------------------------------------------------------------------------------------------


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """Tell on standard error how far long work is: a bar at a terminal, elsewhere a line for each tenth."""
    if total < _MANY:
        yield lambda _done: None
        return
    if not sys.stderr.isatty():
        tell = _tenths(total, label)
        yield tell
        tell(total)
        return
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        # The work may be run again from the start; the bar does not go back.
        yield lambda done: bar.update(max(0, done - bar.pos))


def _tenths(total: int, label: str) -> Callable[[int], None]:
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        tenths = min(10, done * 10 // total)
        if tenths > told:  # the work may be run again from the start; it is not told again
            told = tenths
            click.echo(f"{label}: {tenths * 10} % of {total}", err=True)

    return tell


_PER_NUMBER = ("alias_of", "element", "link", "state")  # columns that a list of numbers may have


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--call-centre", "call_centre", required=True, help="The call centre that they belong to.")
@click.option("--link", default="", help="Network endpoint that replies leave by, where a line names none.")
@click.option("--element", default="", help="Identification element, where a line names none.")
@config_options
def _import_numbers(config: Config, file: Any, call_centre: str, link: str, element: str) -> None:
    """Add the numbers of FILE ('-': standard input). All of them, or none.

    One number in each line, or CSV whose first line names the columns: number, and any of alias_of, element, link and
    state.
    """
    try:
        rows = read_list(file.read(), file.name, _PER_NUMBER)
    except BadList as error:
        raise CommandRefused(str(error)) from None
    wanted: list[Entry] = []
    where: list[int] = []
    faults: list[str] = []
    with refusals_told(), progress(len(rows), "checking") as tell:
        for done, row in enumerate(rows, 1):
            if done % 1000 == 0:
                tell(done)
            given = {"call_centre": call_centre, "link": link, "element": element, **row.settings}
            entry, problems = build(Number, given)
            faults += [f"{file.name}:{row.line}: {problem}" for problem in problems]
            if entry is not None:
                wanted.append(entry)
                where.append(row.line)
    if faults:
        raise CommandRefused("\n".join(cut(faults)))
    with refusals_told(), progress(len(wanted), "writing") as tell:
        try:
            applied = in_store(
                config,
                lambda tx: catalog.apply(
                    tx, wanted, who=operator_name(), now_us=clock_us(), mode="add", on_progress=tell
                ),
            )
        except Refused as error:
            told = [f"{file.name}:{where[index]}: {refusal_told(part)}" for index, part in error.refusals]
            raise CommandRefused("\n".join(cut(told))) from None
    click.echo(f"added {applied.added} numbers")


# --- The groups ------------------------------------------------------------------------------------------------------


@click.group()
def provision() -> None:
    """Call centres, numbers, links, accounts, desks and routes."""


for _kind in KINDS.values():
    provision.add_command(_group_of(_kind))


async def apply_config(
    config: Config, store: Store, *, who: str, on_progress: Callable[[int], None] | None = None
) -> catalog.Applied:
    """Bring an open store to a file's provisioning tables: for `provision apply` and the daemon's start.

    Args:
        config: what was loaded.
        store: the open store.
        who: for the audit.
        on_progress: as for ``catalog.apply``.

    Raises: ConfigErrors, with the line of each refused entry; StoreError.
    """
    accounts = await store.read(lambda tx: catalog.entries(tx, Account))
    known = {account.system_id: account.password_hash for account in accounts}
    entries, refusals = await trio.to_thread.run_sync(hash_passwords, config.entries, known, dict(os.environ))
    if refusals:
        raise refused(config, refusals)
    try:
        return await store.transact(
            lambda tx: catalog.apply(tx, entries, who=who, now_us=clock_us(), on_progress=on_progress),
            rows=max(1, len(entries)),
        )
    except Refused as error:
        raise refused(config, error.refusals) from None


def routes_beside(tx: Transaction, wanted: Sequence[Entry]) -> list[str]:
    """Routes of the catalog that share a prefix with routes of a file, and are not in it: keys.

    A file removes nothing, so a route whose endpoint was changed in it is a second one of that prefix.
    """
    named = [entry for entry in wanted if isinstance(entry, Route)]
    prefixes, keys = {route.prefix for route in named}, {route.key for route in named}
    return [route.key for route in catalog.entries(tx, Route) if route.prefix in prefixes and route.key not in keys]


@provision.command("apply")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--config",
    "config_path",
    envvar="SMSHUB_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file with the store's settings, when FILE has only provisioning tables.",
)
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A setting that beats the file's.")
def provision_apply(file: Path, config_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Bring the store to the provisioning tables of FILE. Idempotent; what FILE does not name stays."""
    with refusals_told():
        wanted = load_config(file, overrides_of(overrides))
        config = wanted if config_path is None else load_config(config_path, overrides_of(overrides))

        async def run(tell: Callable[[int], None]) -> tuple[catalog.Applied, list[str]]:
            url = config.store_url(os.environ)
            await trio.to_thread.run_sync(schema.prepare, url)
            async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store:
                applied = await apply_config(wanted, store, who=operator_name(), on_progress=tell)
                return applied, await store.read(lambda tx: routes_beside(tx, wanted.entries))

        with progress(len(wanted.entries), "applying") as tell:
            applied, beside = trio.run(run, tell)
    for key in beside:
        click.echo(f"note: route {key} is not in {file.name}, and stays beside those of its prefix that are", err=True)
    click.echo(f"{applied.added} added, {applied.changed} changed, {applied.unchanged} as they were")


@click.group()
def account() -> None:
    """ESMEs that bind to the hub."""


@account.command("password")
@click.argument("system_id")
@click.option("--generate", is_flag=True, help="Make one, and show it once.")
@click.option("--password-file", "password_file", type=click.Path(dir_okay=False), help="Take it from a file.")
@click.option("--password-env", "password_env", help="Take it from an environment variable.")
@config_options
def account_password(
    config: Config, system_id: str, generate: bool, password_file: str | None, password_env: str | None
) -> None:
    """Give an account a new password; only its hash is kept. Asks for it, or reads a line of standard input."""
    if sum(map(bool, (generate, password_file, password_env))) > 1:
        raise CommandRefused("give one of --generate, --password-file, --password-env")
    field = next(field for field in fields_of(Account) if field.form is Form.SECRET)
    with refusals_told():
        in_store(config, lambda tx: catalog.get(tx, Account, system_id), reads=True)  # before anybody is asked
        if generate:
            most = int(field.spec.maximum or 8)
            words = "".join(secrets.choice(PASSWORD_ALPHABET) for _ in range(most))
        elif password_file:
            words = Secret(SecretKind.FILE, password_file).reveal({})
        elif password_env:
            words = Secret(SecretKind.ENV, password_env).reveal(os.environ)
        else:
            words = ask_password(f"new password of {system_id}")
        check_secret_length(field, words)
        new = Secret(SecretKind.HASH, hash_password(words))

        def work(tx: Transaction) -> None:
            catalog.hold(tx)
            found = catalog.get(tx, Account, system_id)
            catalog.update(tx, msgspec.structs.replace(found, password=new), who=operator_name(), now_us=clock_us())

        in_store(config, work)
    click.echo(f"the password of account {system_id} is changed; binds that are up stay up", err=True)
    if generate:
        click.echo(words)
