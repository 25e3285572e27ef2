"""A letter of authorization as a PDF to be signed (H9). The same letter and date give the same octets.

The first page says who authorizes whom, and has the room to sign; few numbers stand on it too, many on the pages after
it. Each page bears the letter's name and the digest of its terms: a page of another letter, or of another draft of this
one, cannot be put among them unseen, and a signed paper names exactly the terms that the catalog holds.

Letters are drawn by ReportLab, in Open Sans: Latin, Greek, Cyrillic and Vietnamese. A character that a font lacks is
refused by name, because a page with a box in place of a name is signed by nobody; another font can be given. Scripts
that are written from right to left or whose letters join need shaping, which ReportLab does not do: refused as well.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors, pagesizes
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from provisioning.authority import Loa, terms_digest
from provisioning.coverage import Span, size_of, spans_of, written
from provisioning.errors import BadValue

PAPERS = {"letter": pagesizes.LETTER, "a4": pagesizes.A4}

FEW_SPANS = 24  # on the first page; more go to pages of their own
MARGIN_PT = 54.0  # three quarters of an inch
_PAD_PT = 6.0  # that ReportLab's frames leave inside the margins
FOOT_PT = 66.0  # the margin with the foot in it
_ROW_PT = 11.0
_LIST_PT = 8.0
_GREY = colors.HexColor("#555555")
_WRITTEN = ("owner", "owner_address", "designee", "contact", "purpose")  # what people write, in any script
_FONT_FILES = files("ttf_opensans") / "ttf"


def draft_pdf(loa: Loa, drafted_on: str, *, paper: str = "letter", font_file: str = "") -> bytes:
    """Draw a letter for its owner to sign.

    Args:
        loa: the letter, signed or not: what it says is drawn, and empty lines for the signature.
        drafted_on: the day that stands on it, ``"2026-11-01"``.
        paper: ``"letter"`` or ``"a4"``.
        font_file: a TrueType font in place of the one that is built in.

    Returns: a PDF: one page when the numbers are few, about 600 single numbers a page otherwise.

    Raises: BadValue, naming the character that cannot be drawn, or the font that is none.
    """
    regular, bold = _fonts(font_file)
    for name in _WRITTEN:
        _check_drawable(name, getattr(loa, name), regular, bold)
    regular_name, bold_name = str(regular.fontName), str(bold.fontName)
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(bold)
    width, height = PAPERS[paper]
    spans = spans_of(loa.numbers)
    story = _first_page(loa, spans, regular_name, bold_name, width - 2 * (MARGIN_PT + _PAD_PT))
    octets = io.BytesIO()
    document = SimpleDocTemplate(
        octets,
        pagesize=(width, height),
        leftMargin=MARGIN_PT,
        rightMargin=MARGIN_PT,
        topMargin=MARGIN_PT,
        bottomMargin=FOOT_PT,
        title=f"Letter of authorization {loa.name}",
        author=loa.owner,
        subject=terms_digest(loa),
        creator="smshub",
        invariant=1,  # no time of day and no random id in the file
    )
    foot = _Foot(loa, drafted_on, regular_name, width)
    document.build(story, canvasmaker=foot.canvas)
    return octets.getvalue()


def font_files() -> tuple[str, str]:
    """Where the built-in font is: for text, and for what stands out."""
    return str(_FONT_FILES / "OpenSans-Regular.ttf"), str(_FONT_FILES / "OpenSans-SemiBold.ttf")


# --- Fonts -----------------------------------------------------------------------------------------------------------


def _fonts(font_file: str) -> tuple[TTFont, TTFont]:
    if not font_file:
        regular, bold = font_files()
        return TTFont("letter", regular), TTFont("letter-bold", bold)
    try:
        font = TTFont("letter-given", font_file)
    except (TTFError, OSError) as error:
        raise BadValue("font", font_file, f"is no TrueType font that can be used ({error})") from None
    return font, font


def _check_drawable(field: str, text: str, *fonts: TTFont) -> None:
    for character in _composed(text):
        named = f"{character!r} (U+{ord(character):04X} {unicodedata.name(character, 'without a name')})"
        if unicodedata.bidirectional(character) in ("R", "AL", "AN"):
            why = f"has {named}, which is written from right to left: the letter cannot be drawn in it"
            raise BadValue(field, text, why)
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
            raise BadValue(
                field, ascii(text), f"has U+{ord(character):04X}, which nobody would see on paper: leave it out"
            )
        if unicodedata.category(character) in ("Mn", "Mc", "Me"):
            why = f"has {named}, which joins the letter before it: the letter cannot be drawn with it"
            raise BadValue(field, text, why)
        if character != " " and any(ord(character) not in font.face.charToGlyph for font in fonts):
            why = f"has {named}, which the letter's font lacks: name a TrueType font that has it with --font FILE"
            raise BadValue(field, text, why)


def _composed(text: str) -> str:
    """With an accent and its letter as one character, as fonts have them."""
    return unicodedata.normalize("NFC", text)


# --- The first page --------------------------------------------------------------------------------------------------


def _first_page(loa: Loa, spans: Sequence[Span], regular: str, bold: str, width: float) -> list[Flowable]:
    body = ParagraphStyle("body", fontName=regular, fontSize=10, leading=14.5, spaceAfter=8)
    title = ParagraphStyle("title", fontName=bold, fontSize=18, leading=24, spaceAfter=2)
    under = ParagraphStyle("under", parent=body, textColor=_GREY, spaceAfter=12)
    head = ParagraphStyle("head", fontName=bold, fontSize=11, leading=15, spaceBefore=6, spaceAfter=4)
    told_on = f"until {loa.valid_until}, both days included" if loa.valid_until else "until it is withdrawn in writing"
    many = len(spans) > FEW_SPANS
    where = "listed on the pages that follow this one" if many else "listed below"
    story: list[Flowable] = [
        Paragraph("Letter of authorization", title),
        Paragraph(f"Letter {escape(loa.name)}", under),
        Paragraph(
            f'<font name="{bold}">{_xml(loa.owner)}</font> (the owner) is the owner of record of the telephone numbers '
            f'{where}, and authorizes <font name="{bold}">{_xml(loa.designee)}</font> (the designee) to act on its '
            "behalf for this purpose:",
            body,
        ),
        Paragraph(_xml(loa.purpose), ParagraphStyle("purpose", parent=body, leftIndent=18, rightIndent=18)),
        Paragraph(
            f"The authorization is valid from {loa.valid_from} {told_on} (UTC). It does not move the numbers to "
            "another carrier, and changes nothing about calls to them.",
            body,
        ),
        _facts(loa, spans, body, bold, width),
        Paragraph("Numbers", head),
    ]
    if many:
        story.append(Paragraph(f"{_counted(spans)}, on the pages that follow this one.", body))
        story += [Paragraph("Signature of the owner", head), _signature(regular, width), PageBreak()]
        story += [Paragraph(f"Numbers of letter {escape(loa.name)}: {_counted(spans)}", head)]
        return story + _rows(spans, regular, width)
    story += _rows(spans, regular, width)
    return [*story, Spacer(1, 8), Paragraph("Signature of the owner", head), _signature(regular, width)]


def _xml(text: str) -> str:
    return escape(_composed(text))


def _counted(spans: Sequence[Span]) -> str:
    numbers = size_of(spans)
    told = f"{numbers:,} number{'' if numbers == 1 else 's'}"
    return told if numbers == len(spans) else f"{told} in {len(spans):,} entr{'y' if len(spans) == 1 else 'ies'}"


def _facts(loa: Loa, spans: Sequence[Span], body: ParagraphStyle, bold: str, width: float) -> Table:
    small = ParagraphStyle("fact", parent=body, fontSize=9.5, leading=13, spaceAfter=0)
    named = [
        ("Owner", _xml(loa.owner)),
        ("Address", _xml(loa.owner_address)),
        ("Designee", _xml(loa.designee)),
        ("Contact at the owner", _xml(loa.contact)),
        ("Call centre", escape(loa.call_centre)),
        ("Numbers", _counted(spans)),
        ("Valid", f"{loa.valid_from} to {loa.valid_until}" if loa.valid_until else f"from {loa.valid_from}"),
    ]
    label = ParagraphStyle("label", parent=small, fontName=bold)
    rows = [[Paragraph(name, label), Paragraph(value, small)] for name, value in named if value]
    table = Table(rows, colWidths=[120, width - 120])
    table.setStyle(_ruled())
    return table


def _ruled() -> TableStyle:
    return TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ("LINEABOVE", (0, 0), (-1, 0), 0.5, _GREY),
            ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
        ]
    )


class _Signature(Flowable):
    """Four lines to write on, two and two."""

    _LINES = ("Name", "Title", "Signature", "Date")
    _LINE_PT = 38.0

    def __init__(self, font: str, width: float) -> None:
        super().__init__()
        self._font = font
        self.width = width
        self.height = 2 * self._LINE_PT

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Say how much room it takes."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw it."""
        canvas: Canvas = self.canv
        half = self.width / 2
        canvas.setFont(self._font, 8)
        canvas.setLineWidth(0.6)
        for at, label in enumerate(self._LINES):
            left, bottom = (at % 2) * half, self.height - (at // 2 + 1) * self._LINE_PT + 11
            canvas.line(left, bottom, left + half - 18, bottom)
            canvas.drawString(left, bottom - 10, label)


def _signature(font: str, width: float) -> Flowable:
    return _Signature(font, width)


# --- Numbers in columns ----------------------------------------------------------------------------------------------


class _Row(Flowable):
    """Numbers and ranges side by side."""

    def __init__(self, words: Sequence[str], columns: int, font: str, width: float) -> None:
        super().__init__()
        self._words = words
        self._columns = columns
        self._font = font
        self.width = width

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Say how much room it takes."""
        return self.width, _ROW_PT

    def draw(self) -> None:
        """Draw it."""
        canvas: Canvas = self.canv
        canvas.setFont(self._font, _LIST_PT)
        for at, words in enumerate(self._words):
            canvas.drawString(at * self.width / self._columns, 2.5, words)


def _rows(spans: Sequence[Span], font: str, width: float) -> list[Flowable]:
    words = [written(span).replace("-", " to ") for span in spans]
    columns = 3 if any(first != last for first, last in spans) else 6  # the widest range takes 150 points at 8
    return [_Row(words[at : at + columns], columns, font, width) for at in range(0, len(words), columns)]


# --- The foot of each page -------------------------------------------------------------------------------------------


class _Foot:
    """Draws the foot of every page when the number of pages is known."""

    def __init__(self, loa: Loa, drafted_on: str, font: str, width: float) -> None:
        self._left = f"Letter of authorization {loa.name}, drafted on {drafted_on}"
        self._terms = f"terms {terms_digest(loa)}"
        self._font = font
        self._left_pt = MARGIN_PT + _PAD_PT
        self._right_pt = width - self._left_pt

    def canvas(self, *arguments: Any, **settings: Any) -> Canvas:
        """Make the canvas that the document is drawn on."""
        return _Footed(self, *arguments, **settings)

    def draw(self, canvas: Canvas, page: int, pages: int) -> None:
        """Draw the foot of one page."""
        canvas.setStrokeColor(colors.lightgrey)
        canvas.setLineWidth(0.5)
        canvas.line(self._left_pt, FOOT_PT - 16, self._right_pt, FOOT_PT - 16)
        canvas.setFillColor(_GREY)
        canvas.setFont(self._font, 7.5)
        canvas.drawString(self._left_pt, FOOT_PT - 27, self._left)
        canvas.drawRightString(self._right_pt, FOOT_PT - 27, f"Page {page} of {pages}")
        canvas.setFont(self._font, 6.5)
        canvas.drawString(self._left_pt, FOOT_PT - 37, self._terms)


class _Footed(Canvas):
    """A canvas that keeps its pages until all are drawn: only then does a foot know how many there are."""

    def __init__(self, foot: _Foot, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._foot = foot
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:
        """Keep a page."""
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]

    def save(self) -> None:
        """Draw the feet and write all pages."""
        for page, state in enumerate(self._kept, 1):
            self.__dict__.update(state)
            self._foot.draw(self, page, len(self._kept))
            super().showPage()
        super().save()
