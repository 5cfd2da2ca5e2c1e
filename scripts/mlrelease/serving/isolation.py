"""Limits that a process sets on itself before it loads a model that nobody has tried yet. Linux; reports what it got."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Any

LARGEST_FILE = 64 << 20
"""Bytes of any one file that may be written."""

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000


def isolate(*, memory_bytes: int, cpu_s: int) -> dict[str, Any]:
    """Applies the limits for good; gives what now holds, `network` being `none` or `host` with the reason.

    Call it before any thread is started: a user namespace can only be left for a new one by a single thread.
    """
    network = _leave_network()
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))
    return {**network, "memory_bytes": memory_bytes, "cpu_s": cpu_s, "file_bytes": LARGEST_FILE}


def _leave_network() -> dict[str, str]:
    """A network namespace with nothing in it, alone where allowed, else inside a user namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    problem = ""
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return {"network": "none"}
        problem = os.strerror(ctypes.get_errno())
    return {"network": "host", "network_reason": f"unshare: {problem}"}
