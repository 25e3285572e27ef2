"""Reads one XML document of a stranger into a tree, or refuses it. Pure.

What SOAP 1.1 §3 forbids, document types and processing instructions, ends the reading at once: so no entity is ever
declared, none expands, and nothing outside the document is looked at. Three caps bound what a document can make us
hold: its octets, its depth, its elements. Expat itself bounds none of them.

The XMPP side has a reader too (``translators.xmpp.stream``): of endless streams in pieces, stanza by stanza, with names
shortened for them. What the two share is the handful of handlers that refuse; one module for both would be that and an
option for everything else, so each has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pyexpat import ExpatError, ParserCreate
from typing import Any, Final, NoReturn

import msgspec

MAX_OCTETS: Final = 5_000_000
MAX_DEPTH: Final = 16  # Envelope, Body, QueryResponse, record, listing, number: 6
MAX_ELEMENTS: Final = 100_000  # 1,000 records with every field are 20,000

_NO_ATTRIBUTES: Final[dict[str, str]] = {}


class BadXml(ValueError):
    """A document that is no XML, or more of it than is read."""


class Element(msgspec.Struct, frozen=True):
    """One element.

    Attributes:
        name: ``"namespace local"``; the local name alone when it is in none.
        attributes: by name, the same way.
        text: all character data directly in it, joined.
        children: the elements directly in it, in order.
    """

    name: str
    attributes: dict[str, str] = _NO_ATTRIBUTES
    text: str = ""
    children: tuple[Element, ...] = ()

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        return next(self.each(name), None)

    def each(self, name: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def child_text(self, name: str) -> str:
        """The text of the first child of that name without white space around it, or empty."""
        found = self.child(name)
        return found.text.strip() if found is not None else ""


def read_xml(
    octets: bytes, *, max_octets: int = MAX_OCTETS, max_depth: int = MAX_DEPTH, max_elements: int = MAX_ELEMENTS
) -> Element:
    """Read a document.

    Args:
        octets: all of it, UTF-8 or UTF-16 (WS-I Basic Profile 1.1 R4003), or what its declaration says.
        max_octets, max_depth, max_elements: what is more is refused.

    Raises: BadXml.
    """
    if len(octets) > max_octets:
        raise BadXml(f"longer than {max_octets:,} octets")
    tree = _Tree(max_depth, max_elements)
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.characters
    parser.ProcessingInstructionHandler = _refuser("a processing instruction")
    parser.StartDoctypeDeclHandler = _refuser("a document type")
    parser.EntityDeclHandler = _refuser("an entity")
    try:
        parser.Parse(octets, True)
    except ExpatError as error:
        raise BadXml(f"no well-formed XML: {error}") from None
    except (ValueError, LookupError) as error:  # an encoding that Python does not know, or cannot read
        raise error if isinstance(error, BadXml) else BadXml(f"no readable XML: {error}") from None
    if tree.root is None:  # pragma: no cover - expat says "no element found" before
        raise BadXml("empty")
    return tree.root


def _refuser(what: str) -> Any:
    def refuse(*_: object) -> NoReturn:
        raise BadXml(f"{what} is not allowed")

    return refuse


class _Tree:
    """The tree while it grows: one entry for each open element, [name, attributes, pieces of text, children]."""

    def __init__(self, max_depth: int, max_elements: int) -> None:
        self.root: Element | None = None
        self._left = max_elements
        self._max_depth = max_depth
        self._open: list[tuple[str, dict[str, str], list[str], list[Element]]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if self._left < 0:
            raise BadXml("too many elements")
        if len(self._open) >= self._max_depth:
            raise BadXml(f"deeper than {self._max_depth} elements")
        self._open.append((name, attributes or _NO_ATTRIBUTES, [], []))

    def end(self, _: str) -> None:
        name, attributes, pieces, children = self._open.pop()
        element = Element(name, attributes, "".join(pieces), tuple(children))
        if self._open:
            self._open[-1][3].append(element)
        else:
            self.root = element

    def characters(self, text: str) -> None:
        self._open[-1][2].append(text)
