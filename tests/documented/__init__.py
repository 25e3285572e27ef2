"""The commands of the documentation, to be run: ``pages`` reads them, ``scene`` is what they are run in."""
