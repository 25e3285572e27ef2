"""What gives the right to provision: letters of authorization (H9), white lists (H7). Pure, immutable.

See ``model`` for what the annotations are for, ``coverage`` for what a letter covers.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from typing import Annotated, Any, ClassVar

import msgspec

from provisioning import syntax
from provisioning.errors import BadValue, SignedLetter
from provisioning.fields import spec

TERMS = ("name", "call_centre", "owner", "designee", "purpose", "numbers", "valid_from", "valid_until")
"""What a signature stands under: of a signed letter these never change."""

TERMS_STAY = "and its terms do not change: add a new letter, and remove this one"

WARN_DAYS = 30  # a new letter goes to be signed by post, and back
MAX_RANGES = 20_000  # a letter that lists each number by itself; the store keeps it as one row

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def read_digest(text: str, field: str) -> str:
    """Check a document's digest: ``sha256:`` and 64 hexadecimal digits."""
    if not _DIGEST.fullmatch(text.lower()):
        raise BadValue(field, text, "write 'sha256:' and 64 hexadecimal digits, as `sha256sum FILE` prints them")
    return text.lower()


class Loa(msgspec.Struct, frozen=True, kw_only=True):
    """A letter of authorization: who lets whom provision which numbers, what for, and how long (H9)."""

    KIND: ClassVar[str] = "loa"

    name: Annotated[str, spec("Its name in commands and logs.", key=True, read=syntax.read_name)]
    call_centre: Annotated[str, spec("The call centre whose numbers it covers.", read=syntax.read_name)]
    owner: Annotated[str, spec("Who authorizes: the numbers' owner of record.", minimum=1, maximum=200)]
    owner_address: Annotated[str, spec("The owner's postal address.", maximum=300)] = ""
    designee: Annotated[str, spec("Who is authorized: the hub's operator.", minimum=1, maximum=200)]
    contact: Annotated[str, spec("Whom to ask at the owner: name, telephone, email.", minimum=1, maximum=200)]
    purpose: Annotated[str, spec("What the designee may do.", minimum=1, maximum=500)] = (
        "enable text messaging on the numbers listed, and publish them in carrier and industry directories"
    )
    numbers: Annotated[
        tuple[str, ...],
        spec("Numbers and ranges that it covers: '+16175550100', '+16175550001-+16175559999'.", read=syntax.read_range),
    ]
    valid_from: Annotated[str, spec("First day of its validity, '2026-11-01' (UTC).", read=syntax.read_day)]
    valid_until: Annotated[
        str, spec("Last day of its validity (UTC); without end when not given.", read=syntax.read_day)
    ] = ""
    signed_by: Annotated[
        str, spec("Who signed it; not signed yet when empty, and then it covers nothing.", maximum=200)
    ] = ""
    signed_on: Annotated[str, spec("The day it was signed.", read=syntax.read_day)] = ""
    digest: Annotated[
        str,
        spec(
            "Of the signed document: 'sha256:' and its digest. The file itself is kept in the store.", read=read_digest
        ),
    ] = ""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


class WhiteList(msgspec.Struct, frozen=True, kw_only=True):
    """Volume exceptions of numbers: published to directories, and honoured by the hub's own traps (H7)."""

    KIND: ClassVar[str] = "white-list"

    name: Annotated[str, spec("Its name in commands and logs.", key=True, read=syntax.read_name)]
    call_centre: Annotated[str, spec("The call centre whose numbers it names.", read=syntax.read_name)]
    numbers: Annotated[
        tuple[str, ...], spec("Numbers and ranges, as in a letter of authorization.", read=syntax.read_range)
    ]
    texts_per_day: Annotated[
        int, spec("Volume to expect of each number.", unit="texts", minimum=1, maximum=100_000_000)
    ] = 10_000
    reason: Annotated[str, spec("Why so many, in words for carriers.", maximum=200)] = ""
    valid_until: Annotated[str, spec("Last day (UTC); without end when not given.", read=syntax.read_day)] = ""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


def check_loa(loa: Loa) -> list[BadValue]:
    """Check what the settings of a letter say of each other."""
    problems = []
    if not loa.numbers:
        problems.append(BadValue("numbers", [], "name one number or range at least"))
    if len(loa.numbers) > MAX_RANGES:
        problems.append(BadValue("numbers", f"{len(loa.numbers)} entries", f"at most {MAX_RANGES}: write ranges"))
    if loa.valid_until and loa.valid_until < loa.valid_from:
        problems.append(BadValue("valid_until", loa.valid_until, f"is before valid_from, {loa.valid_from}"))
    if bool(loa.signed_by) != bool(loa.signed_on):
        missing = "signed_on" if loa.signed_by else "signed_by"
        problems.append(BadValue(missing, "", "is missing: a signed letter has both signed_by and signed_on"))
    if loa.signed_by and not loa.digest:
        problems.append(BadValue("digest", "", "is missing: a signed letter is known by its document's digest"))
    return problems


def check_white_list(white_list: WhiteList) -> list[BadValue]:
    """Check what the settings of a white list say of each other."""
    if not white_list.numbers:
        return [BadValue("numbers", [], "name one number or range at least")]
    if len(white_list.numbers) > MAX_RANGES:
        return [BadValue("numbers", f"{len(white_list.numbers)} entries", f"at most {MAX_RANGES}: write ranges")]
    return []


def is_signed(loa: Loa) -> bool:
    """True when it is signed, from whichever day it is valid."""
    return bool(loa.signed_by)


def is_valid(loa: Loa, today: str) -> bool:
    """True when it is signed and covers its numbers on this day, ``"2026-11-01"`` (UTC)."""
    return is_signed(loa) and loa.valid_from <= today and (not loa.valid_until or today <= loa.valid_until)


def days_left(loa: Loa, today: str) -> int | None:
    """Days after this one on which a letter is still valid; below 0 when it has expired, None when it has no end."""
    if not loa.valid_until:
        return None
    return (datetime.date.fromisoformat(loa.valid_until) - datetime.date.fromisoformat(today)).days


def state_of(loa: Loa, today: str, within_days: int = WARN_DAYS) -> str:
    """Where a letter stands, in words: ``draft``, ``not yet valid``, ``valid``, ``expires in N days``, ``expired``."""
    left = days_left(loa, today)
    if left is not None and left < 0:
        return "expired"
    if not is_signed(loa):
        return "draft"
    if today < loa.valid_from:
        return "not yet valid"
    if left is None or left > within_days:
        return "valid"
    return "expires today" if left == 0 else f"expires in {left} day{'' if left == 1 else 's'}"


def terms_of(loa: Loa) -> dict[str, Any]:
    """What a signature stands under."""
    return {name: getattr(loa, name) for name in TERMS}


def terms_digest(loa: Loa) -> str:
    """A name of a letter's terms, which is on each page of its draft: ``sha256:`` and 64 hexadecimal digits.

    Two letters have one digest when all their terms are equal to the letter. Made of JSON with sorted keys, so that
    others can make it too.
    """
    return "sha256:" + hashlib.sha256(msgspec.json.encode(terms_of(loa), order="sorted")).hexdigest()


def check_change(old: Loa, new: Loa) -> None:
    """Refuse what would make a signature stand under other words than were signed.

    Raises: SignedLetter.
    """
    if not is_signed(old):
        return
    if not is_signed(new):
        raise SignedLetter(old.name, "signed_by", "and a signature is not taken back: remove the letter")
    for name in TERMS:
        if getattr(old, name) != getattr(new, name):
            raise SignedLetter(old.name, name, TERMS_STAY)


def with_signature(old: Loa, new: Loa) -> Loa:
    """Keep the signature of a letter that a file goes on naming as the draft that it was.

    Else a letter that is drafted in the file, and signed by a command, would be refused when the file is read again.
    """
    if not is_signed(old) or is_signed(new) or terms_of(old) != terms_of(new):
        return new
    return msgspec.structs.replace(new, signed_by=old.signed_by, signed_on=old.signed_on, digest=old.digest)


def day_of(now_us: int) -> str:
    """The day of an instant, UTC, as letters are dated: ``"2026-11-22"``."""
    return datetime.datetime.fromtimestamp(now_us / 1e6, datetime.UTC).date().isoformat()
