"""Hosts that no text may name: a plain list, and how a text is read for them. Pure.

**What is looked for** is what a handset would make a link of, or its owner would type: any run of characters that may
be a host, wherever it stands: ``evil.example``, ``http://user@EVIL.example.:8080/path``, the same in wide letters.
A listed host covers the hosts below it. No URL is parsed: a text need not hold a well-formed one to lure somebody.

**One form for both sides.** The list's lines and the text's runs are brought into one form before they are compared:
NFKC, lower case, the four full stops of IDNA as one, characters that IDNA drops taken out, and labels that are not
ASCII as A-labels (RFC 5890 §2.3.2.1: ``xn--`` and Punycode). Eszett and final sigma stay as they are, as browsers have
it since 2023 (UTS #46, non-transitional).

**What is not seen**: a link that hides its host behind a shortener, a redirect or an address in other words; spaces put
between the letters. That is work for reputation services; this is the hook for their lists.

Everything here is linear in the text: the expressions are single classes of characters, and of a run only as many
labels are looked at as the deepest listed host has.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from hub.model import Concatenation

MAX_HOSTS: Final = 1_000_000  # some 120 octets each
MAX_HOST_CHARACTERS: Final = 253  # RFC 1035 §2.3.4, without the length octets
MAX_PARTS: Final = 8_192  # parts of texts remembered, some 400 octets each

# UTS #46: the full stops besides U+002E, of which NFKC makes U+FF0E one already; and what is mapped to nothing.
_STOPS: Final = {0x3002: ".", 0xFF61: "."}
_DROPPED: Final = dict.fromkeys((0x00AD, 0x034F, 0x180B, 0x180C, 0x180D, 0x200B, 0x2060, 0x2064, 0xFEFF))
_FOLD: Final = {**_STOPS, **_DROPPED, **dict.fromkeys(range(0xFE00, 0xFE10))}

_ascii_runs: Final = re.compile(r"[a-z0-9._\-]+").finditer
# Anything but ASCII's delimiters and the punctuation that other scripts put around words: a label may be of any script,
# with marks that are no letters, and with middle dots, geresh and joiners within (RFC 5892 Appendix A).
_wide_runs: Final = re.compile(
    r"[^\x00-\x2c/\x3a-\x40\x5b-\x5e\x60\x7b-\x7f\s\u00a1\u00a7\u00ab\u00b6\u00bb\u00bf\u060c\u061b\u061f\u06d4"
    r"\u0964\u0965\u104a\u104b\u1362-\u1368\u2000-\u200b\u200e-\u206f\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020]+"
).findall


def canonical(host: str) -> str:
    """A host in the form that hosts are compared in; empty when it can be none."""
    labels = _folded(host).strip(".").split(".")
    try:
        ascii_labels = [label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in labels]
    except UnicodeError:  # half a surrogate pair
        return ""
    name = ".".join(ascii_labels)
    return name if all(ascii_labels) and len(name) <= MAX_HOST_CHARACTERS else ""


def _folded(text: str) -> str:
    text = text.lower()
    if text.isascii():
        return text
    # Twice: what NFKC makes of some letters has capitals again (the Kelvin sign, letters in circles).
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()).translate(_FOLD)


def read_list(lines: Iterable[str]) -> tuple[frozenset[str], list[int]]:
    """The hosts of a list: one a line, the rest of a line behind ``#`` is a comment.

    ``*.host`` and ``.host`` are taken for ``host``, which covers what is below it anyway.

    Returns: the hosts, and the numbers of the lines that name none (the first is 1).
    """
    hosts: set[str] = set()
    wrong: list[int] = []
    for number, line in enumerate(lines, 1):
        word = line.partition("#")[0].strip().lstrip("\ufeff").removeprefix("*.")
        if not word:
            continue
        host = canonical(word)
        if not host or len(hosts) >= MAX_HOSTS or not all(c.isalnum() or c in "._-" for c in host):
            wrong.append(number)
        else:
            hosts.add(host)
    return frozenset(hosts), wrong


class UrlList:
    """A list of hosts.

    Args:
        hosts: in canonical form, as ``read_list`` gives them.
    """

    def __init__(self, hosts: frozenset[str] = frozenset()) -> None:
        self._hosts = hosts
        self._depth = max((host.count(".") + 1 for host in hosts), default=0)

    def __len__(self) -> int:
        return len(self._hosts)

    def find(self, text: str) -> str:
        """The first listed host that a text names, as it is listed; empty when it names none."""
        if not self._hosts:
            return ""
        text = text.lower()
        plain = text.isascii()
        if plain and "." not in text and "%" not in text:
            return ""
        if not plain:
            text = _folded(text)
        found = self._find_folded(text)
        if not found and "%" in text:  # browsers read %65 in a host as they do elsewhere
            found = self._find_folded(_folded(unquote(text)))
        return found

    def _find_folded(self, text: str) -> str:
        plain = text.isascii()
        for match in _ascii_runs(text):
            run = match.group()
            if "." in run.strip(".") and (plain or _stands_alone(text, match.start(), match.end())):
                found = self._covering(run)
                if found:
                    return found
        if plain:
            return ""
        for run in _wide_runs(text):
            if "." in run and not run.isascii():
                found = self._covering(run)
                if found:
                    return found
        return ""

    def _covering(self, run: str) -> str:
        """The listed host that is a run, or above it."""
        labels = run.strip(".-_").rsplit(".", self._depth)
        if len(labels) < 2:  # a word is no link
            return ""
        name = ""
        for label in reversed(labels[-self._depth :]):
            if not label:
                return ""
            if not label.isascii():
                label = canonical(label) or "?"
            name = f"{label}.{name}" if name else label
            if name in self._hosts:
                return name
        return ""


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether what is before and behind a run does not belong to its first and last label.

    Scripts that put no spaces between words have no capitals: their letters beside a host are not of it. (Where they
    are, the run that holds both is looked at as well.)
    """
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return all(c.isascii() or c.lower() == c.upper() for c in around)


class UrlFilter:
    """A list of hosts applied to texts and to parts of texts, whose hosts may be cut in two.

    What is remembered of parts is bounded; a part that was forgotten is looked at alone.

    Args:
        urls: the list; may be exchanged.
    """

    def __init__(self, urls: UrlList) -> None:
        self.urls = urls
        self._parts: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def names_listed(self, endpoint: str, source: str, destination: str, text: str, c: Concatenation | None) -> bool:
        """Whether a text, or a part of one together with its neighbours, names a listed host.

        Args:
            endpoint, source, destination: where it comes from, who from, who to.
            text: its characters.
            c: which part it is, or None.
        """
        if c is None:
            return bool(self.urls.find(text))
        key = (endpoint, source, destination, c.reference, c.total)
        before = self._parts.get((*key, c.number - 1), "")
        behind = self._parts.get((*key, c.number + 1), "")
        listed = bool(self.urls.find(before + text + behind))
        if not listed:
            self._parts[(*key, c.number)] = text
            self._parts.move_to_end((*key, c.number))
            if len(self._parts) > MAX_PARTS:
                self._parts.popitem(last=False)
        return listed
