"""Measurements and scenarios of the whole daemon, and of parts of it. README.md says which tool answers what."""

__all__: list[str] = []
