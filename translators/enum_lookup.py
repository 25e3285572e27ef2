"""Looking numbers up by ENUM, beside the message path: the shell around ``enum_cache``.

An answer moves texts to another carrier, so it is believed only as far as it can be. Whatever ``trust`` says, it has to
come from the server that was asked, with the id, the port and the question that were sent (each question leaves by a
port of its own); what does not fit is waited past, so that whoever guesses wrong achieves nothing. With ``trust`` at
``signed`` it must carry a right TSIG signature of the server's, or, where there is no key, the AD bit by which a
validating resolver says that it has checked DNSSEC. That bit is no more than the word of whoever sends it: without
TSIG, the servers belong on this machine or behind a link that is trusted.

Servers are asked one after the other, the last that answered first. Nothing is kept over a restart.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import msgspec
import structlog
import trio
from dns.rdtypes.IN.NAPTR import NAPTR

from hub.enum_answers import EnumAnswer
from provisioning.enum_records import Naptr, Reading, name_of, read_records
from provisioning.publishing_tally import Sample
from translators.enum_cache import CacheRules, EnumCache, Result

PAYLOAD_OCTETS: Final = 1232  # of UDP: what fits in a packet of IPv6 wherever it goes; more comes by TCP
OUTCOMES: Final = ("hit", "nothing", "miss", "dropped")  # of ``EnumCache.counts``
LOG_S: Final = 60.0  # between two lines about failing look-ups

log = structlog.get_logger("translators.enum_lookup")


class LookupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How numbers are looked up.

    Attributes:
        servers: addresses.
        port: of UDP and TCP.
        zones: asked in order until one knows the number.
        timeout_s: how long each server is waited for.
        trust: ``"signed"`` or ``"any"``.
        key: for TSIG, or None.
        concurrency: look-ups at a time.
        per_s: look-ups begun in a second.
        rules: of the cache.
    """

    servers: tuple[str, ...]
    port: int = 53
    zones: tuple[str, ...] = ("e164.arpa",)
    timeout_s: float = 2.0
    trust: str = "signed"
    key: dns.tsig.Key | None = None
    concurrency: int = 32
    per_s: float = 100.0
    rules: CacheRules = CacheRules()


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a look-up came to.

    Attributes:
        result: how it ended.
        reading: what the records say.
        records: all that came.
        ttl_s: how long the answer holds.
        name: the domain name that answered, or was asked for last.
        server: which server's word it is; empty when none answered.
        reason: why nothing is believed; for people.
    """

    result: Result
    reading: Reading = Reading()
    records: tuple[Naptr, ...] = ()
    ttl_s: int = 0
    name: str = ""
    server: str = ""
    reason: str = ""


class EnumLookup:
    """Answers from its cache, and looks up what it is asked for. Implements ``hub.enum_answers.EnumAnswers``.

    Args:
        settings: see there.
        clock: now in microseconds UTC.
    """

    def __init__(self, settings: LookupSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._cache = EnumCache(settings.rules)
        self._wanted = trio.Event()
        self._first_server = 0
        self._results: Counter[str] = Counter()
        self._under_way = 0
        self._log_at = -LOG_S

    def answer(self, e164: str) -> EnumAnswer | None:
        """See ``EnumAnswers.answer``."""
        cache = self._cache
        found = cache.answer(e164, self._clock())
        if cache.waiting and not self._wanted.is_set():
            self._wanted.set()
        return found

    def samples(self) -> Iterator[Sample]:
        """What metrics tell of it."""
        cache = self._cache
        for result in Result:
            yield _counted(
                "lookups", "Look-ups by ENUM, by how they ended.", self._results[result], result=result.value
            )
        for outcome in OUTCOMES:
            yield _counted("cache", "Questions of the message path.", cache.counts[outcome], outcome=outcome)
        for kind, numbers in (("element", cache.known), ("nothing", cache.nothing)):
            yield Sample("smshub_enum_cached_numbers", "gauge", "Numbers remembered.", {"kind": kind}, numbers)
        yield Sample("smshub_enum_waiting_numbers", "gauge", "Numbers waiting to be looked up.", {}, cache.waiting)
        yield Sample("smshub_enum_lookups_under_way", "gauge", "Look-ups under way.", {}, self._under_way)

    async def run(self) -> None:
        """Look up what is wanted, until cancelled. A look-up that is cancelled leaves nothing behind."""
        room = trio.Semaphore(self._settings.concurrency)
        next_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            while True:
                await self._wanted.wait()
                await room.acquire()
                await trio.sleep_until(next_at)
                number = self._cache.take()
                if number is None:
                    room.release()
                    self._wanted = trio.Event()
                    continue
                next_at = max(next_at, trio.current_time()) + 1 / self._settings.per_s
                nursery.start_soon(self._settle, number, room)

    async def _settle(self, number: str, room: trio.Semaphore) -> None:
        self._under_way += 1
        try:
            looked = await self.look_up(number)
        except Exception:
            # A fault of ours, in one look-up: the others, and the daemon, must not hear of it.
            log.exception("look-up failed")
            looked = Looked(result=Result.FAILED)
        finally:
            self._under_way -= 1
            room.release()
        self._results[looked.result] += 1
        self._cache.settle(number, looked.result, looked.reading.element, looked.ttl_s, self._clock())
        if looked.result in (Result.FAILED, Result.UNTRUSTED) and trio.current_time() >= self._log_at + LOG_S:
            self._log_at = trio.current_time()
            log.warning("enum look-ups fail", result=looked.result.value, server=looked.server, reason=looked.reason)

    async def look_up(self, number: str) -> Looked:
        """Ask the servers for a number, whatever the cache holds. Raises nothing of the network's.

        Args:
            number: E.164.
        """
        looked = Looked(result=Result.ABSENT, reason="it is in none of the zones", ttl_s=2**31)
        for zone in self._settings.zones:
            name = name_of(number, zone)
            if name is None:
                continue
            found = await self._ask_any(number, name)
            if found.result is not Result.ABSENT:
                return found
            looked = msgspec.structs.replace(found, ttl_s=min(found.ttl_s, looked.ttl_s))
        return looked

    async def _ask_any(self, number: str, name: str) -> Looked:
        """Ask the servers in turn until one answers."""
        servers = self._settings.servers
        looked = Looked(result=Result.FAILED, name=name)
        first = self._first_server
        for place in (*range(first, len(servers)), *range(first)):
            looked = await self._ask(number, name, servers[place])
            if looked.result not in (Result.FAILED, Result.UNTRUSTED):
                self._first_server = place
                break
        return looked

    async def _ask(self, number: str, name: str, server: str) -> Looked:
        told = Looked(result=Result.FAILED, name=name, server=server)
        try:
            answer = await self._exchange(name, server)
        except (dns.exception.Timeout, TimeoutError):
            why = f"no answer that can be believed within {self._settings.timeout_s:g} s"
            return msgspec.structs.replace(told, reason=why)
        except (dns.exception.DNSException, EOFError, ValueError) as error:
            return msgspec.structs.replace(told, reason=f"its answer cannot be read ({type(error).__name__})")
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return msgspec.structs.replace(told, reason="this process has no file descriptors left")
            return msgspec.structs.replace(told, reason=error.strerror or str(error))
        return self._judged(number, answer, told)

    async def _exchange(self, name: str, server: str) -> dns.message.Message:
        """One question over UDP, and over TCP when its answer does not fit. Raises: DNSException, OSError, EOFError."""
        settings = self._settings
        question = dns.message.make_query(name, dns.rdatatype.NAPTR, use_edns=0, payload=PAYLOAD_OCTETS)
        question.flags |= dns.flags.AD  # RFC 6840 §5.7: tell us whether it was validated
        if settings.key is not None:
            question.use_tsig(settings.key, algorithm=settings.key.algorithm)
        backend = dns.asyncbackend.get_backend("trio")
        try:
            return await dns.asyncquery.udp(
                question,
                server,
                settings.timeout_s,
                settings.port,
                ignore_unexpected=True,
                raise_on_truncation=True,
                backend=backend,
                ignore_errors=True,
            )
        except dns.message.Truncated:
            return await dns.asyncquery.tcp(question, server, settings.timeout_s, settings.port, backend=backend)

    def _judged(self, number: str, answer: dns.message.Message, told: Looked) -> Looked:
        """What an answer to our question says, if it is to be believed."""
        code = answer.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return msgspec.structs.replace(told, reason=f"it answered {dns.rcode.to_text(code)}")
        why = self._distrust(answer)
        if why:
            return msgspec.structs.replace(told, result=Result.UNTRUSTED, reason=why)
        try:
            if not isinstance(answer, dns.message.QueryMessage):
                raise dns.exception.FormError
            chain = answer.resolve_chaining()
        except dns.exception.DNSException as error:
            return msgspec.structs.replace(told, reason=f"its answer cannot be read ({type(error).__name__})")
        if chain.answer is None:
            return msgspec.structs.replace(told, result=Result.ABSENT, ttl_s=chain.minimum_ttl)
        records = tuple(_naptr(record) for record in chain.answer if isinstance(record, NAPTR))
        reading = read_records(number, records)
        result = Result.FOUND if reading.element else Result.EMPTY
        return msgspec.structs.replace(told, result=result, reading=reading, records=records, ttl_s=chain.minimum_ttl)

    def _distrust(self, answer: dns.message.Message) -> str:
        """Why an answer is not believed; empty when it is."""
        if self._settings.key is not None:
            return "" if answer.had_tsig else "it has no TSIG signature"
        if self._settings.trust == "signed" and not answer.flags & dns.flags.AD:
            return "it is not signed: neither TSIG nor DNSSEC (trust is 'signed')"
        return ""


def _counted(name: str, text: str, value: int, **labels: str) -> Sample:
    return Sample(f"smshub_enum_{name}_total", "counter", text, labels, value)


def _naptr(record: NAPTR) -> Naptr:
    told = {field: getattr(record, field).decode("ascii", "replace") for field in ("flags", "service", "regexp")}
    return Naptr(record.order, record.preference, replacement=record.replacement.to_text()[:255], **told)
