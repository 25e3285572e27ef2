"""What a directory is to be told of a number: from what is provisioned, at one revision and on one day. Pure.

A view is made of the hub's own snapshot (``Directory``), the letters and the white lists. It may be older than the
catalog by the moment that the snapshot takes to follow; who ends a wish by it has to know that it is not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from provisioning.authority import Loa, WhiteList, is_signed
from provisioning.carrier_directory import CarrierDirectory
from provisioning.coverage import Coverage, coverage_of, spans_of
from provisioning.directories.adapter import Listing
from provisioning.directory import Directory
from provisioning.e164 import e164_of
from provisioning.publishing_rules import Publication, Standing


class _Volumes:
    """The white lists of a call centre that are valid today."""

    def __init__(self, white_lists: Iterable[WhiteList]) -> None:
        self._lists = []
        for white_list in white_lists:
            spans = spans_of(white_list.numbers)
            self._lists.append(([first for first, _ in spans], [last for _, last in spans], white_list))

    def of(self, digits: int) -> WhiteList | None:
        """The list that names a number: of several, the one with the most texts."""
        found: WhiteList | None = None
        for firsts, lasts, white_list in self._lists:
            at = bisect_right(firsts, digits) - 1
            if at < 0 or digits > lasts[at]:
                continue
            if found is None or white_list.texts_per_day > found.texts_per_day:
                found = white_list
        return found


class View(msgspec.Struct, frozen=True):
    """What is provisioned, as one reading of the catalog saw it.

    Attributes:
        directories: by name.
        listings: what is told of numbers.
    """

    directories: dict[str, CarrierDirectory]
    listings: Listings


class Listings:
    """What is to be told of each number that is published.

    Args:
        directory: the hub's snapshot.
        loas, white_lists: all that are provisioned.
        today: the day that letters and white lists are measured by, ISO 8601, UTC.

    Attributes:
        revision: the catalog's revision that it shows.
        today: as given.
    """

    def __init__(self, directory: Directory, loas: Iterable[Loa], white_lists: Iterable[WhiteList], today: str) -> None:
        self.revision = directory.revision
        self.today = today
        self._directory = directory
        self._loas = list(loas)
        self._white_lists = [each for each in white_lists if not each.valid_until or each.valid_until >= today]
        self._covered: dict[str, Coverage] = {}
        self._ever: dict[str, Coverage] = {}
        self._volumes: dict[str, _Volumes] = {}

    def standing(self, row: Publication) -> Standing:
        """Whether the hub serves a number for the call centre that its publication belongs to."""
        e164 = e164_of(row.digits)
        number = self._directory.number(e164)
        if number is not None:
            return Standing.SERVED if number.call_centre == row.call_centre else Standing.GONE
        # Whose a suspended number is nobody asks: it is withdrawn, and if it was moved, found gone when it serves.
        return Standing.SUSPENDED if self._directory.is_suspended(e164) else Standing.GONE

    def is_covered(self, row: Publication) -> bool:
        """Whether a signed letter that is valid today covers the number."""
        return self._coverage(row.call_centre).letter(row.digits) is not None

    def listing(self, row: Publication, carrier: CarrierDirectory) -> Listing:
        """What a directory is told of a number, or was told when its letter has lapsed since."""
        e164 = e164_of(row.digits)
        if row.call_centre not in self._volumes:
            mine = [each for each in self._white_lists if each.call_centre == row.call_centre]
            self._volumes[row.call_centre] = _Volumes(mine)
        number = self._directory.number(e164)
        centre = self._directory.call_centre(row.call_centre)
        loa = self._coverage(row.call_centre).letter(row.digits) or self._lapsed(row.call_centre).letter(row.digits)
        volume = self._volumes[row.call_centre].of(row.digits)
        return Listing(
            number=e164,
            real_number=self._directory.real_number(e164),
            call_centre=row.call_centre,
            title=centre.title if centre is not None else "",
            element=number.element if number is not None else "",
            loa=loa.name if loa is not None else "",
            loa_digest=loa.digest if loa is not None else "",
            network_id=carrier.network_id,
            entity_id=carrier.entity_id,
            ip_address=carrier.ip_address,
            texts_per_day=volume.texts_per_day if volume is not None else 0,
            white_list_reason=volume.reason if volume is not None else "",
        )

    def _coverage(self, call_centre: str) -> Coverage:
        if call_centre not in self._covered:
            self._covered[call_centre] = coverage_of(self._loas, call_centre, self.today)
        return self._covered[call_centre]

    def _lapsed(self, call_centre: str) -> Coverage:
        """All that was ever signed: a number is looked up by the letter that it was published under."""
        if call_centre not in self._ever:
            signed = [loa for loa in self._loas if loa.call_centre == call_centre and is_signed(loa)]
            self._ever[call_centre] = Coverage(signed)
        return self._ever[call_centre]


def bare_listing(row: Publication) -> Listing:
    """What a withdrawal tells: the number."""
    e164 = e164_of(row.digits)
    return Listing(number=e164, real_number=e164, call_centre=row.call_centre)
