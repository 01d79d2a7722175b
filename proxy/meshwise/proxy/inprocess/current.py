"""The request that the running task serves, so that its calls belong to that trace and end with its deadline."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from meshwise.proxy.telemetry.records import TraceContext


@dataclass(frozen=True, slots=True)
class Serving:
    """A request that the middleware admitted: its SERVER span, and when its caller gives up (monotonic seconds)."""

    trace: TraceContext
    deadline: float


SERVING: Final[ContextVar[Serving | None]] = ContextVar("meshwise_serving", default=None)
