"""``smshub text count``: what a text costs before it is sent (X2)."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from ops.cli_provision import CommandRefused
from smpp.alphabet import BY_NAME, GSM7, Alphabet, UnencodableText, alphabet_of, shifted
from smpp.reassembly import user_data
from smpp.segmentation import Method, Segment, TooManyParts, segment

MOST_SHOWN = 10
"""Characters that are told for each alphabet; a page in another script has hundreds."""


def _alphabets(_context: click.Context, _option: click.Parameter, value: str) -> tuple[Alphabet, ...]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    unknown = [name for name in names if name not in BY_NAME]
    if unknown or not names:
        raise click.BadParameter(f"{', '.join(unknown) or 'none given'}; there are {', '.join(BY_NAME)}")
    return tuple(dict.fromkeys(BY_NAME[name] for name in names))


def _refused(text: str, allowed: Sequence[Alphabet]) -> dict[str, dict[str, int]]:
    """For each alphabet that does not carry a text: how often each character stands there that it has not."""
    found = Counter(text)
    refused = {
        alphabet.name: {one: times for one, times in found.items() if not alphabet.encodable(one)}
        for alphabet in allowed
    }
    return {name: characters for name, characters in refused.items() if characters}


def _part(part: Segment) -> dict[str, Any]:
    """The alphabet, characters, units and octets of one part, read as its recipient reads it."""
    data = user_data(part.short_message, part.esm_class, part.tlvs)
    alphabet = alphabet_of(part.data_coding, GSM7) or GSM7
    if data.udh is not None:
        alphabet = shifted(alphabet, data.udh.elements)
    header_octets = data.udh.header_octets if data.udh is not None else 0
    return {
        "alphabet": alphabet.name,
        "characters": part.characters,
        "units": len(data.octets) // alphabet.unit_octets,
        "header_octets": header_octets,
    }


def count_text(text: str, allowed: Sequence[Alphabet], method: Method) -> dict[str, Any]:
    """What a text comes to on a link whose data_coding 0 is the GSM alphabet.

    Args:
        text: any text.
        allowed: the alphabets the link may be given.
        method: how the link carries long texts.

    Returns: ``alphabets`` (those used), ``characters`` and ``units`` (of the whole, headers not counted), ``parts``
        (each with its alphabet, characters, units and octets of header), and ``not_carried``: for each allowed alphabet
        that does not carry the text, how often each character stands there that it has not.

    Raises: UnencodableText, TooManyParts.
    """
    parts = [_part(part) for part in segment(text, method=method, allowed=allowed)]
    return {
        "alphabets": list(dict.fromkeys(part["alphabet"] for part in parts)),
        "characters": len(text),
        "units": sum(part["units"] for part in parts),
        "parts": parts,
        "not_carried": _refused(text, allowed),
    }


def _told(character: str, times: int) -> str:
    shown = f"{character} " if character.isprintable() else ""
    name = unicodedata.name(character, "")
    return f"{shown}U+{ord(character):04X}{f' {name}' if name else ''}{f' ({times} times)' if times > 1 else ''}"


def _lines(counted: dict[str, Any]) -> list[str]:
    parts = counted["parts"]
    lines = [
        f"alphabet: {', '.join(counted['alphabets'])}",
        f"characters: {counted['characters']}",
        f"units: {counted['units']}",
        f"parts: {len(parts)}",
    ]
    for number, part in enumerate(parts, 1):
        header = f", header of {part['header_octets']} octets" if part["header_octets"] else ""
        alphabet = f", {part['alphabet']}" if len(counted["alphabets"]) > 1 else ""
        lines.append(f"  {number}: {part['characters']} characters, {part['units']} units{header}{alphabet}")
    return lines + _missing(counted["not_carried"])


def _missing(not_carried: dict[str, dict[str, int]]) -> list[str]:
    lines: list[str] = []
    for name, characters in not_carried.items():
        lines.append(f"not in {name}:")
        lines += [f"  {_told(one, times)}" for one, times in list(characters.items())[:MOST_SHOWN]]
        if len(characters) > MOST_SHOWN:
            lines.append(f"  and {len(characters) - MOST_SHOWN} more")
    return lines


@click.group("text")
def text_group() -> None:
    """Texts, before they are sent."""


@text_group.command("count")
@click.argument("text")
@click.option(
    "--alphabets",
    default="gsm7,ucs2",
    show_default=True,
    callback=_alphabets,
    metavar="A,B,…",
    help="Alphabets that may be used; the smallest that carries the text is. National tables are gsm7-tr, gsm7-es, …",
)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    default=Method.UDH8.value,
    show_default=True,
    help="How a text that one message does not hold is carried.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def count(text: str, alphabets: tuple[Alphabet, ...], method: str, as_json: bool) -> None:
    """Tell alphabet, units and parts of TEXT (- to read it from standard input), and what no smaller alphabet has."""
    try:
        if text == "-":
            text = sys.stdin.buffer.read().decode().removesuffix("\n")
        counted = count_text(text, alphabets, Method(method))
    except UnicodeDecodeError as error:
        raise CommandRefused("standard input is not UTF-8") from error
    except UnencodableText as error:
        raise CommandRefused("\n".join([str(error), *_missing(_refused(text, alphabets))])) from error
    except TooManyParts as error:
        raise CommandRefused(str(error)) from error
    click.echo(json.dumps(counted, ensure_ascii=False) if as_json else "\n".join(_lines(counted)))
