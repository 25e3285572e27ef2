"""Which alphabets could carry a text, the plainest first.

The theory
    *Plainness.* Where two alphabets need equally many parts, the plainer is taken: septets without a header; septets
    behind the fewest shift tables; octets; 16-bit units. Octet alphabets come after national tables, because there
    are none on the radio interface: an SMSC makes UCS-2 of them, or puts their characters into others. Among equals
    the peer's default comes first, then what its setting names first.

    *Tables.* A peer that reads the tables of a language reads its locking table, its single shift table, or both, and
    the default tables in the place of either; one that reads two languages may be sent the locking table of one and
    the single shift table of the other (3GPP TS 23.038 §6.2.1.2.1 names them apart). With all languages that makes 182
    pairs. Most need no look: with one locking table all single shift tables that carry the text cost the same, an
    escape for each character that the locking table lacks, so one of them is enough.

Sources: 3GPP TS 23.038 §6.2.1; 3GPP TS 23.040 §9.2.3.24.15, .16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Final

from smpp.alphabet import GSM7, Alphabet, SeptetAlphabet, septet_alphabet
from smpp.alphabet_tables import ESCAPE, LOCKING_SHIFT, SINGLE_SHIFT, UNDEFINED

_BASIC: Final = {locking: frozenset(table) - {UNDEFINED, table[ESCAPE]} for locking, table in LOCKING_SHIFT.items()}
_EXTENSION: Final = {single: frozenset(table.values()) for single, table in SINGLE_SHIFT.items()}


class Repertoire:
    """The alphabets that a peer may be given. Immutable.

    Args:
        allowed: as its setting names them.
        default: what data_coding 0 means to it; of account only where ``allowed`` has it.

    Attributes:
        plain: septet alphabets without a header, the plainest first.
        wider: alphabets of octets and 16-bit units, the plainest first.
        has_tables: whether there are national tables among them.
        bare: those without a header that a text is tried in before tables are, the plainest first. Not the default
            alphabet of septets: it is tried before all others anyway.
    """

    def __init__(self, allowed: Sequence[Alphabet], default: Alphabet) -> None:
        once = list(dict.fromkeys(allowed))
        ordered = sorted(once, key=lambda alphabet: (alphabet.unit_bits, alphabet is not default))
        national = [a for a in once if isinstance(a, SeptetAlphabet) and a.shift_elements]
        self.allowed = tuple(once)
        self.default = default
        self.plain = tuple(a for a in ordered if a.unit_bits == 7 and not a.shift_elements)
        self.wider = tuple(a for a in ordered if a.unit_bits > 7)
        self.has_tables = bool(national)
        bare = self.plain if national else self.plain + self.wider
        self.bare = tuple(a for a in bare if a is not default or a.unit_bits > 7)
        self._named = {(a.locking, a.single): a for a in national}
        self._locking = tuple(dict.fromkeys([0, *(a.locking for a in national)]))
        self._single = tuple(dict.fromkeys([0, *(a.single for a in national)]))
        tables = [_BASIC[locking] for locking in self._locking] + [_EXTENSION[single] for single in self._single]
        self._characters = frozenset[str]().union(*tables) if national else frozenset[str]()

    def national(self, text: str) -> list[SeptetAlphabet]:
        """The alphabets of national tables that carry a text, the plainest first; one for each locking table."""
        characters = set(text)
        if not characters <= self._characters:
            return []
        found: list[SeptetAlphabet] = []
        for locking in self._locking:
            missing = characters - _BASIC[locking]
            for single in self._singles_beside(locking):
                if missing <= _EXTENSION[single]:
                    found.append(self._pair(locking, single))
                    break
        found.sort(key=lambda alphabet: len(alphabet.shift_elements))
        return found

    @cached_property
    def every(self) -> tuple[Alphabet, ...]:
        """All there are, each pair of tables included, the default and then the plainest first."""
        pairs = [self._pair(locking, single) for locking in self._locking for single in self._singles_beside(locking)]
        found = dict.fromkeys([*self.plain, *(pairs if self.has_tables else ()), *self.wider])
        key = lambda a: (a is not self.default, a.unit_bits, len(a.shift_elements))  # noqa: E731
        return tuple(sorted(found, key=key))

    def _pair(self, locking: int, single: int) -> SeptetAlphabet:
        return self._named.get((locking, single)) or septet_alphabet(locking, single)

    def _singles_beside(self, locking: int) -> list[int]:
        """The single shift tables for a locking table: none, its own language's, the others in their order.

        Beside the default locking table, none at all would be the default alphabet, which is here by its own name or
        not at all.
        """
        own = [locking] if locking in self._single else []
        return list(dict.fromkeys([0, *own, *self._single] if locking else self._single[1:]))


def lacking(alphabet: Alphabet, characters: frozenset[str]) -> frozenset[str]:
    """Those of some characters that an alphabet does not carry."""
    if isinstance(alphabet, SeptetAlphabet):
        return characters - _BASIC[alphabet.locking] - _EXTENSION[alphabet.single]
    return frozenset([character for character in characters if not alphabet.encodable(character)])


@lru_cache(maxsize=1024)
def _repertoire(allowed: tuple[Alphabet, ...], default: Alphabet) -> Repertoire:
    return Repertoire(allowed, default)


def repertoire(allowed: Sequence[Alphabet], default: Alphabet = GSM7) -> Repertoire:
    """The repertoire of a peer that may be given these alphabets."""
    return _repertoire(tuple(allowed), default)
