"""Structured logs: one JSON object a line on standard error, or words for people. Never a body, a password, a token."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO

import structlog


def configure(
    level: str = "info", form: Literal["json", "console"] | str = "json", stream: TextIO | None = None
) -> None:
    """Set logging up, once, for the process.

    Args:
        level: the least severity that is written.
        form: ``"json"`` or ``"console"``.
        stream: where to, standard error when None.
    """
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "console":
        # Tracebacks without local variables: these hold what no log may.
        plain = structlog.dev.plain_traceback
        shared.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain))
    else:
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
