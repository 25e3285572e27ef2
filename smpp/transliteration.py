"""Write what makes a text UCS-2 in characters that a smaller alphabet has, where nothing is lost that matters.

The theory
    One curly quotation mark makes a text of 160 characters three messages of UCS-2. A peer's setting may allow that
    such characters are written differently. Which may be is decided here, character by character, and they are few: a
    reader must read the same words, and no other number.

    - *Punctuation and spaces*: quotation marks, dashes, the ellipsis, bullets, hard and thin spaces, a tab.
    - *Latin letters* with marks or of other shapes: ``ł`` ``ș`` ``ẽ`` ``ﬁ``, full-width and mathematical letters.
    - A few signs with a spelling that everybody knows: ``™`` ``©`` ``®`` ``№`` ``×`` ``−``.
    - Marks that show nothing by themselves (soft hyphens, joiners, directions) go, in a text of cased scripts.

    A character that is none of these leaves the whole text as it is: emoji and pictograms, letters of another script,
    signs of currencies and mathematics, fractions and superscripts (``10²`` is not ``102``), degrees. A text half in
    one script and half spelt in another helps nobody, so there is no romanization.

    Only what the alphabet lacks is touched; of several alphabets the one that has to touch the least is written in.
    A text is left as it is where that costs no more messages than the other way.

    The spelling of each character is anyascii's; what may be spelt at all is this module's. Both are tables: equal
    texts are always written equally, until a new version of either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from anyascii import anyascii

from smpp.alphabet import GSM7, UCS2, Alphabet, UnencodableText, alphabet_of
from smpp.segmentation import MAX_OCTETS, MAX_PARTS, Method, Segments, TooManyParts, segment
from smpp.selection import lacking, repertoire

_OWN: Final = {
    "`": "'",
    "´": "'",
    "\u02bb": "'",  # the ʻokina
    "\u02bc": "'",
    "\u02be": "'",
    "\u02bf": "'",
    "\t": " ",
    "\u2028": "\n",
    "\u2029": "\n",
    "−": "-",
    "×": "x",
    "™": "TM",
    "©": "(C)",
    "®": "(R)",
    "№": "No",
    "ẞ": "SS",
}
"""Characters spelt by this table: their category does not say that they may be, or the spelling is better."""

_KEPT: Final = "‰‱†‡"
"""Punctuation by Unicode, whose spelling would say something else."""

_SHOWS_NOTHING: Final = frozenset(
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
    + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xFE00, 0xFE10))))
)
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lo"})  # modifier letters are superscripts: "10ⁿ" is not "10n"
_ORDINALS: Final = "ªº"  # letters without case by Unicode, and Latin
# A Latin letter and the marks on it: canonical composition of all of a text would take letters of India apart.
_MARKED: Final = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff][\u0300-\u036f]+")


def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith("LATIN ")


@lru_cache(maxsize=4096)
def spelling(character: str) -> str | None:
    """What may be written for a character that an alphabet lacks, or None when nothing may."""
    own = _OWN.get(character)
    if own is not None:
        return own
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category[0] == "P" and character not in _KEPT:
        spelt = anyascii(character)
        return spelt if spelt and not any(map(str.isalnum, spelt)) else None
    if category in _LETTERS and all(map(_is_latin, unicodedata.normalize("NFKC", character))):
        spelt = anyascii(character)
        return spelt if spelt.isalpha() else None  # the tone letters are spelt as digits, abbreviations with a stop
    if category == "Nd":  # full-width and mathematical digits, not those of another script
        digit = unicodedata.normalize("NFKC", character)
        return digit if digit.isascii() else None
    return None


def transliterate(text: str, allowed: Sequence[Alphabet], default: Alphabet = GSM7) -> str | None:
    """Write a text so that an alphabet smaller than UCS-2 carries it.

    Args:
        text: any text.
        allowed: the alphabets that the peer may be given.
        default: what data_coding 0 means to it.

    Returns: the text as the alphabet has it that lacks the least of it, or None when it has a character that is left
        alone.
    """
    composed = _MARKED.sub(lambda marked: unicodedata.normalize("NFC", marked[0])[0], text)
    characters = frozenset(composed)
    uncased = any(unicodedata.category(c) == "Lo" and c not in _ORDINALS for c in characters)
    spelt = {c: "" if c in _SHOWS_NOTHING and not uncased else spelling(c) for c in characters}
    best: tuple[int, str] | None = None
    for alphabet in repertoire(allowed, default).every:
        if alphabet.unit_bits >= UCS2.unit_bits:
            continue
        missing = lacking(alphabet, characters)
        if any(spelt[c] is None for c in missing):
            continue
        changes = sum(composed.count(c) for c in missing)
        if best is None or changes < best[0]:
            written = composed.translate({ord(c): spelt[c] for c in missing})
            if alphabet.encodable(written):
                best = (changes, written)
    return best[1] if best is not None else None


def segment_to_fit(
    text: str,
    *,
    method: Method = Method.UDH8,
    default: Alphabet = GSM7,
    allowed: Sequence[Alphabet] = (GSM7, UCS2),
    reference: int = 0,
    max_octets: int = MAX_OCTETS,
    max_parts: int = MAX_PARTS,
    packed: bool = False,
) -> tuple[str, Segments]:
    """Cut a text as ``segment`` does; one that would need UCS-2 is transliterated when that spares it.

    Args: see ``segment``.

    Returns: the text as it is sent, which is ``text`` itself when nothing was changed, and its parts.

    Raises: UnencodableText, TooManyParts: see ``segment``; it is so with and without transliteration.
    """

    def cut(what: str) -> Segments:
        return segment(
            what,
            method=method,
            default=default,
            allowed=allowed,
            reference=reference,
            max_octets=max_octets,
            max_parts=max_parts,
            packed=packed,
        )

    refusal: UnencodableText | TooManyParts | None = None
    segments: Segments = ()
    try:
        segments = cut(text)
    except (UnencodableText, TooManyParts) as error:
        refusal = error
    else:
        if not any(_is_wide(part.data_coding, default) for part in segments):
            return text, segments
    written = transliterate(text, allowed, default)
    if written is not None and written != text:
        try:
            smaller = cut(written)
        except TooManyParts:  # "…" becomes three characters
            smaller = ()
        if smaller and (refusal is not None or len(smaller) <= len(segments)):
            return written, smaller
    if refusal is not None:
        raise refusal
    return text, segments


def _is_wide(data_coding: int, default: Alphabet) -> bool:
    alphabet = alphabet_of(data_coding, default)
    return alphabet is not None and alphabet.unit_bits >= UCS2.unit_bits
