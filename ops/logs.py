"""Structured logs: one JSON object a line on standard error, or words for people. Never a body, a password, a token."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO

import structlog

_SEVERITIES = logging.getLevelNamesMapping()
_least = [logging.INFO]


def keep_to(level: str) -> None:
    """Write nothing less severe than this from now on."""
    _least[0] = _SEVERITIES[level.upper()]


def _sift(logger: Any, method: str, event: Any) -> Any:
    """A processor: drop what is not severe enough."""
    if _SEVERITIES.get("ERROR" if method == "exception" else method.upper(), logging.ERROR) < _least[0]:
        raise structlog.DropEvent
    return event


def _naming(node: int) -> Callable[[Any, str, Any], Any]:
    """A processor: say which node speaks, where a line does not say so itself."""

    def name(logger: Any, method: str, event: Any) -> Any:
        event.setdefault("node", node)
        return event

    return name


def configure(
    level: str = "info",
    form: Literal["json", "console"] | str = "json",
    stream: TextIO | None = None,
    *,
    node: int | None = None,
) -> None:
    """Set logging up, once, for the process.

    Args:
        level: the least severity that is written.
        form: ``"json"`` or ``"console"``.
        stream: where to, standard error when None.
        node: of several nodes, which one this is: each line has it.
    """
    out = stream or sys.stderr
    keep_to(level)
    shared: list[Any] = [
        _sift,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if node is not None:
        shared.append(_naming(node))
    if form == "console":
        # Tracebacks without local variables: these hold what no log may.
        plain = structlog.dev.plain_traceback
        shared.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain))
    else:
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=shared,
        # The least there is: loggers are cached, and a level that is changed later must count for them as well.
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        # A line is one write, its end included: several processes may have one log, and Python may not buffer.
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
