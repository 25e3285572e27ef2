"""Forms with files (multipart/form-data, RFC 7578), from octets that are in memory already. Pure."""

from __future__ import annotations

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_PARTS = 10
MAX_HEADER_OCTETS = 4_096


class BadForm(ValueError):
    """The octets are no form, or no whole one."""


class Part(msgspec.Struct):
    """One field.

    Attributes:
        name: its name.
        is_file: whether it came with a file's name.
        octets: its value.
    """

    name: str
    is_file: bool
    octets: bytes

    @property
    def text(self) -> str:
        """Its value in words. Raises: BadForm."""
        try:
            return self.octets.decode()
        except UnicodeDecodeError:
            raise BadForm(f"{self.name} is not UTF-8") from None


class _Reader:
    """Gathers parts from a parser's calls."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.is_whole = False
        self._pieces: list[bytes] = []
        self._header = [b"", b""]
        self._disposition = b""

    def on_part_begin(self) -> None:
        self._pieces, self._header, self._disposition = [], [b"", b""], b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._add(0, data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._add(1, data[start:end])

    def _add(self, which: int, octets: bytes) -> None:
        self._header[which] += octets
        if len(self._header[which]) > MAX_HEADER_OCTETS:
            raise BadForm("a part's header is too long")

    def on_header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def on_part_end(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise BadForm("a part has no name")
        if name in self.parts:
            raise BadForm(f"{name[:80]!r} is given twice")
        if len(self.parts) == MAX_PARTS:
            raise BadForm(f"has more than {MAX_PARTS} parts")
        self.parts[name] = Part(name, b"filename" in options, b"".join(self._pieces))

    def on_end(self) -> None:
        self.is_whole = True


def read_form(content_type: str, octets: bytes) -> dict[str, Part]:
    """Read a form.

    Args:
        content_type: the header, with its boundary.
        octets: the body.

    Raises: BadForm.
    """
    _, options = parse_options_header(content_type.encode("latin-1", "replace"))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046 §5.1.1
        raise BadForm("the Content-Type has no boundary, or a longer one than 70 characters")
    reader = _Reader()
    names = ("part_begin", "header_field", "header_value", "header_end", "part_data", "part_end", "end")
    parser = MultipartParser(boundary, {f"on_{name}": getattr(reader, f"on_{name}") for name in names})  # type: ignore[arg-type]
    try:
        parser.write(octets)
        parser.finalize()
    except FormParserError as error:
        raise BadForm(str(error)) from None
    if not reader.is_whole:
        raise BadForm("ends before its last boundary")
    return reader.parts
