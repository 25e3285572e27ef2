"""Python imports this at its start when its folder is in PYTHONPATH: the wall clock is then as a file says.

``SMSHUB_TEST_CLOCK`` names a file of eight octets: nanoseconds, signed, that the wall clock is ahead of the machine's.
It may change at any time and holds at once. The monotonic clock stays as it is, as on a machine whose clock is set. A
library that is loaded before libc (libfaketime) would do it for other languages too, and breaks ``time.sleep`` of this
one, which sleeps by the monotonic clock.
"""

import mmap
import os
import struct
import time

_offset = struct.Struct("q")
_true_ns = time.time_ns

with open(os.environ["SMSHUB_TEST_CLOCK"], "rb") as _file:
    _kept = mmap.mmap(_file.fileno(), _offset.size, prot=mmap.PROT_READ)


def _time_ns() -> int:
    return _true_ns() + int(_offset.unpack_from(_kept)[0])


def _time() -> float:
    return _time_ns() / 1e9


time.time_ns, time.time = _time_ns, _time
