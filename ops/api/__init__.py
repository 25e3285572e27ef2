"""The control interface: a call centre's own application provisions its numbers over HTTP (H4, H14).

``operations`` is the table of what can be asked; the routes and the published description (``openapi``) are made from
it. ``keys``, ``limits`` and ``schemas`` are pure; ``app`` is the shell that asks them about a request:
import it where it is served.
"""

from ops.api.keys import digest_of, is_key, make_key

__all__ = ["digest_of", "is_key", "make_key"]
