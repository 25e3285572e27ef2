"""What the shells tell to whoever counts: a metric's registry, a test."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Takes note of events. It is called where the event happens and must neither block nor raise."""

    def count(self, event: str, **labels: str) -> None:
        """Something happened once.

        Args:
            event: a name of few: ``bound``, ``bind_refused``, ``closed``, ``turned_away``, ``connect_failed``,
                ``handler_failed``, ``outbind_refused``, ``checked``, ``no_proxy_header``.
            labels: words from small sets (a status's name, an ending); ``account`` or ``link`` where it is known.
        """
        ...


class _Nobody:
    """Takes note of nothing."""

    def count(self, event: str, **labels: str) -> None:
        pass


NOBODY: Observer = _Nobody()
