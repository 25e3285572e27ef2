"""``smshub text count``: what a text costs before it is sent (X2)."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from ops.cli_provision import CommandRefused, in_store, refusals_told
from ops.config import load_config
from provisioning import Account, Link, catalog
from smpp.alphabet import BY_NAME, GSM7, UCS2, Alphabet, UnencodableText, alphabet_of, shifted
from smpp.reassembly import message_octets, user_data
from smpp.segmentation import Method, Segment, Segments, TooManyParts, capacity, segment
from smpp.transliteration import segment_to_fit, spelling

MOST_SHOWN = 10
"""Characters that are told for each alphabet; a page in another script has hundreds."""

HEADER_ON_AIR = 6
"""Octets of the header that an SMSC writes for a part that says by TLVs which it is."""

_UNIT_WORDS = {7: "septets", 8: "octets", 16: "16-bit units"}


P = TypeVar("P", Link, Account)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a peer takes texts: what decides into how many parts one is cut.

    Attributes:
        default: what data_coding 0 means to it.
        allowed: the alphabets it may be given.
        method: how a text that one message does not hold is carried.
        packed: whether septets travel packed.
        transliterate: whether what would make a text UCS-2 is transliterated.
    """

    default: Alphabet = GSM7
    allowed: tuple[Alphabet, ...] = (GSM7, UCS2)
    method: Method = Method.UDH8
    packed: bool = False
    transliterate: bool = False


def terms_of(peer: Link | Account) -> Terms:
    """The terms of what is provisioned."""
    return Terms(
        default=BY_NAME[peer.default_alphabet],
        allowed=tuple(BY_NAME[name] for name in peer.alphabets),
        method=Method(peer.long_message),
        packed=peer.packed,
        transliterate=peer.transliterate == "to-fit",
    )


# --- counting --------------------------------------------------------------------------------------------------------


def _refused(text: str, allowed: Sequence[Alphabet]) -> dict[str, dict[str, int]]:
    """For each alphabet that does not carry a text: how often each character stands there that it has not."""
    found = Counter(text)
    refused = {
        alphabet.name: {one: times for one, times in found.items() if not alphabet.encodable(one)}
        for alphabet in allowed
    }
    return {name: characters for name, characters in refused.items() if characters}


def _part(part: Segment, text: str, terms: Terms, several: bool) -> dict[str, Any]:
    """The alphabet, characters, units and octets of one part, as its recipient reads it."""
    data = user_data(part.short_message, part.esm_class, part.tlvs)
    alphabet = alphabet_of(part.data_coding, terms.default) or terms.default
    if data.udh is not None:
        alphabet = shifted(alphabet, data.udh.elements)
    header_octets = data.udh.header_octets if data.udh is not None else 0
    on_air = HEADER_ON_AIR if several and terms.method is Method.SAR and not header_octets else header_octets
    return {
        "alphabet": alphabet.name,
        "characters": part.characters,
        "units": alphabet.units(text),
        "units_at_most": capacity(alphabet, on_air),
        "header_octets": header_octets,
        "octets": len(message_octets(part.short_message, part.tlvs)),
    }


def _cut(text: str, terms: Terms) -> tuple[str, Segments]:
    options: dict[str, Any] = {"default": terms.default, "allowed": terms.allowed, "packed": terms.packed}
    if terms.transliterate:
        return segment_to_fit(text, method=terms.method, **options)
    return text, segment(text, method=terms.method, **options)


def count_text(text: str, terms: Terms) -> dict[str, Any]:
    """What a text comes to.

    Args:
        text: any text.
        terms: the peer's.

    Returns: ``alphabets`` (those used), ``characters`` and ``units`` (of the whole as it is sent, headers not counted),
        ``parts`` (each with its alphabet, characters, units, the most units it could have, octets of header, and octets
        on the wire), ``messages`` (on the air: an SMSC cuts a message_payload itself), ``not_carried``: for each
        allowed alphabet that does not carry the text, how often each character stands there that it has not; and
        ``sent``: the text as it is sent when it was transliterated, else None.

    Raises: UnencodableText, TooManyParts.
    """
    sent, segments = _cut(text, terms)
    parts: list[dict[str, Any]] = []
    at = 0
    for part in segments:
        parts.append(_part(part, sent[at : at + part.characters], terms, len(segments) > 1))
        at += part.characters
    messages = len(parts)
    if any(part.tlvs and not part.short_message for part in segments):
        by_header = msgspec.structs.replace(terms, method=Method.UDH8)
        messages = len(_cut(text, by_header)[1])
    return {
        "alphabets": list(dict.fromkeys(part["alphabet"] for part in parts)),
        "characters": len(sent),
        "units": sum(part["units"] for part in parts),
        "messages": messages,
        "parts": parts,
        "not_carried": _refused(text, terms.allowed),
        "sent": sent if sent != text else None,
    }


# --- telling ---------------------------------------------------------------------------------------------------------


def _named(character: str) -> str:
    shown = f"{character} " if character.isprintable() and not unicodedata.combining(character) else ""
    name = unicodedata.name(character, "")
    return f"{shown}U+{ord(character):04X}{f' {name}' if name else ''}"


def _words_of(terms: Terms) -> str:
    words = [f"alphabets {', '.join(alphabet.name for alphabet in terms.allowed)}", f"long texts by {terms.method}"]
    if terms.default is not GSM7:
        words.append(f"data_coding 0 is {terms.default.name}")
    if terms.packed:
        words.append("septets packed")
    if terms.transliterate:
        words.append("transliterated to fit")
    return "; ".join(words)


def _lines(text: str, counted: dict[str, Any]) -> list[str]:
    parts, alphabets = counted["parts"], counted["alphabets"]
    units = {_UNIT_WORDS[_alphabet(name).unit_bits] for name in alphabets}
    lines = [
        f"alphabet: {', '.join(alphabets)}",
        f"characters: {counted['characters']}",
        f"units: {counted['units']}{f' {units.pop()}' if len(units) == 1 else ''}",
        f"parts: {len(parts)}",
    ]
    if counted["messages"] != len(parts):
        lines.append(f"messages: {counted['messages']}, into which the SMSC cuts it")
    for number, part in enumerate(parts, 1):
        header = f", header of {part['header_octets']} octets" if part["header_octets"] else ""
        alphabet = f", {part['alphabet']}" if len(alphabets) > 1 else ""
        most = f" of {part['units_at_most']}" if part["units"] <= part["units_at_most"] else ""
        word = _UNIT_WORDS[_alphabet(part["alphabet"]).unit_bits]
        lines.append(f"  {number}: {part['characters']} characters, {part['units']}{most} {word}{header}{alphabet}")
    if counted["sent"] is not None:
        return lines + _changes(text, counted["sent"])
    return lines + _missing(counted["not_carried"])


def _alphabet(name: str) -> Alphabet:
    """An alphabet by the name that a part says it has; a pair of tables of two languages has none in configuration."""
    found = BY_NAME.get(name)
    return found if found is not None else GSM7


def _changes(text: str, sent: str) -> list[str]:
    """What was transliterated."""
    changed = [character for character in dict.fromkeys(text) if character not in sent]
    lines = [f"sent as: {sent}"]
    for character in changed[:MOST_SHOWN]:
        spelt = spelling(character)
        lines.append(f"  {_named(character)} becomes {json.dumps(spelt, ensure_ascii=False) if spelt else 'nothing'}")
    if len(changed) > MOST_SHOWN:
        lines.append(f"  and {len(changed) - MOST_SHOWN} more")
    return lines


def _missing(not_carried: dict[str, dict[str, int]]) -> list[str]:
    lines: list[str] = []
    for name, characters in not_carried.items():
        lines.append(f"not in {name}:")
        shown = list(characters.items())[:MOST_SHOWN]
        lines += [f"  {_named(one)}{f' ({times} times)' if times > 1 else ''}" for one, times in shown]
        if len(characters) > MOST_SHOWN:
            lines.append(f"  and {len(characters) - MOST_SHOWN} more")
    return lines


# --- the command -----------------------------------------------------------------------------------------------------


def _alphabets(_context: click.Context, _option: click.Parameter, value: str) -> tuple[Alphabet, ...]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    unknown = [name for name in names if name not in BY_NAME]
    if unknown or not names:
        raise click.BadParameter(f"{', '.join(unknown) or 'none given'}; there are {', '.join(BY_NAME)}")
    return tuple(dict.fromkeys(BY_NAME[name] for name in names))


def _peer(kind: type[P], name: str, config_path: Path | None) -> Terms:
    """The terms of a link or account, from the file or else the store.

    Raises: CommandRefused.
    """
    with refusals_told():
        config = load_config(config_path)
        for entry in config.entries:
            if isinstance(entry, kind) and entry.key == name:
                return terms_of(entry)
        return terms_of(in_store(config, lambda tx: catalog.get(tx, kind, name), reads=True))


@click.group("text")
def text_group() -> None:
    """Texts, before they are sent."""


@text_group.command("count")
@click.argument("text")
@click.option(
    "--link",
    "link_name",
    default="",
    metavar="NAME",
    help="Count as for this link; other options win over its settings.",
)
@click.option("--account", "account_name", default="", metavar="NAME", help="Count as for this account.")
@click.option(
    "--alphabets",
    "allowed",
    default="gsm7,ucs2",
    show_default=True,
    callback=_alphabets,
    metavar="A,B,…",
    help="Alphabets that may be used; of those that carry the text, the one that needs the fewest parts is. National "
    "tables are gsm7-tr, gsm7-es, …",
)
@click.option(
    "--default",
    default=GSM7.name,
    show_default=True,
    type=click.Choice(list(BY_NAME)),
    metavar="ALPHABET",
    help="What data_coding 0 means.",
)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    default=Method.UDH8.value,
    show_default=True,
    help="How a text that one message does not hold is carried.",
)
@click.option("--packed/--unpacked", default=False, help="Septets travel packed.")
@click.option(
    "--transliterate/--as-written", default=False, help="Transliterate what would make the text UCS-2, and show it."
)
@click.option(
    "--config",
    "config_path",
    envvar="SMSHUB_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration file that knows the link or account; else the environment variable SMSHUB_CONFIG.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def count(
    context: click.Context,
    /,
    text: str,
    link_name: str,
    account_name: str,
    config_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Tell alphabet, units and parts of TEXT (- to read it from standard input), and what no smaller alphabet has."""
    terms = _terms(context, link_name, account_name, config_path, options)
    try:
        if text == "-":
            text = sys.stdin.buffer.read().decode().removesuffix("\n")
        counted = count_text(text, terms)
    except UnicodeDecodeError as error:
        raise CommandRefused("standard input is not UTF-8") from error
    except UnencodableText as error:
        raise CommandRefused("\n".join([str(error), *_missing(_refused(text, terms.allowed))])) from error
    except TooManyParts as error:
        raise CommandRefused(str(error)) from error
    if as_json:
        click.echo(json.dumps(counted, ensure_ascii=False))
        return
    lines = _lines(text, counted)
    if link_name or account_name:
        lines.insert(0, f"{link_name or account_name}: {_words_of(terms)}")
    click.echo("\n".join(lines))


def _terms(
    context: click.Context, link_name: str, account_name: str, config_path: Path | None, options: dict[str, Any]
) -> Terms:
    """The terms that a command line names: a peer's, and what is said beside it."""
    if link_name and account_name:
        raise CommandRefused("name a link or an account, not both")
    said = options | {"default": BY_NAME[options["default"]], "method": Method(options["method"])}
    if not (link_name or account_name):
        return Terms(**said)
    peer = _peer(Link, link_name, config_path) if link_name else _peer(Account, account_name, config_path)
    said = {name: value for name, value in said.items() if _is_said(context, name)}
    return msgspec.structs.replace(peer, **said)


def _is_said(context: click.Context, option: str) -> bool:
    return context.get_parameter_source(option) is ParameterSource.COMMANDLINE
