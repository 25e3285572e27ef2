"""Publishing by ENUM: NAPTR records put into a zone by DNS UPDATE (RFC 2136), signed with TSIG, and looked up again.

Beside a number's NAPTR records stands a TXT record that tells whose they are (``enum_records.Owner``). A claim and its
check are one: an update carries as prerequisite that the name is not in use at all, or that its TXT records are still
what they were when they were looked at, and the server does all of it or nothing.

One update carries many numbers, and one of them can make all of it fail. So:

1. all of a chunk are claimed as if nobody had them (or taken out as they were published);
2. when the server says that this is wrong of some, each is looked up: what is there already is done, what another has
   is a conflict, and what is ours is changed under the prerequisite that it has not changed since;
3. an update that still fails is halved until it is known which number it was;
4. whatever was written is looked up, by a signed question to the primary itself. Only that makes a number ACTIVE.

So publishing twice is publishing once: the second finds its own records and writes nothing.

A server refuses an update because of one number, or because it takes none now (a frozen zone, a key without rights);
the code is the same. An empty update tells the two apart: the first is REFUSED, the second is tried again LATER.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import msgspec
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.NAPTR import NAPTR

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Answer, Finding, Task
from provisioning.directories.primary import Fault, Primary
from provisioning.enum_records import Naptr, Owner, is_same_hub, marker_of, name_of, owner_of, records_of, shown
from provisioning.errors import BadValue

CHUNK: Final = 100  # numbers in an update: some 45 KiB of the 64 that a message holds
REASON_CHARACTERS: Final = 200

_IN_USE = frozenset({dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN})
_TOO_LONG = dns.rcode.NOTZONE  # stands for an update too long to send: it is halved as one with a name of no zone is
_DIVIDED = _IN_USE | {dns.rcode.REFUSED, dns.rcode.NOTZONE}
_SAYS = {
    dns.rcode.SERVFAIL: "the server failed (SERVFAIL)",
    dns.rcode.NOTAUTH: "the server is not the primary of this zone, or the key may not change it (NOTAUTH)",
    dns.rcode.NOTIMP: "the server takes no updates (NOTIMP)",
    dns.rcode.FORMERR: "the server does not understand the update (FORMERR)",
}


class _Plan(msgspec.Struct):
    """What a task comes to in the zone."""

    place: int
    number: str
    name: dns.name.Name
    naptrs: frozenset[NAPTR]
    marker: TXT


class _Standing(msgspec.Struct, frozen=True):
    """What the zone holds at a name.

    Attributes:
        naptrs, texts: the records.
        ttl_s: of the NAPTR records.
        owner: as the marker says; None without one.
        marker: the marker's record.
        is_elsewhere: the name is delegated to another server, or an alias.
    """

    naptrs: frozenset[dns.rdata.Rdata] = frozenset()
    texts: frozenset[dns.rdata.Rdata] = frozenset()
    ttl_s: int = 0
    owner: Owner | None = None
    marker: dns.rdata.Rdata | None = None
    is_elsewhere: bool = False

    @property
    def is_free(self) -> bool:
        """Whether nobody has said anything there."""
        return not (self.naptrs or self.owner or self.is_elsewhere)


class _Step(msgspec.Struct, frozen=True):
    """One number's part of an update: bring it from a standing to its plan, or away.

    Attributes:
        plan: the number.
        seen: what stands there and must stand there still; None: the name must not be in use.
        removes: take it out, and put nothing in.
    """

    plan: _Plan
    seen: _Standing | None
    removes: bool = False


class EnumAdapter:
    """Publishes numbers in a zone.

    Args:
        directory: a directory with the adapter ``enum``.
        environ: where a secret in a variable is looked up. The secret is read anew for each call: it can be changed.

    Raises: UnreadableSecret; BadValue: the secret is no base64.

    Source: RFC 6116, RFC 2136, RFC 8945 (H5).
    """

    def __init__(self, directory: CarrierDirectory, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._zone = dns.name.from_text(directory.zone)
        self._key = _key_of(directory, environ)
        self._primary = Primary(directory.server, directory.port, self._key, directory.timeout_s)
        self._hub = directory.entity_id or directory.tsig_name
        self._answers: dict[int, Answer] = {}
        self._was_reached = False  # in this call
        self._broken = ""  # why the server is not asked any more in this call

    def close(self) -> None:
        """Hang up."""
        self._primary.close()

    def publish(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``Adapter.publish``. Raises: OSError."""
        written = self._carried_out(self._planned(tasks), lambda plan: _Step(plan, None), self._claims)
        self._confirmed(written, just_written=True)
        return self._taken(tasks)

    def withdraw(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``Adapter.withdraw``. Raises: OSError."""
        removed = self._carried_out(self._planned(tasks, removes=True), _as_published, self._removals)
        for chunk in _chunks(removed):
            for plan, standing in zip(chunk, self._look_up(chunk), strict=True):
                self._answers[plan.place] = self._after_removal(standing)
        return self._taken(tasks)

    def confirm(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``Adapter.confirm``. Raises: OSError."""
        self._confirmed(self._planned(tasks), just_written=False)
        return self._taken(tasks)

    # --- plans and answers -------------------------------------------------------------------------------------------

    def _planned(self, tasks: Sequence[Task], *, removes: bool = False) -> list[_Plan]:
        """The tasks that the server is to be asked of; the others are answered."""
        key = _key_of(self._directory, self._environ)
        if key != self._key:
            self._primary.close()
            self._key = key
            self._primary = Primary(self._directory.server, self._directory.port, key, self._directory.timeout_s)
        self._answers, self._was_reached, self._broken = {}, False, ""
        plans = []
        directory = self._directory
        for place, task in enumerate(tasks):
            listing = task.listing
            name = _name(listing.number, directory.zone)
            if name is None:
                why = f"zone {directory.zone!r} is not for this number"
                self._answers[place] = Answer(Finding.ABSENT if removes else Finding.REFUSED, why)
                continue
            try:
                records = records_of(
                    listing.number,
                    directory.gateway,
                    element=listing.element,
                    network_id=listing.network_id,
                    entity_id=listing.entity_id,
                    ip_address=listing.ip_address,
                )
            except BadValue as problem:
                if not removes:
                    self._answers[place] = Answer(
                        Finding.REFUSED, shown(f"{problem.field} {problem.why}", REASON_CHARACTERS)
                    )
                    continue
                records = ()
            marker = _txt(marker_of(Owner(self._hub, listing.call_centre)))
            naptrs = frozenset(map(_naptr, records))
            plans.append(_Plan(place, listing.number, name, naptrs, marker))
        return plans

    def _taken(self, tasks: Sequence[Task]) -> list[Answer]:
        answers, self._answers = self._answers, {}
        return [answers[place] for place in range(len(tasks))]

    def _later(self, plans: Sequence[_Plan], reason: str) -> None:
        for plan in plans:
            self._answers[plan.place] = Answer(Finding.LATER, shown(reason, REASON_CHARACTERS))

    # --- updates -----------------------------------------------------------------------------------------------------

    def _carried_out(
        self,
        plans: Sequence[_Plan],
        supposed: Callable[[_Plan], _Step],
        looked_at: Callable[[Sequence[_Plan]], list[_Step]],
    ) -> list[_Plan]:
        """Change numbers by what is supposed to stand there, or where that is wrong, by what does.

        Returns: what was changed; the others are answered.
        """
        changed: list[_Plan] = []
        for chunk in _chunks(plans):
            code = self._sent([supposed(plan) for plan in chunk])
            if code == dns.rcode.NOERROR:
                changed += chunk
            elif isinstance(code, Fault) or code not in _DIVIDED:
                self._later(chunk, _reason(code))
            else:
                changed += self._apply(looked_at(chunk))
        return changed

    def _removals(self, plans: Sequence[_Plan]) -> list[_Step]:
        """What has to be taken out of numbers of which some are not as they were published; the others are answered."""
        steps = []
        for plan, standing in zip(plans, self._look_up(plans), strict=True):
            if isinstance(standing, Fault):
                self._later([plan], standing.reason)
            elif standing.owner is None or not is_same_hub(standing.owner, self._hub):
                gone = "" if standing.is_free else "what stands there is another owner's"
                self._answers[plan.place] = Answer(Finding.ABSENT, gone)
            else:
                steps.append(_Step(plan, standing, removes=True))
        return steps

    def _claims(self, plans: Sequence[_Plan]) -> list[_Step]:
        """What has to be written of numbers of which some are in use; the others are answered."""
        steps = []
        for plan, standing in zip(plans, self._look_up(plans), strict=True):
            if isinstance(standing, Fault):
                self._later([plan], standing.reason)
            elif standing.is_free:
                steps.append(_Step(plan, None))
            elif standing.owner is None or not is_same_hub(standing.owner, self._hub):
                self._answers[plan.place] = self._found(plan, standing)
            elif self._is_there(plan, standing) and standing.ttl_s == self._directory.ttl_s:
                self._answers[plan.place] = Answer(Finding.ACTIVE)
            else:
                steps.append(_Step(plan, standing))
        return steps

    def _apply(self, steps: Sequence[_Step]) -> list[_Plan]:
        """Carry steps out, halving what fails. Returns: what was written; the others are answered."""
        written: list[_Plan] = []
        takes_updates: bool | None = None
        pending = [steps] if steps else []
        while pending:
            part = pending.pop()
            code = self._sent(part)
            plans = [step.plan for step in part]
            if code == dns.rcode.NOERROR:
                written += plans
                continue
            if code == dns.rcode.REFUSED and takes_updates is None:
                takes_updates = self._sent([]) == dns.rcode.NOERROR
            if isinstance(code, Fault) or code not in _DIVIDED or (code == dns.rcode.REFUSED and not takes_updates):
                for other in pending:
                    plans += [step.plan for step in other]
                pending.clear()
                whole = "the server refuses every update: may the key update the zone, is it frozen? (REFUSED)"
                self._later(plans, whole if code == dns.rcode.REFUSED else _reason(code))
            elif len(part) > 1:
                pending += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                self._answers[plans[0].place] = _singled_out(part[0], code)
        return written

    def _sent(self, steps: Sequence[_Step]) -> dns.rcode.Rcode | Fault:
        """The code of the answer to an update."""
        try:
            [answer] = self._asked([self._update(steps)])
        except dns.exception.TooBig:
            if len(steps) > 1:
                return _TOO_LONG
            return Fault("what stands at its name does not fit in an update")
        return answer if isinstance(answer, Fault) else answer.rcode()

    def _asked(self, messages: Sequence[dns.message.Message]) -> list[dns.message.Message | Fault]:
        """Ask the server, unless it fell silent in this call already: each silence takes ``timeout_s``."""
        if self._broken:
            return [Fault(self._broken)] * len(messages)
        try:
            answers = self._primary.ask(messages)
        except OSError as error:
            if not self._was_reached:
                raise
            self._broken = f"the server cannot be reached any more: {error.strerror or error}"
            return [Fault(self._broken)] * len(messages)
        self._was_reached = True
        if not self._primary.is_open:
            self._broken = next((answer.reason for answer in reversed(answers) if isinstance(answer, Fault)), "")
        return answers

    def _update(self, steps: Sequence[_Step]) -> dns.update.UpdateMessage:
        update = dns.update.UpdateMessage(self._zone)
        ttl_s = self._directory.ttl_s
        for step in steps:
            name, seen = step.plan.name, step.seen
            if seen is None:
                update.absent(name)
            else:
                for text in seen.texts:
                    update.present(name, text)
                update.delete(name, dns.rdatatype.NAPTR)
                if seen.marker is not None:
                    update.delete(name, seen.marker)
            if not step.removes:
                for naptr in step.plan.naptrs:
                    update.add(name, ttl_s, naptr)
                update.add(name, ttl_s, step.plan.marker)
        return update

    # --- look-ups ----------------------------------------------------------------------------------------------------

    def _confirmed(self, plans: Sequence[_Plan], *, just_written: bool) -> None:
        for chunk in _chunks(plans):
            doubtful = self._unseen(chunk) if just_written else chunk
            for plan, standing in zip(doubtful, self._look_up(doubtful), strict=True):
                if not isinstance(standing, Fault):
                    self._answers[plan.place] = self._found(plan, standing)
                elif just_written:
                    reason = f"it was taken and could not be looked up: {standing.reason}"
                    self._answers[plan.place] = Answer(Finding.SUBMITTED, shown(reason, REASON_CHARACTERS))
                else:
                    self._later([plan], standing.reason)

    def _unseen(self, plans: Sequence[_Plan]) -> list[_Plan]:
        """Those whose records are not seen to be there; the others are ACTIVE.

        For what was just written: one signed update wrote records and owner, so that one question tells of both.
        """
        unseen = []
        answers = self._asked([_question(plan.name, dns.rdatatype.NAPTR) for plan in plans])
        for plan, answer in zip(plans, answers, strict=True):
            records = _records(answer, plan.name, "NAPTR")
            if (
                not isinstance(answer, Fault)
                and answer.flags & dns.flags.AA
                and frozenset(records or ()) == plan.naptrs
            ):
                self._answers[plan.place] = Answer(Finding.ACTIVE)
            else:
                unseen.append(plan)
        return unseen

    def _look_up(self, plans: Sequence[_Plan]) -> list[_Standing | Fault]:
        """What the zone holds at the names of numbers."""
        if not plans:
            return []
        kinds = (dns.rdatatype.NAPTR, dns.rdatatype.TXT)
        questions = [_question(plan.name, kind) for plan in plans for kind in kinds]
        answers = self._asked(questions)
        pairs = zip(plans, answers[::2], answers[1::2], strict=True)
        return [self._standing(plan, naptr, text) for plan, naptr, text in pairs]

    def _standing(
        self, plan: _Plan, naptr: dns.message.Message | Fault, text: dns.message.Message | Fault
    ) -> _Standing | Fault:
        for answer in (naptr, text):
            if isinstance(answer, Fault):
                return answer
            if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return Fault(f"it answered {dns.rcode.to_text(answer.rcode())} to a look-up")
            if _is_elsewhere(answer, plan.name):
                return _Standing(is_elsewhere=True)
            if not answer.flags & dns.flags.AA:
                return Fault("it answered a look-up without authority: is it the primary of this zone?")
            if answer.flags & dns.flags.TC:
                return Fault("it cut an answer to a look-up short")
        naptrs, texts = _records(naptr, plan.name, "NAPTR"), _records(text, plan.name, "TXT")
        owner = marker = None
        for record in texts or ():
            owner = owner_of([octets.decode("ascii", "replace") for octets in record.strings])
            if owner is not None:
                marker = record
                break
        return _Standing(frozenset(naptrs or ()), frozenset(texts or ()), naptrs.ttl if naptrs else 0, owner, marker)

    def _is_there(self, plan: _Plan, standing: _Standing) -> bool:
        return standing.naptrs == plan.naptrs and standing.marker == plan.marker

    def _found(self, plan: _Plan, standing: _Standing) -> Answer:
        """How a number stands by what the zone holds."""
        if standing.is_elsewhere:
            return Answer(Finding.CONFLICT, "the name is delegated to another name server, or an alias")
        if standing.owner is not None and is_same_hub(standing.owner, self._hub):
            return Answer(Finding.ACTIVE if self._is_there(plan, standing) else Finding.DIFFERS)
        if standing.owner is not None:
            return Answer(Finding.CONFLICT, f"the owner is {shown(standing.owner.hub, 80)!r}")
        if standing.naptrs:
            return Answer(Finding.CONFLICT, "there are records of an owner who is not told")
        return Answer(Finding.ABSENT)

    def _after_removal(self, standing: _Standing | Fault) -> Answer:
        if isinstance(standing, Fault):
            return Answer(Finding.SUBMITTED, shown(f"it was taken out, not looked up: {standing.reason}", 200))
        if standing.owner is not None and is_same_hub(standing.owner, self._hub):
            return Answer(Finding.LATER, "it was taken out and is there again")
        return Answer(Finding.ABSENT)


def _key_of(directory: CarrierDirectory, environ: Mapping[str, str]) -> dns.tsig.Key:
    """The key as it is now. Raises: UnreadableSecret, BadValue."""
    if directory.tsig_secret is None:
        raise BadValue("tsig_secret", None, "is missing: updates are signed")
    try:
        secret = b64decode(directory.tsig_secret.reveal(environ), validate=True)
    except (binascii.Error, ValueError):
        raise BadValue("tsig_secret", "***", "is no base64: give the secret as tsig-keygen prints it") from None
    if not secret:
        raise BadValue("tsig_secret", "***", "is empty")
    return dns.tsig.Key(dns.name.from_text(directory.tsig_name), secret, f"{directory.tsig_algorithm}.")


def _chunks(plans: Sequence[_Plan]) -> Iterator[Sequence[_Plan]]:
    for start in range(0, len(plans), CHUNK):
        yield plans[start : start + CHUNK]


def _name(number: str, zone: str) -> dns.name.Name | None:
    """A number's name; None when the zone is for others, or its own name leaves no room for numbers."""
    words = name_of(number, zone)
    try:
        return None if words is None else dns.name.from_text(words)
    except dns.name.NameTooLong:
        return None


def _as_published(plan: _Plan) -> _Step:
    """Take a number out that is supposed to be as it was published."""
    return _Step(plan, _Standing(texts=frozenset({plan.marker}), marker=plan.marker), removes=True)


def _naptr(record: Naptr) -> NAPTR:
    strings = (record.flags.encode(), record.service.encode(), record.regexp.encode())
    return NAPTR(  # type: ignore[no-untyped-call]
        dns.rdataclass.IN,
        dns.rdatatype.NAPTR,
        record.order,
        record.preference,
        *strings,
        dns.name.from_text(record.replacement),
    )


def _txt(strings: Sequence[str]) -> TXT:
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [text.encode() for text in strings])


def _question(name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.QueryMessage:
    question = dns.message.make_query(name, kind)
    question.flags &= ~dns.flags.RD  # the primary itself is asked, not whom it would ask
    return question


def _records(answer: dns.message.Message | Fault, name: dns.name.Name, kind: str) -> dns.rrset.RRset | None:
    if isinstance(answer, Fault):
        return None
    return answer.get_rrset(answer.answer, name, dns.rdataclass.IN, dns.rdatatype.from_text(kind))


def _is_elsewhere(answer: dns.message.Message, name: dns.name.Name) -> bool:
    if any(rrset.rdtype in (dns.rdatatype.CNAME, dns.rdatatype.DNAME) for rrset in answer.answer):
        return True
    is_referral = any(rrset.rdtype == dns.rdatatype.NS and name.is_subdomain(rrset.name) for rrset in answer.authority)
    return is_referral and not answer.answer and not answer.flags & dns.flags.AA


def _singled_out(step: _Step, code: dns.rcode.Rcode) -> Answer:
    """The answer to the one number that makes an update fail."""
    if code in _IN_USE and step.seen is None:
        return Answer(Finding.CONFLICT, "the name is in use by records of another kind, or was claimed this moment")
    if code in _IN_USE:
        return Answer(Finding.LATER, "its records changed while they were looked at")
    return Answer(Finding.REFUSED, f"the server refuses this number ({dns.rcode.to_text(code)})")


def _reason(code: dns.rcode.Rcode | Fault) -> str:
    if isinstance(code, Fault):
        return code.reason
    return _SAYS.get(code, f"the server answered {dns.rcode.to_text(code)}")
