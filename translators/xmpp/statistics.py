"""What a desk tells of itself."""

from __future__ import annotations

import msgspec


class DeskStatistics(msgspec.Struct, frozen=True):
    """What a desk did and where it stands.

    Attributes:
        connected: the component is up.
        director: what is known of the director, see ``reach``.
        in_flight: texts given and not answered for.
        handed_over, returned: texts the server answered for; texts that came back.
        late_errors: errors for texts that were handed over already.
        taken_in, refused: answers the hub accepted; answers refused or put off.
        commands: commands done.
        replaced_characters: characters XML cannot carry, written as U+FFFD.
        connections: how often the component came up.
        inbox: stanzas waiting for the journal.
    """

    connected: bool
    director: str
    in_flight: int
    handed_over: int
    returned: int
    late_errors: int
    taken_in: int
    refused: int
    commands: int
    replaced_characters: int
    connections: int
    inbox: int
