"""One try of a request at one endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwise.proxy.channels import Upstream
from meshwise.proxy.cluster import retry
from meshwise.proxy.cluster.cluster import EndpointState
from meshwise.proxy.errors import ConnectFailed
from meshwise.proxy.telemetry.records import ShadowVerdict, TraceContext

if TYPE_CHECKING:
    from meshwise.proxy.call import Call


class Attempt:
    """One try at one endpoint."""

    __slots__ = (
        "answered",
        "balance",
        "bound",
        "breaker_open",
        "call",
        "cancelled",
        "connect_timeout",
        "connection",
        "deadline",
        "endpoint",
        "failure",
        "fresh",
        "grpc_status",
        "ordinal",
        "outcome",
        "remaining_ms",
        "resent",
        "retry_denied",
        "retry_reason",
        "shadow",
        "started",
        "status",
        "trace",
    )

    def __init__(self, call: Call, endpoint: EndpointState, ordinal: int, trace: TraceContext) -> None:
        self.call = call
        """Whose attempt it is; of a hedge, what stands for it until it has won."""
        self.endpoint = endpoint
        self.ordinal = ordinal
        self.trace = trace
        self.connection: Upstream | None = None
        self.cancelled = False
        self.connect_timeout = 0.0
        self.fresh = False
        self.bound = False
        self.started = 0.0
        self.deadline = 0.0
        """When the attempt is cut off if no answer has begun; never after the request's deadline."""
        self.remaining_ms = 0
        self.retry_reason = ""
        self.retry_denied = ""
        self.balance = 0.0
        self.breaker_open = False
        self.resent = False
        self.status = 0
        self.grpc_status = ""
        self.outcome = ""
        self.failure: retry.Failure | None = None
        self.answered = 0.0
        """When an answer began; noted only where a candidate policy is evaluated."""
        self.shadow: ShadowVerdict | None = None

    def on_connection(self, connection: Upstream) -> None:
        """The pool has a connection, perhaps to another endpoint of the cluster."""
        if connection.endpoint is not self.endpoint:
            self.endpoint.active -= 1
            self.endpoint = connection.endpoint
            self.endpoint.active += 1
        self.call.send(self, connection)

    def on_connect_failed(self, error: ConnectFailed) -> None:
        """The pool has none."""
        self.call.on_upstream_failed(error, reached=False)
