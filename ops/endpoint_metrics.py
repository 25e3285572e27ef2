"""What metrics tell of links, groups, accounts and desks, read from the endpoints themselves at scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import Metric

from ops.endpoints import Endpoints, is_alone
from ops.metric_families import family
from smpp.states import State
from translators.smpp_endpoint import SmppEndpoint
from translators.xmpp import XmppDesk
from translators.xmpp.reach import Standing

BINDS: Final = {State.BOUND_TX: "transmitter", State.BOUND_RX: "receiver", State.BOUND_TRX: "transceiver"}

Values = dict[tuple[str, ...], float]


class EndpointMetrics:
    """See the module's head.

    A link that another node holds is not down: of links, groups and desks only those are told of that this node holds.
    Accounts may be bound at any node; of these each tells its own sessions.

    Args:
        endpoints: those of the daemon.
        is_held: whether the lanes of an endpoint belong to this node.
    """

    def __init__(self, endpoints: Endpoints, is_held: Callable[[str], bool] = is_alone) -> None:
        self._endpoints = endpoints
        self._is_held = is_held

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the registry wants them."""
        endpoints = self._endpoints
        links = [link for link in endpoints.links.values() if self._is_held(link.name)]
        desks = [desk for desk in endpoints.desks.values() if self._is_held(desk.name)]
        groups = [group for group in endpoints.groups.values() if self._is_held(group.name)]
        up: Values = {}
        sessions: Values = {}
        unanswered: Values = {}
        window: Values = {}
        inbox: Values = {}
        bound = {name for name, link in endpoints.links.items() if link.is_bound}
        for peer in (*links, *endpoints.accounts.values()):
            up[peer.name,] = float(peer.is_bound)
            for bind, number in _binds(peer).items():
                sessions[peer.name, bind] = number
            unanswered[peer.name,] = sum(session.connection.unanswered for session in peer.sessions)
            window[peer.name,] = sum(session.connection.unanswered + session.room for session in peer.sessions)
            inbox[peer.name,] = sum(session.statistics().waiting for session in peer.sessions)
        for desk in desks:
            stands = desk.statistics()
            up[desk.name,] = float(stands.connected)
            unanswered[desk.name,] = stands.in_flight
            window[desk.name,] = stands.in_flight + desk.room()
            inbox[desk.name,] = stands.inbox
        for group in groups:
            names = (*(name for name, _ in group.settings.members), *group.settings.standby)
            up[group.name,] = float(any(name in bound for name in names))
        wanted = {(link.name,): float(link.settings.binds * len(link.settings.bind_types)) for link in links}
        yield family("smshub_endpoint_up", up)
        yield family("smshub_sessions", sessions)
        yield family("smshub_sessions_wanted", wanted)
        yield family("smshub_unanswered_requests", unanswered)
        yield family("smshub_window_requests", window)
        yield family("smshub_inbox_messages", inbox)
        yield from _desks(desks)


def _binds(peer: SmppEndpoint) -> dict[str, int]:
    """Bound sessions by how they are bound; 0 is said too, so that a rule sees it."""
    found = dict.fromkeys(BINDS.values(), 0)
    for session in peer.sessions:
        bind = BINDS.get(session.state)
        if bind is not None:
            found[bind] += 1
    return found


def _desks(desks: list[XmppDesk]) -> Iterator[Metric]:
    stands = {desk.name: desk.statistics() for desk in desks}
    reach = {
        (name, standing.value): float(each.director == standing.value)
        for name, each in stands.items()
        for standing in Standing
    }
    yield family("smshub_desk_reach", reach)
    yield family("smshub_desk_connections_total", {(name,): each.connections for name, each in stands.items()})
    yield family("smshub_desk_returned_texts_total", {(name,): each.returned for name, each in stands.items()})
    yield family("smshub_desk_commands_total", {(name,): each.commands for name, each in stands.items()})
