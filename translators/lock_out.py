"""Lock-out: who may have a password looked at after too many wrong ones. Pure; time is an argument, memory is bounded.

A lock must hinder whoever guesses and nobody else: a lock on a name alone lets anybody lock an account's owner out, a
lock on an address alone hits all who share one. So what counts is the pair, and two wider counts make it stricter:

| what failed | how often | what follows, for ``lock_us`` |
| --- | --- | --- |
| one account from one address | ``after`` in a row | that pair is locked |
| one account from anywhere | ``SIEGE`` times ``after`` in that time | a pair is locked by a single failure |
| anything from one address | ``PEER_FAILURES`` | that address is locked, but for pairs that were right before |

So a right password gets in from an address that has never failed, whatever others do; during a siege each address has
one guess. "In a row" outlives the lock: the failure after it locks again, and only a right password begins anew.

Who hangs up while a password is looked at counts for its address as well: a hash costs the same whether anybody
waits for it or not.

An address is the IPv4 address, or the /64 of an IPv6 one, which is what one customer of a network has. A name that
nobody has counts for its address alone: names are free, and a count for each would be room that strangers rent.

What is forgotten first is what was asked for longest ago.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar

import msgspec

from smpp.admission import source_of

ENTRIES: Final = 10_000  # pairs, and addresses, remembered: some 300 octets each
SIEGE: Final = 5
PEER_FAILURES: Final = 50  # several ESMEs behind one address may all be wrong at once
GOOD_US: Final = 86_400_000_000  # an account that bound from there within a day is no stranger

K = TypeVar("K")


class LockRules(msgspec.Struct, frozen=True):
    """What holds for one account.

    Attributes:
        after: wrong passwords in a row that lock; 0 for never.
        lock_us: for how long.
    """

    after: int = 10
    lock_us: int = 300_000_000


class _Record:
    """One pair, address or account.

    Attributes:
        failures: in a row for a pair, in the time that began at ``since_us`` for the others.
        locked_until_us, good_until_us: as named, 0 for not at all.
    """

    __slots__ = ("failures", "good_until_us", "locked_until_us", "since_us")

    def __init__(self) -> None:
        self.failures = 0
        self.since_us = 0
        self.locked_until_us = 0
        self.good_until_us = 0

    def count(self, now_us: int, over_us: int) -> int:
        """One more failure. Returns: how many there were in this time."""
        if now_us - self.since_us > over_us:
            self.failures, self.since_us = 0, now_us
        self.failures += 1
        return self.failures


class LockOut:
    """The failures of one hub's ports."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Record] = OrderedDict()
        self._peers: OrderedDict[str, _Record] = OrderedDict()
        self._accounts: dict[str, _Record] = {}
        self._known: OrderedDict[str, int] = OrderedDict()  # address → until when somebody was right there

    def __len__(self) -> int:
        return len(self._pairs) + len(self._peers) + len(self._accounts)

    def admits(self, account: str, address: str, rules: LockRules, now_us: int) -> bool:
        """Whether a password may be looked at. Any thread may ask.

        Args:
            account: its system_id, empty for a name that nobody has.
            address: the peer's.
            rules: the account's.
            now_us: now.
        """
        if not rules.after:
            return True
        peer = source_of(address)
        pair = self._pairs.get((account, peer)) if account else None
        if pair is not None and now_us < pair.locked_until_us:
            return False
        if pair is not None and now_us < pair.good_until_us:
            return True
        record = self._peers.get(peer)
        return record is None or now_us >= record.locked_until_us

    def failed(self, account: str, address: str, rules: LockRules, now_us: int) -> bool:
        """A password was wrong. Arguments as above. Returns: whether a lock begins by it."""
        if not rules.after:
            return False
        key = source_of(address)
        locks = False
        if account:
            siege = self._accounts.setdefault(account, _Record()).count(now_us, rules.lock_us) > SIEGE * rules.after
            pair = self._touch(self._pairs, (account, key))
            pair.failures += 1
            if pair.failures >= (1 if siege else rules.after):
                locks = now_us >= pair.locked_until_us
                pair.locked_until_us = now_us + rules.lock_us
        peer = self._touch(self._peers, key)
        if peer.count(now_us, rules.lock_us) >= PEER_FAILURES:
            locks = locks or now_us >= peer.locked_until_us
            peer.locked_until_us = now_us + rules.lock_us
        return locks

    def succeeded(self, account: str, address: str, now_us: int) -> None:
        """A password was right. The account's and the address's other failures stay: they were somebody else's."""
        pair = self._touch(self._pairs, (account, source_of(address)))
        pair.failures = 0
        pair.locked_until_us = 0
        pair.good_until_us = now_us + GOOD_US
        peer = source_of(address)
        self._known[peer] = now_us + GOOD_US
        self._known.move_to_end(peer)
        if len(self._known) > ENTRIES:
            self._known.popitem(last=False)

    def is_good(self, account: str, address: str, now_us: int) -> bool:
        """Whether this account has bound from this address within a day."""
        pair = self._pairs.get((account, source_of(address))) if account else None
        return pair is not None and now_us < pair.good_until_us

    def knows(self, address: str, now_us: int) -> bool:
        """Whether any account has bound from this address within a day."""
        return now_us < self._known.get(source_of(address), 0)

    @staticmethod
    def _touch(records: OrderedDict[K, _Record], key: K) -> _Record:
        """A key's record, made when there is none, and now the last that is forgotten."""
        record = records.get(key)
        if record is None:
            record = records[key] = _Record()
            if len(records) > ENTRIES:
                records.popitem(last=False)
        else:
            records.move_to_end(key)
        return record
