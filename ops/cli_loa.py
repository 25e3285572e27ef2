"""``smshub provision loa draft|add|document|show|list``: letters of authorization.

They stand beside, or in place of, the commands that all kinds have. ``draft`` writes the PDF that the owner signs;
``add`` files what came back. What a letter is, and which changes it
refuses, is in ``provisioning.letters``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click

from ops.cli_provision import (
    CommandRefused,
    cell,
    clock_us,
    config_options,
    decorate,
    in_store,
    json_option,
    key_arguments,
    operator_name,
    options_of,
    progress,
    refusals_told,
    say_json,
    say_table,
    settings_given,
)
from ops.config import Config
from ops.number_lists import NUMBER, BadList, cut, read_list
from provisioning import catalog, syntax
from provisioning.authority import Loa, day_of, days_left, is_signed, is_valid, state_of, terms_digest
from provisioning.coverage import spans_of, told, written
from provisioning.errors import BadValue, ProvisioningError, Refused
from provisioning.letters import Standing, add_letter, draft_letter, meant, notes, notes_on, standing
from provisioning.loa_documents import MAX_OCTETS, Document, document, read_document
from provisioning.model import build
from provisioning.rows import shown
from store import Transaction

_PAPERS = ("letter", "a4")
_COLUMNS = ("name", "call_centre", "owner", "valid_from", "valid_until", "signed_on")
_SIGNATURE = ("signed_by", "signed_on", "digest")
_SHOWN_SPANS = 10

_numbers_file = click.option(
    "--numbers-file",
    type=click.File("rb"),
    help="A file of numbers and ranges, one in each line ('-': standard input); beside --numbers.",
)


def _today() -> str:
    return day_of(clock_us())


def _settings(name: str, options: Mapping[str, Any], numbers_file: BinaryIO | None) -> dict[str, Any]:
    """What a command gives of a letter, as a configuration file would.

    Raises: Refused, with every setting that cannot be read; CommandRefused for the lines of the file.
    """
    given, problems = settings_given(Loa, options)
    if problems:
        raise Refused(list(enumerate(problems)))
    if numbers_file is not None:
        given["numbers"] = [*given.get("numbers", ()), *_numbers_of(numbers_file)]
    return {"name": name, **given}


def _numbers_of(file: BinaryIO) -> Iterable[str]:
    """The numbers and ranges of a file, in canonical form.

    Raises: CommandRefused, with the lines that hold none.
    """
    found: list[str] = []
    faults: list[str] = []
    try:
        rows = read_list(file.read(), file.name)
    except BadList as error:
        raise CommandRefused(str(error)) from None
    with progress(len(rows), "reading") as tell:
        for done, row in enumerate(rows, 1):
            try:
                found.append(syntax.read_range(row.settings[NUMBER], "numbers"))
            except BadValue as problem:
                faults.append(f"{file.name}:{row.line}: {problem}")
            if done % 1000 == 0:
                tell(done)
    if faults:
        raise CommandRefused("\n".join(cut(faults)))
    return found


def _write(output: str, octets: bytes) -> None:
    """Write a file that is not there yet, or '-' for standard output; one that is the same already is left alone.

    Raises: CommandRefused; OSError.
    """
    if output == "-":
        sys.stdout.buffer.write(octets)
        return
    path = Path(output)
    if path.exists():
        if path.is_file() and path.read_bytes() == octets:
            return
        raise CommandRefused(f"{output} exists already, and holds something else: name another file, or remove it")
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(octets)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _draft(
    config: Config,
    name: str,
    output: str,
    paper: str,
    date: str | None,
    font: str | None,
    numbers_file: BinaryIO | None,
    keep: bool,
    **options: Any,
) -> None:
    from provisioning.loa_pdf import draft_pdf  # ReportLab takes a while to load, and no other command needs it

    with refusals_told():
        drafted_on = syntax.read_day(date, "date") if date else _today()
        given = _settings(name, options, numbers_file)
        loa = in_store(config, lambda tx: meant(tx, given), reads=True) if keep else _built(given)
        octets = draft_pdf(loa, drafted_on, paper=paper, font_file=font or "")  # what cannot be drawn is not kept
        if keep:
            in_store(config, lambda tx: draft_letter(tx, given, who=operator_name(), now_us=clock_us()))
        _write(output, octets)
    click.echo(f"drafted loa {name}, terms {terms_digest(loa)}", err=True)
    if not is_signed(loa):
        following = f"smshub provision loa add {name} --document FILE --signed-by NAME --signed-on DAY"
        click.echo(f"when it is signed: {following}", err=True)


def _built(given: Mapping[str, Any]) -> Loa:
    loa, problems = build(Loa, given)
    if loa is None:
        raise Refused(list(enumerate(problems)))
    return loa


def _add(config: Config, name: str, file: BinaryIO | None, numbers_file: BinaryIO | None, **options: Any) -> None:
    with refusals_told():
        given = _settings(name, options, numbers_file)
        # One octet more than may be: then it is told that it is too large, and no larger file fills the memory.
        paper = read_document(file.read(MAX_OCTETS + 1), file.name) if file is not None else None
        who, now_us = operator_name(), clock_us()
        outcome = in_store(config, lambda tx: add_letter(tx, given, paper, who=who, now_us=now_us))
        loa = in_store(config, lambda tx: catalog.get(tx, Loa, name), reads=True)
    said = {
        "added": f"added loa {name}",
        "signed": f"signed loa {name}",
        "filed": f"filed the document of loa {name}",
        "unchanged": f"loa {name} is so already",
    }
    click.echo(said[outcome])
    if not is_valid(loa, _today()):
        click.echo(f"note: it covers nothing today: {state_of(loa, _today())}", err=True)


def _document(config: Config, name: str, output: str) -> None:
    def work(tx: Transaction) -> Document:
        loa = catalog.get(tx, Loa, name)
        if not loa.digest:
            raise ProvisioningError(f"loa {name!r} is a draft, and has no document yet")
        return document(tx, loa.digest)

    with refusals_told():
        found = in_store(config, work, reads=True)
        _write(output, found.octets)
    click.echo(f"{found.media_type}, {len(found.octets)} octets, {found.digest}", err=True)


def _show(config: Config, name: str, as_json: bool) -> None:
    def work(tx: Transaction) -> tuple[Loa, Standing]:
        loa = catalog.get(tx, Loa, name)
        return loa, standing(tx, loa, _today())

    with refusals_told():
        loa, stands = in_store(config, work, reads=True)
    missing = [written(span) for span in stands.missing]
    if as_json:
        details = {field: getattr(stands, field) for field in stands.__struct_fields__}
        say_json({**shown(loa), "standing": {**details, "missing": missing}})
        return
    rows = {field: cell(value) for field, value in shown(loa).items()}
    rows["numbers"] = told(spans_of(loa.numbers), _SHOWN_SPANS)
    rows["state"] = stands.state
    rows["days_left"] = "without end" if stands.days_left is None else str(stands.days_left)
    rows["terms"] = stands.terms
    beyond = f", {stands.foreign:,} of which call centre {loa.call_centre} has not" if stands.foreign else ""
    rows["names"] = f"{stands.numbers:,} numbers{beyond}"
    rows["covers"] = f"{stands.covered:,} numbers of call centre {loa.call_centre}"
    lacks = f": {told(stands.missing, _SHOWN_SPANS)}" if stands.not_covered else ""
    rows["not_covered"] = f"{stands.not_covered:,} numbers of call centre {loa.call_centre}, by no valid letter{lacks}"
    if loa.digest:
        rows["document"] = "in the store" if stands.has_document else "not in the store"
    say_table([[field, value] for field, value in rows.items()])


def _list(config: Config, call_centre: str, as_json: bool) -> None:
    with refusals_told():
        loas = in_store(config, lambda tx: catalog.entries(tx, Loa, call_centre), reads=True)
    today = _today()
    if as_json:
        say_json([{**shown(loa), "state": state_of(loa, today), "days_left": days_left(loa, today)} for loa in loas])
    elif loas:
        rows = [[*(cell(getattr(loa, name)) for name in _COLUMNS), state_of(loa, today)] for loa in loas]
        say_table([[*_COLUMNS, "state"], *rows])


def letter_notes(config: Config, *, is_ready: bool) -> list[str]:
    """What `smshub check` says of letters, those of the store and those of the file.

    Args:
        config: the configuration file.
        is_ready: whether the store has a schema yet; one that has none holds no letter and no document.
    """
    named = [entry for entry in config.entries if isinstance(entry, Loa)]
    if not is_ready:
        return notes_on(named, set(), _today())
    with refusals_told():
        return in_store(config, lambda tx: notes(tx, named, _today()), reads=True)


def _output(help_text: str) -> Any:
    return click.option(
        "--output", required=True, type=click.Path(dir_okay=False, allow_dash=True), metavar="FILE", help=help_text
    )


def loa_commands() -> list[click.Command]:
    """The commands of letters that are more than those of every kind."""
    draft = decorate(
        _draft,
        [
            *key_arguments(Loa),
            _output("Where the PDF goes ('-': standard output)."),
            *options_of(Loa, for_set=False, left_out=_SIGNATURE),
            _numbers_file,
            click.option("--paper", type=click.Choice(_PAPERS), default="letter", show_default=True, help="Its size."),
            click.option("--date", metavar="DAY", help="The day that stands on it, UTC; today when not given."),
            click.option(
                "--font", type=click.Path(dir_okay=False), help="A TrueType font, for a script that Open Sans lacks."
            ),
            click.option("--add/--no-add", "keep", default=True, help="Keep the draft in the catalog, or not."),
            config_options,
        ],
    )
    add = decorate(
        _add,
        [
            *key_arguments(Loa),
            *options_of(Loa, for_set=False),
            _numbers_file,
            click.option(
                "--document",
                "file",
                type=click.File("rb"),
                help="The signed paper, PDF, PNG, JPEG or TIFF, of 20 MB at most: kept in the store.",
            ),
            config_options,
        ],
    )
    got = decorate(_document, [*key_arguments(Loa), _output("Where it goes ('-': standard output)."), config_options])
    show = decorate(_show, [*key_arguments(Loa), json_option, config_options])
    owner = click.option("--call-centre", default="", help="Only those of this call centre.")
    listed = decorate(_list, [owner, json_option, config_options])
    return [
        click.command(
            "draft",
            help="Write a letter for its owner to sign, as a PDF, and keep the draft. For one that is drafted already "
            "the name is enough.",
        )(draft),
        click.command(
            "add",
            help="File a signed letter with its paper: a new one with all its settings, a drafted one with --document, "
            "--signed-by and --signed-on alone.",
        )(add),
        click.command("document", help="Take the signed paper of a letter out of the store, checked by its digest.")(
            got
        ),
        click.command("show", help="Show a letter, how long it is valid, and what it covers.")(show),
        click.command("list", help="List every letter and how it stands.")(listed),
    ]
