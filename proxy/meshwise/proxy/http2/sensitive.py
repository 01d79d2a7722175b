"""Values that no table may hold. Not compiled: mypyc has no classes derived from ``bytes``."""

from __future__ import annotations


class Sensitive(bytes):
    """A value its sender marked as too sensitive for any table; it has to be passed on so (RFC 7541 §6.2.3)."""

    __slots__ = ()
