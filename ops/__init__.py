"""Everything around the message path: daemon, command, configuration, health, metrics, simulators."""

__all__: list[str] = []
