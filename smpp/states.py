"""The states of an SMPP session, and what each PDU means in each of them.

A session has two ends, the ESME and the SMSC, and one state, named for what the *ESME* is bound as: an SMSC in BOUND_RX
talks to a receiver. (SMPP 3.4 §2.2, SMPP 5.0 §2.3.)

    OPEN ──bind──▶ BOUND_TX │ BOUND_RX │ BOUND_TRX ──unbind──▶ UNBOUND ──▶ CLOSED
      └──outbind──▶ OUTBOUND ──bind──▶ BOUND_…

- OPEN: there is a connection and nothing else. An answer to a bind that is still awaited leaves the state OPEN.
- OUTBOUND: the SMSC has connected to the ESME and asked it, with outbind, to bind.
- UNBOUND: one side has unbound and the other has seen it. What was asked before may still be answered.
- CLOSED: nothing is sent or understood any more.

Our own unbind does not end the BOUND state: until unbind_resp comes the peer does not know of it, and its requests are
to be answered as before. An end that stops answering there has the peer deliver the same again after its next bind.

Two tables, one for each role, say what a PDU *received* means; they are total over state × PDU. What may be *sent* is
read from the other role's table: exactly what the peer would not refuse. Where the standards leave a choice:

- enquire_link outside BOUND: SMPP 3.4 table 2-1 has it in BOUND_* only; real ESMEs send it on a bare connection to see
  whether it lives, and take silence as a fault. It is answered in every state but CLOSED, and never sent before a bind.
- unbind outside BOUND is answered as well: an ESME whose bind was refused often says goodbye.
- replace_sm: SMPP 3.4 table 2-1 prints BOUND_TX alone. A transceiver is transmitter and receiver in one (§2.2), so
  BOUND_TRX has it as well.
- data_sm goes both ways in every BOUND state (SMPP 3.4 table 2-1), so a receiver may send it.
- the answer to outbind is bind_receiver (SMPP 3.4 §4.1.7); SMPP 5.0 table 2-1 lets an ESME bind as anything then.
- a second bind: ESME_RALYBND, "ESME Already in Bound State" (SMPP 3.4 §5.1.3), not the general ESME_RINVBNDSTS.
- a response is never answered, in whatever state: an error for an answer could start an exchange without end. It is
  matched by its sequence number, or counted.
- alert_notification and outbind have no response (SMPP 3.4 §4.12, §4.1.7): in a wrong state they are counted.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum

from smpp.pdu import (
    PDU,
    AlertNotification,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    BroadcastSm,
    BroadcastSmResp,
    CancelBroadcastSm,
    CancelBroadcastSmResp,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    QueryBroadcastSm,
    QueryBroadcastSmResp,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)


class Role(StrEnum):
    """Which end of the session this is."""

    ESME = "ESME"
    SMSC = "SMSC"

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.SMSC if self is Role.ESME else Role.ESME


class State(IntEnum):
    """Where the session stands; the order is that of the table's columns."""

    OPEN = 0
    OUTBOUND = 1
    BOUND_TX = 2
    BOUND_RX = 3
    BOUND_TRX = 4
    UNBOUND = 5
    CLOSED = 6

    @property
    def is_bound(self) -> bool:
        """True between a bind and its end."""
        return State.BOUND_TX <= self <= State.BOUND_TRX


class Action(Enum):
    """What a received PDU leads to."""

    BIND = "ask who it is"
    BOUND = "the answer to our bind"
    OUTBIND = "we are asked to bind"
    DELIVER = "a request for the business, to be answered"
    NEWS = "for the business, without an answer"
    MATCH = "an answer: find its request"
    ECHO = "answer enquire_link"
    ALIVE = "the answer to our enquire_link"
    UNBIND = "answer, once what came before is answered"
    UNBOUND = "the answer to our unbind"
    NACK = "the answer to something, or framing is lost"
    REFUSE = "answer ESME_RINVBNDSTS"
    ALREADY = "answer ESME_RALYBND"
    IGNORE = "count it"


_Row = tuple[Action, Action, Action, Action, Action, Action, Action]

BIN, BND, OUT, DEL, NEW, MAT = (
    Action.BIND,
    Action.BOUND,
    Action.OUTBIND,
    Action.DELIVER,
    Action.NEWS,
    Action.MATCH,
)
ECH, ALV, UNB, END, NAK = Action.ECHO, Action.ALIVE, Action.UNBIND, Action.UNBOUND, Action.NACK
REF, ALY, ___ = Action.REFUSE, Action.ALREADY, Action.IGNORE

# fmt: off
_EITHER: dict[type[PDU], _Row] = {
    #                     OPEN OUTB B_TX B_RX BTRX UNBD CLSD
    DataSm:              (REF, REF, DEL, DEL, DEL, REF, ___),
    DataSmResp:          (___, ___, MAT, MAT, MAT, MAT, ___),
    EnquireLink:         (ECH, ECH, ECH, ECH, ECH, ECH, ___),
    EnquireLinkResp:     (___, ___, ALV, ALV, ALV, ALV, ___),
    Unbind:              (UNB, UNB, UNB, UNB, UNB, UNB, ___),
    UnbindResp:          (___, ___, END, END, END, ___, ___),
    GenericNack:         (NAK, NAK, NAK, NAK, NAK, NAK, ___),
}
RECEIVED_BY_SMSC: dict[type[PDU], _Row] = _EITHER | {
    #                     OPEN OUTB B_TX B_RX BTRX UNBD CLSD
    BindTransmitter:     (BIN, BIN, ALY, ALY, ALY, REF, ___),
    BindReceiver:        (BIN, BIN, ALY, ALY, ALY, REF, ___),
    BindTransceiver:     (BIN, BIN, ALY, ALY, ALY, REF, ___),
    BindTransmitterResp: (___, ___, ___, ___, ___, ___, ___),
    BindReceiverResp:    (___, ___, ___, ___, ___, ___, ___),
    BindTransceiverResp: (___, ___, ___, ___, ___, ___, ___),
    Outbind:             (___, ___, ___, ___, ___, ___, ___),
    SubmitSm:            (REF, REF, DEL, REF, DEL, REF, ___),
    SubmitMulti:         (REF, REF, DEL, REF, DEL, REF, ___),
    QuerySm:             (REF, REF, DEL, REF, DEL, REF, ___),
    CancelSm:            (REF, REF, DEL, REF, DEL, REF, ___),
    ReplaceSm:           (REF, REF, DEL, REF, DEL, REF, ___),
    BroadcastSm:         (REF, REF, DEL, REF, DEL, REF, ___),
    QueryBroadcastSm:    (REF, REF, DEL, REF, DEL, REF, ___),
    CancelBroadcastSm:   (REF, REF, DEL, REF, DEL, REF, ___),
    DeliverSm:           (REF, REF, REF, REF, REF, REF, ___),
    AlertNotification:   (___, ___, ___, ___, ___, ___, ___),
    DeliverSmResp:       (___, ___, ___, MAT, MAT, MAT, ___),
    SubmitSmResp:        (___, ___, ___, ___, ___, ___, ___),
    SubmitMultiResp:     (___, ___, ___, ___, ___, ___, ___),
    QuerySmResp:         (___, ___, ___, ___, ___, ___, ___),
    CancelSmResp:        (___, ___, ___, ___, ___, ___, ___),
    ReplaceSmResp:       (___, ___, ___, ___, ___, ___, ___),
    BroadcastSmResp:     (___, ___, ___, ___, ___, ___, ___),
    QueryBroadcastSmResp: (___, ___, ___, ___, ___, ___, ___),
    CancelBroadcastSmResp: (___, ___, ___, ___, ___, ___, ___),
}
RECEIVED_BY_ESME: dict[type[PDU], _Row] = _EITHER | {
    #                     OPEN OUTB B_TX B_RX BTRX UNBD CLSD
    BindTransmitter:     (REF, REF, REF, REF, REF, REF, ___),
    BindReceiver:        (REF, REF, REF, REF, REF, REF, ___),
    BindTransceiver:     (REF, REF, REF, REF, REF, REF, ___),
    BindTransmitterResp: (BND, BND, ___, ___, ___, ___, ___),
    BindReceiverResp:    (BND, BND, ___, ___, ___, ___, ___),
    BindTransceiverResp: (BND, BND, ___, ___, ___, ___, ___),
    Outbind:             (OUT, ___, ___, ___, ___, ___, ___),
    SubmitSm:            (REF, REF, REF, REF, REF, REF, ___),
    SubmitMulti:         (REF, REF, REF, REF, REF, REF, ___),
    QuerySm:             (REF, REF, REF, REF, REF, REF, ___),
    CancelSm:            (REF, REF, REF, REF, REF, REF, ___),
    ReplaceSm:           (REF, REF, REF, REF, REF, REF, ___),
    BroadcastSm:         (REF, REF, REF, REF, REF, REF, ___),
    QueryBroadcastSm:    (REF, REF, REF, REF, REF, REF, ___),
    CancelBroadcastSm:   (REF, REF, REF, REF, REF, REF, ___),
    DeliverSm:           (REF, REF, REF, DEL, DEL, REF, ___),
    AlertNotification:   (___, ___, ___, NEW, NEW, ___, ___),
    DeliverSmResp:       (___, ___, ___, ___, ___, ___, ___),
    SubmitSmResp:        (___, ___, MAT, ___, MAT, MAT, ___),
    SubmitMultiResp:     (___, ___, MAT, ___, MAT, MAT, ___),
    QuerySmResp:         (___, ___, MAT, ___, MAT, MAT, ___),
    CancelSmResp:        (___, ___, MAT, ___, MAT, MAT, ___),
    ReplaceSmResp:       (___, ___, MAT, ___, MAT, MAT, ___),
    BroadcastSmResp:     (___, ___, MAT, ___, MAT, MAT, ___),
    QueryBroadcastSmResp: (___, ___, MAT, ___, MAT, MAT, ___),
    CancelBroadcastSmResp: (___, ___, MAT, ___, MAT, MAT, ___),
}
# fmt: on


def _by_state(table: dict[type[PDU], _Row]) -> dict[State, dict[type[PDU], Action]]:
    return {state: {pdu_type: row[state] for pdu_type, row in table.items()} for state in State}


ACTIONS: dict[Role, dict[State, dict[type[PDU], Action]]] = {
    Role.ESME: _by_state(RECEIVED_BY_ESME),
    Role.SMSC: _by_state(RECEIVED_BY_SMSC),
}
"""What a PDU received means: role → state → type of PDU → action. Total."""

BOUND_AS: dict[type[PDU], State] = {
    BindTransmitter: State.BOUND_TX,
    BindReceiver: State.BOUND_RX,
    BindTransceiver: State.BOUND_TRX,
    BindTransmitterResp: State.BOUND_TX,
    BindReceiverResp: State.BOUND_RX,
    BindTransceiverResp: State.BOUND_TRX,
}
"""The state that a bind, or its answer, leads to."""


def may_send(role: Role, state: State, pdu_type: type[PDU]) -> bool:
    """Whether this end may send such a PDU: exactly when the other end would not refuse or ignore it.

    Source: SMPP 3.4 table 2-1, SMPP 5.0 §2.4.
    """
    if pdu_type in (EnquireLink, Unbind) and not state.is_bound:
        return False  # answered when it comes, out of leniency; not asked of others
    action = ACTIONS[role.peer][state][pdu_type]
    return action not in (Action.REFUSE, Action.ALREADY, Action.IGNORE)
