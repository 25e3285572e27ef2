"""Desks on XMPP: a component (XEP-0114) for each, texts and receipts both ways, commands about threads."""

from translators.xmpp.desk import XmppDesk
from translators.xmpp.errors import BadJid, CommandError, StreamError, XmppError
from translators.xmpp.services import (
    Assignment,
    Busy,
    Call,
    DeskServices,
    HistoryEntry,
    Subject,
    ThreadView,
)
from translators.xmpp.settings import DeskSettings
from translators.xmpp.statistics import DeskStatistics

__all__ = [
    "Assignment",
    "BadJid",
    "Busy",
    "Call",
    "CommandError",
    "DeskServices",
    "DeskSettings",
    "DeskStatistics",
    "HistoryEntry",
    "StreamError",
    "Subject",
    "ThreadView",
    "XmppDesk",
    "XmppError",
]
