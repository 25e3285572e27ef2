"""The page on PDUs and TLVs, made from the codec's tables, the session's, and from what is said here in words.

Run as a program (``python -m tests.meta.smpp_pdus``) it writes docs/reference/smpp-pdus.md to standard output;
test_smpp_pdus.py holds the file to it, and the words to the code as far as that can be seen.
"""

from __future__ import annotations

import re
import sys
from itertools import groupby
from typing import Any

from smpp import pdu as p
from smpp.constants import VERSION_5_0
from smpp.downgrade import since
from smpp.layout import LAYOUTS
from smpp.pdu import PDU, PDU_CLASSES
from smpp.states import ACTIONS, Action, Role, State
from smpp.tlv import DEFINITIONS, TLV, Tag

_HEAD = """# SMPP: every PDU and every TLV

<!-- Made by `python -m tests.meta.smpp_pdus` from smpp/ and tests/meta/smpp_pdus.py; do not edit. -->

What smshub reads and writes of SMPP 3.3, 3.4 and 5.0. What it does when peers depart from the standard:
[conformance](smpp-conformance.md). What an account is answered, request by request: [requests](smpp-requests.md).
Everything below is judged by Wireshark's dissector too (`tests/integration/test_tshark_smpp.py`,
`test_tshark_smpp_tlvs.py`).

Reading is lenient, writing is strict. A TLV that no table knows is kept, octet by octet, in its place; a command that
none knows is answered with generic_nack ESME_RINVCMDID. So are the three that 3.3 had and 3.4 took away: param_retrieve
(0x22), query_last_msgs (0x23) and query_msg_details (0x24).
"""

FROM_ACCOUNTS: dict[type[PDU], str] = {
    p.BindTransmitter: "name, password, network and number of binds are checked; the account may submit",
    p.BindReceiver: "the same; the account is given texts and receipts",
    p.BindTransceiver: "the same; both ways",
    p.SubmitSm: "a text (or binary message) for the hub: journalled, then answered with its id",
    p.SubmitMulti: "one text for each destination, with one id; destinations that fail are in the answer",
    p.DataSm: "as submit_sm; the text is in message_payload, the validity in qos_time_to_live",
    p.QuerySm: "answered from the store, for the account's own texts",
    p.CancelSm: "done for what is still pending and not on the wire",
    p.ReplaceSm: "done for a text that was not given to anybody yet",
    p.BroadcastSm: "ESME_RBCASTFAIL: there are no cells to broadcast to; generic_nack in sessions before 5.0",
    p.QueryBroadcastSm: "ESME_RBCASTQUERYFAIL, likewise",
    p.CancelBroadcastSm: "ESME_RBCASTCANCELFAIL, likewise",
    p.DeliverSmResp: "the outcome of a text or receipt that was delivered to the account",
    p.DataSmResp: "the outcome of a data_sm of the hub's",
    p.DeliverSm: "an ESME has nothing to deliver",
    p.AlertNotification: "an SMSC's word",
    p.Outbind: "an SMSC's word",
}
"""What the hub does with what an ESME sends: it is the SMSC."""

FROM_CARRIERS: dict[type[PDU], str] = {
    p.Outbind: "answered with bind_receiver on the same connection, where the link has an `outbind_port`",
    p.BindTransmitterResp: "the link is bound, or rests and tries again",
    p.BindReceiverResp: "the same",
    p.BindTransceiverResp: "the same",
    p.DeliverSm: "a text from a handset, or a receipt: journalled, then answered",
    p.DataSm: "the same, with the text in message_payload",
    p.AlertNotification: "counted; given on to the account that asked for it with set_dpf",
    p.SubmitSmResp: "the outcome of a part, and the carrier's id for its receipts",
    p.DataSmResp: "the same, where the link submits with data_sm",
    p.SubmitMultiResp: "counted: the hub sends no submit_multi",
    p.QuerySmResp: "counted: the hub does not ask",
    p.CancelSmResp: "counted: the hub cancels nothing that a carrier has",
    p.ReplaceSmResp: "counted: the hub replaces nothing that a carrier has",
    p.BroadcastSmResp: "counted: the hub does not broadcast",
    p.QueryBroadcastSmResp: "counted, likewise",
    p.CancelBroadcastSmResp: "counted, likewise",
    p.SubmitSm: "a carrier has nothing to submit",
    p.SubmitMulti: "the same",
    p.QuerySm: "the same",
    p.CancelSm: "the same",
    p.ReplaceSm: "the same",
    p.BroadcastSm: "the same",
    p.QueryBroadcastSm: "the same",
    p.CancelBroadcastSm: "the same",
    p.BindTransmitter: "a carrier does not bind",
    p.BindReceiver: "the same",
    p.BindTransceiver: "the same",
}
"""What the hub does with what an SMSC sends: it is the ESME."""

EITHER: dict[type[PDU], str] = {
    p.Unbind: "answered when everything asked before it is answered; what was not answered is in doubt or unsent",
    p.UnbindResp: "the end of an unbind of the hub's",
    p.EnquireLink: "answered at once, before a bind too",
    p.EnquireLinkResp: "the peer lives",
    p.GenericNack: "the answer to the request of that sequence number; with 0, framing is lost: the session ends",
}
"""The same on both sides."""

SENT: dict[type[PDU], str] = {
    p.BindTransmitter: "to carriers: `bind_mode` of the link",
    p.BindReceiver: "to carriers: `bind_mode` of the link, and the answer to outbind",
    p.BindTransceiver: "to carriers: `bind_mode` of the link",
    p.Outbind: "to an account with an `outbind_host`, when something waits for it and it is not bound",
    p.SubmitSm: "to carriers: a part of a text",
    p.DataSm: "to carriers: the same, where the link has `submit_with = data_sm`",
    p.DeliverSm: "to accounts: a text, or a receipt",
    p.AlertNotification: "to accounts that asked with set_dpf, when the carrier says that the handset is back",
    p.EnquireLink: "to both, when nothing was heard for a while",
    p.Unbind: "to both, when the hub closes",
}
"""Requests that the hub sends, and to whom."""

NOT_SENT = "the hub has no use for it"

_SAR = "read and written: parts of a text, where the link says so"
_RECEIPT = "read and written in receipts, where it goes before the text"
_PORT = "kept with a binary message, and sent on with it"

USED: dict[TLV[Any], str] = {
    Tag.SC_INTERFACE_VERSION: "read and written: the session speaks the lower of both versions",
    Tag.CONGESTION_STATE: "read: the window shrinks while the peer is congested",
    Tag.MESSAGE_PAYLOAD: "read and written: a text that is not in short_message",
    Tag.SAR_MSG_REF_NUM: _SAR,
    Tag.SAR_TOTAL_SEGMENTS: _SAR,
    Tag.SAR_SEGMENT_SEQNUM: _SAR,
    Tag.RECEIPTED_MESSAGE_ID: _RECEIPT,
    Tag.MESSAGE_STATE: _RECEIPT,
    Tag.NETWORK_ERROR_CODE: _RECEIPT,
    Tag.USER_MESSAGE_REFERENCE: "kept with the text, and given back in its receipts",
    Tag.SOURCE_PORT: _PORT,
    Tag.DESTINATION_PORT: _PORT,
    Tag.QOS_TIME_TO_LIVE: "read and written: the validity of a data_sm",
    Tag.SET_DPF: "read: the account wants an alert_notification when the handset is back",
    Tag.ADDITIONAL_STATUS_INFO_TEXT: "written: why a text was refused, where the status alone does not say it",
}
"""TLVs that change what the hub does. All others are read and kept in the PDU, and not looked at."""

_ACTIONS = {
    Action.BIND: "taken",
    Action.BOUND: "taken",
    Action.OUTBIND: "taken",
    Action.DELIVER: "taken",
    Action.NEWS: "taken",
    Action.MATCH: "taken",
    Action.ECHO: "taken",
    Action.ALIVE: "taken",
    Action.UNBIND: "taken",
    Action.UNBOUND: "taken",
    Action.NACK: "taken",
    Action.REFUSE: "ESME_RINVBNDSTS",
    Action.ALREADY: "ESME_RALYBND",
    Action.IGNORE: "counted",
}
_STATES = {
    State.OPEN: "not bound",
    State.OUTBOUND: "after outbind",
    State.BOUND_TX: "TX",
    State.BOUND_RX: "RX",
    State.BOUND_TRX: "TRX",
}
_VERSIONS = {0x33: "3.3", 0x34: "3.4", 0x50: "5.0"}
_TYPES = {int: "integer", str: "C-octet string", bytes: "octets"}


def name_of(pdu_class: type[PDU]) -> str:
    """The standard's name: ``SubmitSmResp`` is submit_sm_resp."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", pdu_class.__name__).lower()


def states_of(role: Role, pdu_class: type[PDU]) -> str:
    """What a PDU meets, bind by bind, when ``role`` receives it."""
    found = [(_ACTIONS[ACTIONS[role][state][pdu_class]], word) for state, word in _STATES.items()]
    groups = {key: [word for _, word in pairs] for key, pairs in groupby(sorted(found), key=lambda pair: pair[0])}
    if len(groups) == 1:
        return f"{next(iter(groups))} always"
    order = list(_STATES.values())
    rows = sorted(groups.items(), key=lambda item: (item[0] != "taken", item[0]))
    return "; ".join(f"{key}: {', '.join(sorted(words, key=order.index))}" for key, words in rows)


def page() -> str:
    """The whole page."""
    classes = [PDU_CLASSES[command] for command in sorted(PDU_CLASSES, key=lambda c: (c & 0x7FFFFFFF, c))]
    out = [_HEAD, "## PDUs\n"]
    out.append("The mandatory fields, in the order of the wire; TLVs are in the [last table](#tlvs).\n")
    out += ["| PDU | command_id | since | fields |", "| --- | --- | --- | --- |"]
    for each in classes:
        fields = ", ".join(field.name for field in LAYOUTS[each]) or "none"
        out.append(f"| {name_of(each)} | 0x{each.command_id:08X} | {_VERSIONS[since(each)]} | {fields} |")
    out.append("\nWhat a PDU becomes for a peer of an earlier version: the table in `smpp/downgrade.py`.")
    out += _received(
        "From an account", "The hub is the SMSC, the account's program the ESME.", Role.SMSC, FROM_ACCOUNTS
    )
    out += _received("From a carrier", "The hub is the ESME.", Role.ESME, FROM_CARRIERS)
    out += ["\n## What the hub sends\n", "Responses follow their requests. Of the requests:\n"]
    out += ["| PDU | when |", "| --- | --- |"]
    out += [
        f"| {name_of(each)} | {SENT.get(each, NOT_SENT)} |" for each in classes if not p.is_response(each.command_id)
    ]
    return "\n".join([*out, *_tlvs()]) + "\n"


def _received(title: str, about: str, role: Role, words: dict[type[PDU], str]) -> list[str]:
    out = [f"\n## {title}\n", f"{about} Where a PDU is taken, by what the ESME is bound as, and what the others get:\n"]
    out += ["| PDU | bound as | what the hub does |", "| --- | --- | --- |"]
    said = words | EITHER
    out += [f"| {name_of(each)} | {states_of(role, each)} | {what} |" for each, what in said.items()]
    rest = [name_of(each) for each in PDU_CLASSES.values() if each not in said]
    out.append(f"\nResponses that the other end cannot owe ({', '.join(sorted(rest))}) are counted, never answered.")
    return out


def _tlvs() -> list[str]:
    out = ["\n## TLVs\n"]
    out.append(
        "`*` marks a PDU that 5.0 brought. Those without a word in the last column are read, kept and passed over.\n"
    )
    out += ["| tag | TLV | type | octets | since | in | in the hub |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for tag, each in sorted(DEFINITIONS.items()):
        size = str(each.least) if each.least == each.most else f"{each.least}–{each.most}"
        found = sorted(each.pdus, key=lambda c: (c.command_id & 0x7FFFFFFF, c.command_id))
        where = ", ".join(name_of(one) + ("*" if since(one) == VERSION_5_0 else "") for one in found)
        if each is Tag.CONGESTION_STATE:
            where = "every response but generic_nack"
        cells = (f"0x{tag:04X}", each.label, _TYPES[each.kind], size, _VERSIONS[each.since], where, USED.get(each, ""))
        out.append("| " + " | ".join(cells) + " |")
    return out


if __name__ == "__main__":
    sys.stdout.write(page())
