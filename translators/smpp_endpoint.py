"""What links and accounts have in common: an endpoint over any number of SMPP sessions. A thin trio shell.

For each session two tasks run beside the session's own: one takes the peer's requests to the hub and answers them when
the journal has them, one takes the peer's answers to the hub. A third, for the endpoint as a whole, reports what could
not be written and wakes the hub when a brake comes off.

A session's inbox is bounded, and a batch is journalled before the next is taken: a peer that is faster than the journal
fills its inbox and is throttled by the session.

Requests are worked off in the order in which they came: a cancel_sm finds the text that was submitted just before it.
What is asked of texts, and how it is answered, is in ``translators.smpp_requests``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import msgspec
import structlog
import trio

from hub.endpoint import Road
from hub.model import (
    Accepted,
    Arrival,
    Effect,
    Message,
    Outcome,
    Part,
    Result,
    Verdict,
)
from smpp import pdu as p
from smpp.constants import VERSION_3_4, CommandStatus, EsmClass, RegisteredDelivery, status_name
from smpp.errors import SmppError
from smpp.events import Answer, Lost
from smpp.log_lines import LogLines
from smpp.session import Session, SessionEnded
from smpp.states import State
from store import StoreError
from translators import smpp_elements, smpp_messages, smpp_requests
from translators.pace import Pace
from translators.smpp_addresses import address_of
from translators.smpp_dialect import DATA_SM, TO_FIT
from translators.smpp_messages import BadMessage, Dialect, MessagePdu

FULL_WAIT_US = 5_000_000  # a part that found a queue full: a handset that is away has its own for hours

log = structlog.get_logger("translators.smpp")

_FINAL = int(RegisteredDelivery.FINAL)

_UDHI = int(EsmClass.UDHI)
_MESSAGES = frozenset((p.SubmitSm, p.DeliverSm, p.DataSm))


class Group(Protocol):
    """A group that an endpoint carries parts for, beside its own: see ``translators.smpp_groups``."""

    @property
    def name(self) -> str:
        """Its endpoint's."""

    async def settle(self, link: str, outcomes: Sequence[Outcome]) -> None:
        """Report what became of the group's parts."""

    def freed(self) -> None:
        """There is room, or a session has come or gone."""


class SmppEndpoint:
    """An endpoint over SMPP sessions; links and accounts are made of it.

    Args:
        name: the endpoint's name.
        road: the hub.
        dialect: how the peer writes SMPP.
        make: SubmitSm towards a carrier, DeliverSm towards an ESME.
        clock: now in microseconds.
        gap_us, source_gap_us, validity_us, max_attempts: see ``hub.endpoint.Endpoint``.
        per_s: messages a second towards the peer, 0 for no limit.
    """

    def __init__(
        self,
        name: str,
        road: Road,
        dialect: Dialect,
        make: type[p.SubmitSm] | type[p.DeliverSm],
        *,
        clock: Callable[[], int],
        gap_us: int,
        validity_us: int,
        max_attempts: int,
        source_gap_us: int = 0,
        per_s: float = 0.0,
    ) -> None:
        self.name = name
        self._make = make
        self._to_esme = make is p.DeliverSm
        self.gap_us = gap_us
        self.source_gap_us = source_gap_us
        self.validity_us = validity_us
        self.max_attempts = max_attempts
        self.sessions: list[Session] = []  # bound, of either kind
        self._carriers: list[Session] = []  # those that take what we deliver
        self._speak(dialect)
        self._road = road
        self._groups: dict[str, Group] = {}  # by endpoint
        self._clock = clock
        self._pace = Pace(per_s)
        self._throttled = self._full = self._lost = 0  # of the answers being looked at
        self._unsent: list[Outcome] = []
        self._chores = trio.Event()  # something could not be written
        self._brakes = trio.Event()  # a brake is on
        self._paced_anew = trio.Event()
        self._untold: Counter[str] = Counter()  # refused, and no line of the log says so yet
        self._to_tell = trio.Event()
        self._lines = LogLines(per_s=1.0)
        self._faults: Counter[str] = Counter()  # of sessions that are over, and of messages that were refused

    def _speak(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._data_sm = not self._to_esme and dialect.submit_with == DATA_SM
        self._fits = dialect.transliterate == TO_FIT

    def keep_to(
        self,
        dialect: Dialect,
        *,
        gap_us: int,
        validity_us: int,
        max_attempts: int,
        source_gap_us: int = 0,
        per_s: float = 0.0,
    ) -> None:
        """Keep to other settings from now on; arguments as when it was made. The hub is to be told of it."""
        self._speak(dialect)
        self.gap_us, self.source_gap_us = gap_us, source_gap_us
        self.validity_us, self.max_attempts = validity_us, max_attempts
        self._pace.agree(per_s)
        self._paced_anew.set()
        self._wake()

    # --- hub.endpoint.Endpoint ---------------------------------------------------------------------------------------

    def split(self, message: Message) -> Sequence[Any]:
        """See ``hub.endpoint.Endpoint``."""
        return smpp_messages.write_messages(message, self.dialect, self._make)

    def room(self) -> int:
        """See ``hub.endpoint.Endpoint``."""
        carriers = self._carriers
        room = carriers[0].room if len(carriers) == 1 else sum([session.room for session in carriers])
        if room and self._pace.is_on:
            now_us = self._clock()
            room = min(room, self._pace.allowance(now_us))
            if room < 1:
                self._brakes.set()
                return 0
        return room

    def deliver(self, parts: Sequence[Part]) -> None:
        """See ``hub.endpoint.Endpoint``."""
        self._pace.spend(len(parts))
        at = 0
        for session in sorted(self._carriers, key=lambda s: -s.room) if len(self._carriers) > 1 else self._carriers:
            batch = parts[at : at + session.room] if at or len(parts) > session.room else parts
            if not batch:
                break
            try:
                session.submit(
                    self._data_sms(session, batch) if self._data_sm else [(part.payload, part) for part in batch]
                )
            except SmppError as error:
                log.info("session took nothing", endpoint=self.name, error=type(error).__name__)
                continue
            at += len(batch)
        if at < len(parts):
            self._unsent += [Outcome(part, Result.UNSENT) for part in parts[at:]]
            self._chores.set()

    def _data_sms(self, session: Session, parts: Sequence[Part]) -> list[tuple[p.PDU, Part]]:
        """Parts as data_sm, with the time that each has left; as submit_sm to an SMSC that has no data_sm."""
        if session.version < VERSION_3_4:
            write = smpp_messages.as_submit_sm
            return [
                (
                    write(part.payload, part.message, self.dialect)
                    if isinstance(part.payload, p.DataSm)
                    else part.payload,
                    part,
                )
                for part in parts
            ]
        if not self.dialect.send_validity:
            return [(part.payload, part) for part in parts]
        now_us, timed = self._clock(), smpp_messages.with_time_to_live
        return [
            (timed(part.payload, part.message, now_us) if isinstance(part.payload, p.DataSm) else part.payload, part)
            for part in parts  # what was begun as submit_sm, before the link was told to use data_sm, ends so
        ]

    def rate_limit(self) -> float:
        """Parts a second that may be sent now, by agreement or because the peer was sent too many; 0 for no limit."""
        return self._pace.limit(self._clock()) if self._pace.is_on else 0.0

    @property
    def is_bound(self) -> bool:
        """Whether a session is there that takes what we deliver, be it full or not."""
        return bool(self._carriers)

    def join(self, group: Group) -> None:
        """Carry parts for a group as well."""
        self._groups[group.name] = group

    def leave(self, group: str) -> None:
        """Carry no parts for a group any more, once all that it gave has come back."""
        self._groups.pop(group, None)

    def faults(self) -> Mapping[str, int]:
        """What peers did wrong since the start: word → how often.

        The words are those of ``smpp.connection.Connection.counts`` and, for messages that cannot be taken as they
        are, the names of the statuses they were answered with. Beside them ``transliterated`` counts the texts that
        were sent in other characters than their authors wrote, because the peer's alphabets asked for it.
        """
        faults = Counter(self._faults)
        for session in self.sessions:
            faults.update(session.connection.counts)
        return faults

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def serve(self, session: Session, *, carries: bool) -> None:
        """Work with a bound session until it is over; all that it owes has then been reported.

        Args:
            session: bound and running.
            carries: whether it takes what we deliver (a transmitter of a link, a receiver of an account).
        """
        self.sessions.append(session)
        if carries:
            self._carriers.append(session)
            session.may_submit = self._road.may_give
            self._wake()
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_answers, session)
                try:
                    await self._take_requests(session)
                except Exception as error:
                    # A fault of ours ends the session, but not before what was submitted has come back: a part
                    # without an outcome would hold up its lane until the daemon is started again.
                    failure = error
                    session.close()
        finally:
            self.sessions.remove(session)
            self._faults.update(session.connection.counts)
            if carries:
                self._carriers.remove(session)
                for group in self._groups.values():
                    group.freed()  # it may be another's turn now
        if failure is not None:
            raise failure

    def _wake(self) -> None:
        """Tell those who give us parts that there is room."""
        self._road.wake(self.name)
        for group in self._groups.values():
            group.freed()

    async def _report(self, outcomes: Sequence[Outcome]) -> None:
        """Report what became of parts, to the hub or to the group that gave them."""
        if not self._groups:
            await self._road.report(self.name, outcomes)
            return
        own = [outcome for outcome in outcomes if outcome.part.message.endpoint == self.name]
        if len(own) < len(outcomes):
            for name, group in list(self._groups.items()):
                given = [outcome for outcome in outcomes if outcome.part.message.endpoint == name]
                if given:
                    await group.settle(self.name, given)
        if own:
            await self._road.report(self.name, own)
        self._wake()  # what one of the two gave made room for both

    async def settle_unsent(self) -> None:
        """Report what could not be written, at the end of a life whose chores are not done any more."""
        unsent, self._unsent = self._unsent, []
        if unsent:
            await self._report(unsent)

    async def do_chores(self) -> None:
        """Report what could not be written, wake the hub when a brake comes off. Runs until cancelled."""
        async with trio.open_nursery() as nursery:  # the one does not wait for the other
            nursery.start_soon(self._report_unsent)
            nursery.start_soon(self._wake_after_brakes)
            nursery.start_soon(self._tell_late)

    async def _report_unsent(self) -> None:
        while True:
            await self._chores.wait()
            self._chores = trio.Event()
            await self.settle_unsent()

    async def _wake_after_brakes(self) -> None:
        while True:
            await self._brakes.wait()
            now_us = self._clock()
            self._paced_anew = trio.Event()
            with trio.move_on_after(max(0.001, (self._pace.next_us(now_us) - now_us) / 1e6)):
                await self._paced_anew.wait()
            self._brakes = trio.Event()
            self._wake()

    async def _tell_late(self) -> None:
        """Write what was refused while there were lines enough: in one line a second."""
        while True:
            await self._to_tell.wait()
            await trio.sleep(1.0)
            self._to_tell = trio.Event()
            self._tell_refused()

    async def _take_requests(self, session: Session) -> None:
        try:
            while True:
                requests = await session.receive_requests()
                await self._take(session, requests)
        except SessionEnded:
            return

    async def _take(self, session: Session, requests: Sequence[p.PDU]) -> None:
        if all(map(_MESSAGES.__contains__, map(type, requests))):
            await self._take_messages(session, requests)
            return
        for kind, run in groupby(requests, lambda request: p.SubmitSm if type(request) in _MESSAGES else type(request)):
            if kind is p.SubmitSm:
                await self._take_messages(session, list(run))
            else:
                await self._take_others(session, kind, list(run))

    async def _take_messages(self, session: Session, requests: Sequence[Any]) -> None:
        now_us = self._clock()
        arrivals: list[Arrival] = []
        answered: list[p.PDU] = []
        asked: list[p.PDU] = []
        refused: list[str] = []
        alerts = False
        for request in requests:
            try:
                arrival = self._read(request, now_us)
                if self._to_esme and (request.tlvs or request.data_coding or request.esm_class & _UDHI):
                    arrival = smpp_requests.completed(request, arrival)
                    alerts |= smpp_requests.WANTS_ALERT in arrival.attributes
                self._permit(request, arrival, now_us)
            except BadMessage as error:
                answered.append(_response(request, error.command_status))
                refused.append(status_name(error.command_status))
            else:
                arrivals.append(arrival)
                asked.append(request)
        if answered:
            session.respond(answered)
        if refused:
            session.note_chatter(len(refused))
            self._note_refused(refused)
        if arrivals:
            verdicts = await self._road.receive(self.name, arrivals)
            version = session.version
            unwanted = len([verdict for verdict in verdicts if type(verdict) is not Accepted])
            if unwanted:
                session.note_chatter(unwanted)
            session.respond([_answer(r, verdict, version) for r, verdict in zip(asked, verdicts, strict=True)])
            if alerts:
                self._expect_alerts(arrivals, verdicts)

    def _note_refused(self, statuses: Sequence[str]) -> None:
        self._faults.update(statuses)
        self._untold.update(statuses)
        if self._lines.may_say("refused", trio.current_time()):
            self._tell_refused()
        else:
            self._to_tell.set()

    def _tell_refused(self) -> None:
        if self._untold:
            log.info("messages refused", endpoint=self.name, statuses=dict(self._untold))
            self._untold.clear()

    def _expect_alerts(self, arrivals: Sequence[Arrival], verdicts: Sequence[Verdict]) -> None:
        for arrival, verdict in zip(arrivals, verdicts, strict=True):
            if isinstance(verdict, Accepted) and smpp_requests.WANTS_ALERT in arrival.attributes:
                self._road.expect_alert(self.name, arrival.destination, arrival.source)

    def _read(self, pdu: MessagePdu, now_us: int) -> Arrival:
        """What a PDU brings. Raises: BadMessage."""
        tag = self.dialect.element_tlv
        if tag and pdu.tlvs and smpp_elements.is_bad(pdu, tag):
            self._faults[smpp_elements.BAD_ELEMENT] += 1
        return smpp_messages.read_message(pdu, self.dialect, now_us)

    def _permit(self, pdu: MessagePdu, arrival: Arrival, now_us: int) -> None:
        """Let an arrival pass. Raises: BadMessage."""

    # --- requests about messages, and to several ---------------------------------------------------------------------

    async def _take_others(self, session: Session, kind: type[p.PDU], requests: Sequence[Any]) -> None:
        """Answer requests of one kind that are no messages."""
        if kind is p.AlertNotification:  # has no answer
            for alert in requests:
                self._road.alert(
                    self.name, address_of(alert.source_addr_ton, alert.source_addr, self.dialect.country_code)
                )
            log.info("handsets can be reached again", endpoint=self.name, alerts=len(requests))
        elif kind is p.QuerySm:
            session.respond(await self._answer_queries(requests, session.peer_version))
        else:
            for request in requests:  # one by one: each sees what the one before it did
                session.respond([await self._answer_other(request, session.peer_version)])

    async def _answer_other(self, request: p.PDU, peer_version: int) -> p.PDU:
        try:
            if isinstance(request, p.CancelSm):
                return await self._cancel(request)
            if isinstance(request, p.ReplaceSm):
                return await self._replace(request)
            if isinstance(request, p.SubmitMulti):
                return await self._submit_multi(request)
        except StoreError as error:
            log.warning("the store refused a request", endpoint=self.name, error=type(error).__name__)
            return smpp_requests.failed(request, CommandStatus.ESME_RSYSERR)
        except BadMessage as error:
            self._note_refused([status_name(error.command_status)])
            return smpp_requests.failed(request, error.command_status)
        if type(request) in smpp_requests.BROADCAST_FAILURES:
            return smpp_requests.broadcast_failed(request, peer_version)
        return smpp_requests.failed(request, CommandStatus.ESME_RINVCMDID)

    async def _answer_queries(self, requests: Sequence[p.QuerySm], peer_version: int) -> list[p.PDU]:
        names = [smpp_requests.name_of(request, self.dialect.country_code) for request in requests]
        try:
            found = iter(await self._road.query(self.name, [name for name in names if name is not None]))
        except StoreError as error:
            log.warning("the store refused queries", endpoint=self.name, error=type(error).__name__)
            return [smpp_requests.failed(request, CommandStatus.ESME_RSYSERR) for request in requests]
        fates = [next(found) if name is not None else None for name in names]
        return [smpp_requests.query_answer(r, fate, peer_version) for r, fate in zip(requests, fates, strict=True)]

    async def _cancel(self, request: p.CancelSm) -> p.PDU:
        if not request.message_id:
            country_code = self.dialect.country_code
            destination = address_of(request.dest_addr_ton, request.destination_addr, country_code)
            if not destination:
                raise BadMessage(CommandStatus.ESME_RINVDSTADR)
            source = address_of(request.source_addr_ton, request.source_addr, country_code)
            cancelled = await self._road.cancel_all(self.name, source, destination, request.service_type)
            return smpp_requests.effect_answer(request, Effect.DONE if cancelled else Effect.IMPOSSIBLE)
        name = smpp_requests.name_of(request, self.dialect.country_code)
        effect = await self._road.cancel(self.name, name) if name is not None else Effect.UNKNOWN
        return smpp_requests.effect_answer(request, effect)

    async def _replace(self, request: p.ReplaceSm) -> p.PDU:
        name = smpp_requests.name_of(request, self.dialect.country_code)
        if name is None:
            return smpp_requests.effect_answer(request, Effect.UNKNOWN)
        now_us = self._clock()

        def rewrite(message: Message) -> Message:
            submitted = smpp_requests.as_submitted(request, message)
            arrival = msgspec.structs.replace(
                self._read(submitted, now_us), source=message.source, destination=message.destination
            )
            self._permit(submitted, arrival, now_us)
            return smpp_requests.replaced(message, arrival, request, now_us)

        return smpp_requests.effect_answer(request, await self._road.replace(self.name, name, rewrite))

    async def _submit_multi(self, request: p.SubmitMulti) -> p.PDU:
        smpp_requests.check_multi(request)
        now_us = self._clock()
        arrivals: list[Arrival] = []
        recipients: list[p.SmeAddress] = []
        refused: list[p.UnsuccessSme] = []
        for to in request.dest_address:
            if isinstance(to, p.DistributionList):
                refused.append(smpp_requests.unsuccessful(to, CommandStatus.ESME_RINVDLNAME))
                continue
            submit = smpp_requests.single(request, to)
            try:
                arrival = smpp_requests.completed(submit, self._read(submit, now_us))
                self._permit(submit, arrival, now_us)
            except BadMessage as error:
                refused.append(smpp_requests.unsuccessful(to, error.command_status))
            else:
                arrivals.append(arrival)
                recipients.append(to)
        message_id = ""
        if arrivals:
            verdicts = await self._road.receive_as_one(self.name, arrivals)
            for to, verdict in zip(recipients, verdicts, strict=True):
                if isinstance(verdict, Accepted):
                    message_id = str(verdict.message_id)
                else:
                    refused.append(smpp_requests.unsuccessful(to, smpp_requests.status_of(verdict)))
            self._expect_alerts(arrivals, verdicts)
        if refused:
            self._note_refused([status_name(sme.error_status_code) for sme in refused])
        return smpp_requests.multi_answer(request, message_id, tuple(refused))

    def alert(self, address: str, sender: str) -> bool:
        """See ``hub.endpoint.TakesAlerts``."""
        for session in self._carriers if self._to_esme else ():
            if session.state in (State.BOUND_RX, State.BOUND_TRX) and session.peer_version >= VERSION_3_4:
                try:
                    session.send(smpp_requests.alert_notification(address, sender))
                except SmppError as error:
                    log.info("session took no alert", endpoint=self.name, error=type(error).__name__)
                else:
                    return True
        return False

    # --- answers -----------------------------------------------------------------------------------------------------

    async def _take_answers(self, session: Session) -> None:
        try:
            while True:
                answers = await session.receive_answers()
                self._throttled = self._full = self._lost = 0
                outcomes = [self._outcome(answer) for answer in answers]
                self._slow_down(len(outcomes))
                await self._report(outcomes)
        except SessionEnded:
            return

    def _slow_down(self, answers: int) -> None:
        """Let the peer's answers say how fast it wants to be sent to."""
        throttled, full, lost = self._throttled, self._full, self._lost
        in_flight = 0
        if throttled or full:
            in_flight = sum([session.connection.unanswered for session in self._carriers])
            self._brakes.set()
        taken = answers - throttled - full - lost
        self._pace.answered(taken, throttled, self._clock(), full=full, lost=lost, in_flight=in_flight)

    def _outcome(self, answer: Answer) -> Outcome:
        part, response = answer.key, answer.response
        if response is None:
            self._lost += 1
            if answer.lost is Lost.UNSENT or answer.lost is Lost.NOT_BOUND:  # nobody has taken it: no doubt
                return Outcome(part, Result.UNSENT)
            if answer.lost is Lost.UNENCODABLE:
                return Outcome(part, Result.REFUSED, reason="cannot-be-encoded")
            return Outcome(part, Result.IN_DOUBT, reason=str(answer.lost))
        status = response.command_status
        result = smpp_messages.result_of(status)
        if result is Result.ACCEPTED:
            if isinstance(response, p.GenericNack):
                return Outcome(part, Result.IN_DOUBT, reason="generic_nack")
            carrier_id = getattr(response, "message_id", "")
            awaited = self._awaits_receipt(part, carrier_id)
            note = self._note(part) if self._fits and part.number == part.total else ""
            return Outcome(part, Result.ACCEPTED, carrier_id, reason=note, receipt_expected=awaited, via=self.name)
        if result is Result.THROTTLED and status == CommandStatus.ESME_RMSGQFUL:
            self._full += 1
            return Outcome(part, result, reason=status_name(status), retry_after_us=FULL_WAIT_US)
        if result is Result.THROTTLED:
            self._throttled += 1
        return Outcome(part, result, reason=status_name(status))

    def _note(self, part: Part) -> str:
        """What is to be known of how a message was sent, when its last part has been taken."""
        if not smpp_messages.is_transliterated(part.message, self.dialect):
            return ""
        self._faults[smpp_messages.TRANSLITERATED] += 1
        return smpp_messages.TRANSLITERATED

    def _awaits_receipt(self, part: Part, carrier_id: str) -> bool:
        """Whether a receipt is to be waited for: one that is sent only on failure may never come."""
        return bool(carrier_id) and part.payload.registered_delivery == _FINAL


def _response(request: p.PDU, command_status: int, message_id: str = "", tlvs: p.TLVs = ()) -> p.PDU:
    if isinstance(request, p.SubmitSm):
        return p.SubmitSmResp(
            command_status=command_status, sequence_number=request.sequence_number, message_id=message_id, tlvs=tlvs
        )
    if isinstance(request, p.DeliverSm):
        return p.DeliverSmResp(command_status=command_status, sequence_number=request.sequence_number, tlvs=tlvs)
    return p.DataSmResp(
        command_status=command_status, sequence_number=request.sequence_number, message_id=message_id, tlvs=tlvs
    )


def _answer(request: p.PDU, verdict: Verdict, version: int) -> p.PDU:
    if isinstance(verdict, Accepted):
        return _response(request, 0, str(verdict.message_id))
    tlvs = smpp_requests.details_of(verdict, request, version)
    return _response(request, smpp_requests.status_of(verdict), tlvs=tlvs)
