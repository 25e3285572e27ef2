"""Where each key of a TOML document stands. Pure.

``tomllib`` says what a document means and not where; an error message without a line sends an operator searching. This
scanner answers only where: a map from paths to lines. It reads documents that ``tomllib`` has accepted, so it need not
refuse anything, and is tested against ``tomllib``: for every document both must know the same paths.

A path is a tuple of keys and, inside arrays and arrays of tables, indices: ``("account", 0, "allowed_ips", 1)``.
A table's line is the one of its header, or of the first key that implies it.

Source: TOML 1.0.0.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
_SPACE = re.compile(r"[ \t]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
# A closing delimiter may be preceded by one or two quotation marks that belong to the text.
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|""?(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|''?(?!'))*'{3,5}", re.DOTALL)
# Numbers, booleans and times; the one space is the one between a date and a time.
_SCALAR = re.compile(r"[^\s,\]}#]+(?: [0-9]{2}:[^\s,\]}#]+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])


class _Scanner:
    def __init__(self, text: str) -> None:
        # As tomllib does; a lone CR is no line end in TOML.
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line = 1
        self._counted = 0
        self.lines: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}  # of arrays of tables

    def scan(self) -> dict[Path, int]:
        self._note(())
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _expect(self, pattern: re.Pattern[str]) -> str:
        found = self._skip(pattern)
        if not found:
            raise ValueError(f"not TOML at line {self._here()}")
        return found

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _note(self, path: Path) -> None:
        self.lines.setdefault(path, self._here())

    def _header(self) -> Path:
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._keys()
        self._at += 2 if is_array else 1
        path: Path = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            is_last = position == len(keys) - 1
            self._note(path)
            if is_last and is_array:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                # A header's key that names an array of tables means its last one.
                path = (*path, self._lengths[path] - 1)
                self._note(path)
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _key(self) -> str:
        quote = self._text[self._at]
        if quote == '"':
            return _ESCAPE.sub(_unescaped, self._expect(_BASIC)[1:-1])
        if quote == "'":
            return self._expect(_LITERAL)[1:-1]
        return self._expect(_BARE_KEY)

    def _pair(self, table: Path) -> None:
        path = table
        self._here()
        for key in self._keys():
            path = (*path, key)
            self._note(path)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        opening = self._text[self._at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening == '"':
            self._expect(_LONG_BASIC if self._text.startswith('"""', self._at) else _BASIC)
        elif opening == "'":
            self._expect(_LONG_LITERAL if self._text.startswith("'''", self._at) else _LITERAL)
        else:
            self._expect(_SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "]":
                break
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._note((*path, index))
            self._value((*path, index))
            index += 1
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_SPACE)
            if self._text[self._at] == "}":
                break
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)
        self._at += 1


def lines_of(text: str) -> dict[Path, int]:
    """Map the path of every key, table and element to its line, from 1.

    Args:
        text: a document that ``tomllib.loads`` accepts; any other gives a map of no meaning, or ValueError.
    """
    try:
        return _Scanner(text).scan()
    except IndexError:
        raise ValueError("not TOML: it ends in the middle") from None


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest table around it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]
