"""Threads and tokens: which conversation a message belongs to, what it is called, who has it."""

from threading_tokens.designation import Designation, DesignationKind
from threading_tokens.errors import (
    AlreadyDesignated,
    BadDesignation,
    BadRules,
    Contention,
    ExpiredToken,
    ForeignToken,
    ThreadingError,
    TokenError,
    UnknownToken,
)
from threading_tokens.rules import (
    Continue,
    Open,
    OriginKind,
    OriginPolicy,
    ThreadRules,
    decide_thread,
    reply_origin,
)
from threading_tokens.thread import (
    Channel,
    EventKind,
    History,
    OpenedBecause,
    Pairing,
    Resolution,
    Thread,
    ThreadArrival,
    ThreadEvent,
)
from threading_tokens.token import is_token, new_token, redacted

__all__ = [
    "AlreadyDesignated",
    "BadDesignation",
    "BadRules",
    "Channel",
    "Contention",
    "Continue",
    "Designation",
    "DesignationKind",
    "EventKind",
    "ExpiredToken",
    "ForeignToken",
    "History",
    "Open",
    "OpenedBecause",
    "OriginKind",
    "OriginPolicy",
    "Pairing",
    "Resolution",
    "Thread",
    "ThreadArrival",
    "ThreadEvent",
    "ThreadRules",
    "ThreadingError",
    "TokenError",
    "UnknownToken",
    "decide_thread",
    "is_token",
    "new_token",
    "redacted",
    "reply_origin",
]
