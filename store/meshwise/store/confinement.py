"""What the store's process may still do once it has started: write in its own directories, and connect to nobody.

Statements are judged before they run, and the engine has grants of its own; this is the wall behind both, kept by the
kernel. It holds for the process and all its threads, for good. Where the kernel has none of it (Linux has it since
5.13, for connections since 6.7), or a container forbids it, nothing changes.

Source: Linux, ``Documentation/userspace-api/landlock.rst``.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""The numbers of the system calls, the same on every architecture."""
_VERSION_ONLY: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CONNECT_TCP: Final = 1 << 1
_SINCE_FIRST: Final = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))
"""Writing, removing, and making anything there is to make: what the first version of Landlock can forbid."""
_REFER, _TRUNCATE = 1 << 13, 1 << 14


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the kernel now forbids."""

    writes: bool = False
    """Writing outside the directories given."""
    connections: bool = False
    """Connecting over TCP, to any address."""


def confine(writable: Iterable[Path]) -> Confinement:
    """Let this process write in ``writable`` directories alone, and connect to nobody; return what came of it.

    It must be called before other threads begin, which inherit it.
    """
    if sys.platform != "linux":
        return Confinement()
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, 0, _VERSION_ONLY)
    if version < 1:
        return Confinement()
    forbidden = _SINCE_FIRST | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    network = version >= 4
    attributes = struct.pack("QQ", forbidden, _CONNECT_TCP) if network else struct.pack("Q", forbidden)
    rules = libc.syscall(_CREATE, attributes, len(attributes), 0)
    if rules < 0:
        return Confinement()
    try:
        for directory in writable:
            if not _allow(libc, rules, directory, forbidden):
                return Confinement()
        # The kernel wants to be sure that a program started later cannot win back what is given up.
        promised = libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) == 0
        done = promised and libc.syscall(_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)
    return Confinement(done, done and network)


def _allow(libc: ctypes.CDLL, rules: int, directory: Path, access: int) -> bool:
    try:
        beneath = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # what is not there need not be allowed
    except OSError:
        return False
    try:
        return bool(libc.syscall(_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", access, beneath), 0) == 0)
    finally:
        os.close(beneath)
