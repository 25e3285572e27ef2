"""The commands of a desk: designate, transfer, release, history, call. Pure, but for awaiting what the hub does.

Each is an IQ with one element of ``urn:smshub:thread:1``, sent to the component's domain or to any JID of it. What is
wrong with a command is said by a typed error with an element of our namespace. A token of another call centre is
answered with the
same ``forbidden`` whatever its state: who is told so learns nothing that 128 random bits had not hidden (H13).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from threading_tokens.designation import Designation
from threading_tokens.errors import (
    AlreadyDesignated,
    BadChannel,
    BadDesignation,
    ExpiredToken,
    ForeignToken,
    UnknownToken,
)
from translators.xmpp.errors import CommandError
from translators.xmpp.services import Assignment, Busy, Call, DeskServices, HistoryEntry, Subject, ThreadView
from translators.xmpp.stanzas import THREAD_NS, stamp
from translators.xmpp.stream import Element, escape_attribute, escape_text

HISTORY_DEFAULT = 50  # entries when the desk says no number
HISTORY_MAX = 200  # entries of one answer: with texts of 1,600 characters it stays under the servers' 512 KiB
LABEL_MAX = 200  # characters of a label, a place, an outcome: names for people, not documents
CHANNELS = ("", "sms", "voice", "chat")


class Designate(msgspec.Struct, frozen=True):
    """Name the CSR of a thread; ``again`` when it may have one already (a transfer)."""

    token: str
    assignment: Assignment
    again: bool


class Release(msgspec.Struct, frozen=True):
    """End a thread."""

    token: str


class AskHistory(msgspec.Struct, frozen=True):
    """Show what there was with a customer."""

    subject: Subject
    limit: int
    before: int


class NoteCall(msgspec.Struct, frozen=True):
    """Write a voice call into its thread."""

    subject: Subject
    call: Call


Command = Designate | Release | AskHistory | NoteCall

COMMANDS = {
    f"{THREAD_NS} designate": "set",
    f"{THREAD_NS} transfer": "set",
    f"{THREAD_NS} release": "set",
    f"{THREAD_NS} history": "get",
    f"{THREAD_NS} call": "set",
}


def read_command(iq_type: str, element: Element, by: str) -> Command:
    """Read a command.

    Args:
        iq_type: ``get`` or ``set``.
        element: the IQ's payload, one of ``COMMANDS``.
        by: bare JID of the sender: who is designated when the command names nobody.

    Raises: CommandError: it is misspelt.
    """
    if COMMANDS[element.name] != iq_type:
        raise CommandError("modify", "bad-request", "wrong-type")
    verb = element.name.rpartition(" ")[2]
    if verb in ("designate", "transfer"):
        return Designate(_token(element), _assignment(element, by), verb == "transfer")
    if verb == "release":
        return Release(_token(element))
    if verb == "history":
        limit = _integer(element, "max", HISTORY_DEFAULT)
        return AskHistory(_subject(element), max(1, min(limit, HISTORY_MAX)), _integer(element, "before", 0))
    return NoteCall(_subject(element), _call(element))


def subject_key(command: Command) -> str:
    """What commands about one thread have in common: they must be done in the order in which they came."""
    if isinstance(command, Designate | Release):
        return command.token
    subject = command.subject
    return subject.token or f"{subject.customer} {subject.number}"


async def perform(services: DeskServices, call_centre: str, command: Command, by: str) -> tuple[str, ThreadView | None]:
    """Do a command.

    Returns: the content of the result, and the thread as it is now where the command is about one.
    Raises: CommandError: it cannot be done.
    """
    try:
        if isinstance(command, AskHistory):
            entries = await services.history(call_centre, command.subject, command.limit, command.before)
            return build_history(entries), None
        if isinstance(command, Designate):
            act = services.transfer if command.again else services.designate
            view = await act(call_centre, command.token, command.assignment, by)
        elif isinstance(command, Release):
            view = await services.release(call_centre, command.token, by)
        else:
            view = await services.note_call(call_centre, command.subject, command.call, by)
    except UnknownToken as error:
        raise CommandError("cancel", "item-not-found", "unknown-token") from error
    except ExpiredToken as error:
        raise CommandError("cancel", "gone", "expired-token") from error
    except ForeignToken as error:
        raise CommandError("auth", "forbidden", "foreign-token") from error
    except AlreadyDesignated as error:
        raise CommandError("cancel", "conflict", "already-designated") from error
    except BadDesignation as error:
        raise CommandError("modify", "bad-request", "bad-designation") from error
    except BadChannel as error:
        raise CommandError("modify", "bad-request", "bad-channel") from error
    except Busy as error:
        raise CommandError("wait", "resource-constraint", "try-later") from error
    return build_thread(view), view


def build_thread(view: ThreadView) -> str:
    """Write a thread as its desk sees it."""
    marks = [
        f"token='{escape_attribute(view.token)}'",
        f"state='{'closed' if view.closed_us else 'open'}'",
        f"number='{escape_attribute(view.number)}'",
        f"customer='{escape_attribute(view.customer)}'",
        f"channel='{escape_attribute(view.channel)}'",
    ]
    if view.product:
        marks.append(f"product='{escape_attribute(view.product)}'")
    if view.opened_us:
        marks.append(f"opened='{stamp(view.opened_us)}'")
    if view.closed_us:
        marks.append(f"closed='{stamp(view.closed_us)}'")
    csr = ""
    if view.designation is not None:
        label = f" label='{escape_attribute(view.label)}'" if view.label else ""
        kind, value = escape_attribute(view.designation.kind), escape_text(view.designation.value)
        csr = f"<csr kind='{kind}'{label}>{value}</csr>"
    return f"<thread xmlns='{THREAD_NS}' {' '.join(marks)}>{csr}</thread>"


def build_history(entries: Sequence[HistoryEntry]) -> str:
    """Write a page of history, newest first."""
    return f"<history xmlns='{THREAD_NS}'>{''.join(map(_build_entry, entries))}</history>"


def _build_entry(entry: HistoryEntry) -> str:
    marks = [f"id='{entry.id}'", f"stamp='{stamp(entry.at_us)}'"]
    is_text = entry.kind == "text"
    if not is_text:
        marks.append(f"kind='{escape_attribute(entry.kind)}'")
    named = ("direction", "state", "by", "csr", "channel", "product", "place", "detail")
    marks.extend(f"{name}='{escape_attribute(getattr(entry, name))}'" for name in named if getattr(entry, name))
    if entry.duration_s:
        marks.append(f"duration='{entry.duration_s}'")
    if is_text:
        return f"<text {' '.join(marks)}>{escape_text(entry.text)}</text>"
    return f"<event {' '.join(marks)}/>"


def _token(element: Element) -> str:
    token = element.get("token").strip().lower()
    if not token:
        raise CommandError("modify", "bad-request", "unknown-token")
    return token


def _subject(element: Element) -> Subject:
    token = element.get("token").strip().lower()
    customer, number = element.get("customer"), element.get("number")
    if token:
        return Subject(token=token)
    if not customer or not number:
        raise CommandError("modify", "bad-request", "no-subject")
    return Subject(customer=customer, number=number)


def _assignment(element: Element, by: str) -> Assignment:
    csr = element.child(f"{THREAD_NS} csr")
    kind, value, label = "address", by, ""
    if csr is not None:
        kind, value, label = csr.get("kind", "address"), csr.text.strip(), csr.get("label")
    try:
        designation = Designation.parse(kind, value)
    except BadDesignation as error:
        raise CommandError("modify", "bad-request", "bad-designation") from error
    channel = element.get("channel")
    if channel not in CHANNELS:
        raise CommandError("modify", "bad-request", "bad-channel")
    return Assignment(designation, label[:LABEL_MAX], element.get("place")[:LABEL_MAX], channel)


def _call(element: Element) -> Call:
    direction = element.get("direction", "in")
    if direction not in ("in", "out"):
        raise CommandError("modify", "bad-request", "bad-call")
    started = element.get("started")
    started_us = 0
    if started:
        try:
            moment = datetime.fromisoformat(started)
            started_us = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
        except (ValueError, OverflowError) as error:
            raise CommandError("modify", "bad-request", "bad-call") from error
    return Call(direction, started_us, _integer(element, "duration", 0), element.get("outcome")[:LABEL_MAX])


def _integer(element: Element, name: str, default: int) -> int:
    """An attribute that is a whole number from 0 to 2**63-1."""
    given = element.get(name)
    if not given:
        return default
    if not (given.isascii() and given.isdigit()) or len(given) > 19 or int(given) >= 1 << 63:
        raise CommandError("modify", "bad-request", "bad-number")
    return int(given)
