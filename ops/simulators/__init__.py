"""What stands at the other ends when nobody is there: a simulated desk, a simulated SMSC."""

__all__: list[str] = []
