"""The daemon as a process of its own, and the foreign programs around it."""
