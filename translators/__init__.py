"""Translators: the hub's model on one side, a foreign protocol on the other. One package for each protocol."""

__all__: list[str] = []
