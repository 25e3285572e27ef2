"""Letters of authorization over HTTP: the draft to be signed, the signed paper, and how a letter stands (H9)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import trio
from starlette.responses import Response

from ops.api.call import Call, in_thread, json_response, known_only
from ops.api.entries import key_in_path, owned_or_404
from ops.api.forms import BadForm, read_form
from ops.api.problems import FieldError, Problem, field_error
from provisioning import Loa, catalog
from provisioning.coverage import written
from provisioning.errors import BadValue
from provisioning.letters import add_letter, standing
from provisioning.loa_documents import MAX_OCTETS, document, read_document
from provisioning.loa_pdf import PAPERS, draft_pdf
from store import Transaction

MAX_BODY_OCTETS = MAX_OCTETS * 4 // 3 + 65_536  # in base64, with what stands around it

_MEMBERS = ("signed_by", "signed_on", "document")
_uploads = trio.CapacityLimiter(4)  # each holds its paper in memory


def _letter(tx: Transaction, call: Call) -> Loa:
    key, _ = key_in_path(Loa, call.path)
    found = owned_or_404(tx, Loa, key, call.call_centre)
    if not isinstance(found, Loa):
        raise TypeError(type(found))
    return found


async def draw_draft(call: Call) -> Response:
    """The letter as a PDF to be signed."""
    letter = await call.read(lambda tx: _letter(tx, call))
    paper = call.query.get("paper") or "letter"
    try:
        octets = await in_thread(lambda: draft_pdf(letter, call.today, paper=paper))
    except BadValue as error:
        raise Problem(409, f"the letter cannot be drawn: {error}") from None
    return Response(
        octets, 200, {"Content-Disposition": f'attachment; filename="{letter.name}.pdf"'}, "application/pdf"
    )


async def show_standing(call: Call) -> Response:
    """How a letter stands."""
    found = await call.read(lambda tx: standing(tx, _letter(tx, call), call.today))
    return json_response(
        {
            "state": found.state,
            "days_left": found.days_left,
            "terms": found.terms,
            "numbers": found.numbers,
            "covered": found.covered,
            "not_covered": found.not_covered,
            "missing": [written(span) for span in found.missing],
            "has_document": found.has_document,
        }
    )


async def file_signed(call: Call) -> Response:
    """File the signed paper under a letter that was drafted."""
    async with _uploads:
        signed_by, signed_on, octets = await _signed(call)
        try:
            paper = await in_thread(lambda: read_document(octets))
        except BadValue as error:
            raise Problem(422, error.why, [field_error(error)]) from None

        def work(tx: Transaction) -> str:
            catalog.hold(tx)
            letter = _letter(tx, call)
            given = {"name": letter.name, "signed_by": signed_by, "signed_on": signed_on}
            return add_letter(tx, given, paper, who=call.who, now_us=call.now_us)

        outcome = await call.transact(work)
    return json_response({"outcome": outcome, "digest": paper.digest})


async def _signed(call: Call) -> tuple[str, str, bytes]:
    """Who signed, when, and the paper: from a form with a file, or JSON with base64."""
    if call.media_type == "multipart/form-data":
        given = _from_form(call.header("content-type"), await call.body(MAX_BODY_OCTETS))
    elif call.media_type == "application/json":
        given = await call.json(MAX_BODY_OCTETS)
        known_only(given, *_MEMBERS)
        given["document"] = _decoded(given.get("document"))
    else:
        raise Problem(415, "send JSON, or a form with a file (multipart/form-data)")
    missing = [name for name in ("signed_by", "signed_on") if not isinstance(given.get(name), str) or not given[name]]
    if missing:
        raise Problem(422, "say who signed, and when", [FieldError(f"/{name}", "is missing") for name in missing])
    return given["signed_by"], given["signed_on"], given["document"]


def _from_form(content_type: str, octets: bytes) -> dict[str, Any]:
    try:
        parts = read_form(content_type, octets)
        known_only(parts, *_MEMBERS)
        given: dict[str, Any] = {name: part.text for name, part in parts.items() if name != "document"}
    except BadForm as error:
        raise Problem(400, f"is no form: {error}") from None
    paper = parts.get("document")
    if paper is None or not paper.is_file:
        raise Problem(422, "the file is missing", [FieldError("/document", "must be a file")])
    return {**given, "document": paper.octets}


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        why = "must be the file in base64"
        raise Problem(422, why, [FieldError("/document", why)]) from None


async def show_document(call: Call) -> Response:
    """The signed paper."""

    def work(tx: Transaction) -> tuple[str, bytes]:
        letter = _letter(tx, call)
        if not letter.digest:
            raise Problem(404, f"loa {letter.name!r} is not signed yet")
        found = document(tx, letter.digest)
        return found.media_type, found.octets

    media_type, octets = await call.read(work)
    # Never shown in a browser's own context: it is what somebody uploaded.
    return Response(octets, 200, {"Content-Disposition": "attachment"}, media_type)


def read_paper(words: str, field: str) -> str:
    """Read the size of paper.

    Raises: BadValue.
    """
    if words not in PAPERS:
        raise BadValue(field, words, f"must be one of {', '.join(sorted(PAPERS))}")
    return words
