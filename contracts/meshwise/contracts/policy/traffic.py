"""What a policy does with requests besides timing them out and retrying them: where they go, and what is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

REDIRECT_STATUSES: Final = (301, 302, 303, 307, 308)
UNTOUCHABLE: Final = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "grpc-status",
        "grpc-timeout",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that frame, route or trace a message, which no policy edits; neither those that begin with ``x-meshwise-``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure made on purpose: a share of requests waits ``delay`` seconds, a share is answered ``abort``, a status.

    Each share is in percent and drawn on its own; a request may be hit by both, and then waits first.
    """

    delay: float = 0.0
    delay_percent: float = 0.0
    abort: int = 0
    abort_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """One way of a split: ``weight`` parts of the traffic.

    They go to the endpoints of ``service`` (``None``: the one called) that have the labels ``subset``.
    """

    weight: int
    service: str | None = None
    subset: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of ``percent`` of the requests goes to ``service``; nobody waits for its answer."""

    service: str
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes to the fields of one head, in this order: ``remove``, ``set`` (in place of any there are), ``add``."""

    remove: tuple[str, ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Headers:
    """Edits of requests and of their answers."""

    request: Edits = field(default_factory=Edits)
    response: Edits = field(default_factory=Edits)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Another path, or another beginning of it, under which the request is sent on; the query stays.

    ``prefix`` stands in place of what ``match.route`` has before its ``/*``. ``authority`` becomes the Host.
    """

    path: str | None = None
    prefix: str | None = None
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """The request is not sent on: its caller is told to ask elsewhere. ``path`` and ``prefix`` as in ``Rewrite``."""

    status: int = 302
    path: str | None = None
    prefix: str | None = None
    authority: str | None = None
