"""What is done with letters of authorization, by the command line and the control link alike (H9).

A letter is drafted, sent to be signed, and filed: the draft is in the catalog already, and filing adds the signature
and the digest of the signed paper, whose octets go into the store in the same transaction. A letter that was made
elsewhere is filed in one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from provisioning import catalog
from provisioning.authority import (
    TERMS,
    TERMS_STAY,
    Loa,
    day_of,
    days_left,
    is_signed,
    state_of,
    terms_digest,
    with_signature,
)
from provisioning.coverage import Span, coverage_of, expiring, size_of, spans_of, without
from provisioning.errors import BadValue, Duplicate, ProvisioningError, Refused, SignedLetter
from provisioning.fields import fields_of
from provisioning.loa_documents import Document, NoDocument, file_document, filed
from provisioning.model import build
from provisioning.published import spans_of_call_centre as spans_of_call_centre
from provisioning.rows import read_keys
from store import Transaction

_DAY_US = 86_400_000_000

Outcome = Literal["added", "signed", "filed", "unchanged"]
"""``filed``: the letter was signed already, and its paper is in the store now."""


class OtherTerms(ProvisioningError):
    """A letter was drafted with other terms than are filed now: the paper that was signed says something else.

    Attributes:
        key: the letter.
        field: what differs.
    """

    def __init__(self, key: str, field: str) -> None:
        super().__init__(
            f"loa {key!r}: {field} is not what was drafted: leave it out, or change the draft first "
            "(`smshub provision loa set`) and have that signed"
        )
        self.key = key
        self.field = field


class Standing(msgspec.Struct, frozen=True):
    """How a letter stands.

    Attributes:
        state: ``"draft"``, ``"valid"``, ``"expires in 12 days"`` …
        days_left: days that it is still valid after today; None when it has no end.
        terms: the digest that is on its pages.
        numbers: how many it names.
        covered: numbers of its call centre that it names.
        foreign: numbers that it names and its call centre has not.
        not_covered: numbers of its call centre that no valid letter covers today.
        missing: these, as spans; the first of them.
        has_document: whether its signed paper is in the store.
    """

    state: str
    days_left: int | None
    terms: str
    numbers: int
    covered: int
    foreign: int
    not_covered: int
    missing: tuple[Span, ...]
    has_document: bool


def draft_letter(tx: Transaction, given: Mapping[str, Any], *, who: str, now_us: int) -> Loa:
    """Put a letter that is to be signed into the catalog, unless it is there. Idempotent.

    Args:
        tx: the transaction.
        given: the settings as in a configuration file; of a letter that is there those alone that shall be looked at.
        who, now_us: for the audit.

    Returns: the letter, as the catalog has it.

    Raises: Refused, with every wrong setting; OtherTerms and SignedLetter: it is there and says something else; as
        ``catalog.add``.
    """
    catalog.hold(tx)
    old = _letter(tx, given)
    entry = meant(tx, given)
    if old is None:
        catalog.add(tx, entry, who=who, now_us=now_us)
    elif old != entry:
        catalog.update(tx, entry, who=who, now_us=now_us)
    return entry


def meant(tx: Transaction, given: Mapping[str, Any]) -> Loa:
    """The letter that ``draft_letter`` would put into the catalog; it puts nothing there. Raises: as that."""
    return _merged(_letter(tx, given), given)


def add_letter(
    tx: Transaction, given: Mapping[str, Any], document: Document | None = None, *, who: str, now_us: int
) -> Outcome:
    """Add a letter, or file the signature under one that was drafted. Idempotent when a document comes with it.

    Args:
        tx: the transaction.
        given: the settings as in a configuration file; of a drafted letter those alone that are new.
        document: the signed paper.
        who, now_us: for the audit.

    Raises: Refused, with every wrong setting; NoDocument: a digest is given and its document is neither filed nor
        here; OtherTerms; Duplicate; as ``catalog.add``.
    """
    settings = dict(given)
    if document is not None:
        _check_same("digest", settings.setdefault("digest", document.digest), document.digest)
    catalog.hold(tx)
    old = _letter(tx, settings)
    entry = _merged(old, settings)
    # A day ahead of UTC it is already that day somewhere.
    if entry.signed_on > day_of(now_us + _DAY_US):
        raise BadValue("signed_on", entry.signed_on, "is in the future: write the day that stands on the paper")
    if document is not None and not is_signed(entry):
        raise BadValue("signed_by", "", "is missing: a signed document is filed with who signed it, and when")
    if old is not None and document is not None and is_signed(old):
        _check_same("document", document.digest, old.digest)
    known = bool(entry.digest) and bool(filed(tx, [entry.digest]))
    if document is not None:
        file_document(tx, document, now_us)
    elif entry.digest and not known:
        raise NoDocument(entry.digest, f"the document of letter {entry.name!r},")
    if old is None:
        catalog.add(tx, entry, who=who, now_us=now_us)
        return "added"
    if old == entry and document is not None:
        return "unchanged" if known else "filed"
    if is_signed(old) or not is_signed(entry):
        raise Duplicate(Loa.KIND, old.name)
    catalog.update(tx, entry, who=who, now_us=now_us)
    return "signed"


def _check_same(field: str, digest: str, wanted: str) -> None:
    if digest.lower() != wanted:
        what = "the document's" if field == "digest" else "the paper that the letter was signed on"
        raise BadValue(field, digest, f"is not {what}, which is {wanted}")


def check_filed(tx: Transaction, loa: Loa) -> None:
    """Refuse a letter whose signed paper is not in the store.

    Raises: NoDocument.
    """
    if loa.digest and not filed(tx, [loa.digest]):
        raise NoDocument(loa.digest, f"the document of letter {loa.name!r},")


def _letter(tx: Transaction, settings: Mapping[str, Any]) -> Loa | None:
    name = settings.get("name")
    return read_keys(tx, Loa, [name]).get(name) if isinstance(name, str) else None


def _merged(old: Loa | None, settings: Mapping[str, Any]) -> Loa:
    """The letter that is meant: that of the settings, over those of a draft."""
    drafted = {field.name: getattr(old, field.name) for field in fields_of(Loa)} if old is not None else {}
    entry, problems = build(Loa, {**drafted, **settings})
    if entry is None:
        raise Refused(list(enumerate(problems)))
    if old is not None:
        for name in TERMS:
            if getattr(old, name) != getattr(entry, name):
                raise SignedLetter(old.name, name, TERMS_STAY) if is_signed(old) else OtherTerms(old.name, name)
    return entry


# --- How letters stand -----------------------------------------------------------------------------------------------


def standing(tx: Transaction, loa: Loa, today: str, most_missing: int = 100) -> Standing:
    """Say how a letter stands.

    Args:
        tx: where from.
        loa: the letter.
        today: the day, UTC.
        most_missing: so many spans of what no letter covers are answered.
    """
    own = spans_of_call_centre(tx, loa.call_centre)
    named = spans_of(loa.numbers)
    missing = coverage_of(catalog.entries(tx, Loa), loa.call_centre, today).missing(own)
    foreign = size_of(without(named, own))
    return Standing(
        state=state_of(loa, today),
        days_left=days_left(loa, today),
        terms=terms_digest(loa),
        numbers=size_of(named),
        covered=size_of(named) - foreign,
        foreign=foreign,
        not_covered=size_of(missing),
        missing=tuple(missing[:most_missing]),
        has_document=bool(loa.digest) and bool(filed(tx, [loa.digest])),
    )


def notes(tx: Transaction, named: Iterable[Loa], today: str) -> list[str]:
    """What an operator should know of the letters of the catalog, and of those that a file names: ``notes_on``."""
    known = {loa.name: loa for loa in catalog.entries(tx, Loa)}
    for loa in named:
        known[loa.name] = with_signature(known.get(loa.name, loa), loa)
    return notes_on(known.values(), filed(tx, [loa.digest for loa in known.values() if loa.digest]), today)


def notes_on(loas: Iterable[Loa], filed_digests: set[str], today: str) -> list[str]:
    """What an operator should know of letters: those whose paper is not in the store, and those that expire.

    Args:
        loas: all letters.
        filed_digests: which of their documents are in the store.
        today: the day, UTC.
    """
    known = sorted(loas, key=lambda loa: loa.name)
    notes = [
        f"loa {loa.name}: its signed document {loa.digest} is not in the store: file it with "
        f"`smshub provision loa add {loa.name} --document FILE`"
        for loa in known
        if loa.digest and loa.digest not in filed_digests
    ]
    for loa in expiring(known, today):
        left = days_left(loa, today) or 0
        when = f"expired on {loa.valid_until}" if left < 0 else f"{state_of(loa, today)} ({loa.valid_until})"
        notes.append(f"loa {loa.name} of call centre {loa.call_centre} {when}: add the letter that follows it")
    return notes
