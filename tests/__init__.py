"""The tests. A package, so that an installed distribution that ships a `tests` of its own cannot take the name."""

__all__: list[str] = []
