"""How an Envoy writes its spans, and what its response flags mean in the words of ``telemetry.OUTCOMES``.

Whatever tracer it uses, an Envoy sets the same attributes (its ``source/common/tracing/http_tracer_impl.cc``):

- The span of a request that it takes in has ``component`` = ``proxy``, ``http.method``, ``http.status_code``,
  ``upstream_cluster.name``, ``response_flags`` and ``node_id``. It is of kind SERVER, or CLIENT where the listener's
  ``traffic_direction`` is OUTBOUND and it spawns no upstream spans.
- With ``spawn_upstream_span`` each attempt has a CLIENT span below that one: without a method, with
  ``upstream_address``, ``retry.count`` from the second attempt on, and status 0 where no answer came.

Response flags are listed at
https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#response-flags.
"""

from __future__ import annotations

from typing import Any, Final

CUT_OFF: Final = ("UT", "DT", "SI", "UMSDR")
"""A timeout ended it: of the request or attempt, of the whole stream, of silence."""
NOT_CONNECTED: Final = ("UF", "DF")
"""No connection to the endpoint, or no address of it."""
BROKEN: Final = ("UC", "UR", "LR", "UPE")
"""The connection to the endpoint ended, or the endpoint broke its protocol, before a complete answer."""
TURNED_AWAY: Final = ("UH", "UO")
"""No healthy endpoint, or its circuit breaker was open."""
CALLER_GONE: Final = ("DC", "DR")
"""The caller went away."""
NOT_SENT: Final = ("NR", "NC", "NFCF", "RL", "RLSE", "UAEX", "FI", "IH", "LH", "DPE", "OM", "RFCF")
"""Answered by one of its filters, its cache or its route table: no endpoint was ever meant to get it."""

SERVICE_OF_CLUSTER: Final = r"^(?:.*\|)?([^|;]*?)(?:\.svc(?:\.[^|;]*)?)?;?$"
"""The group is the service that a cluster's name speaks of: all of it, or of Istio's ``direction|port|subset|host``
the host without the suffix of Kubernetes services; nothing for the cluster of an Istio sidecar's own application."""

PARAMETERS: Final[dict[str, Any]] = {
    "envoy_cut_off": list(CUT_OFF),
    "envoy_not_connected": list(NOT_CONNECTED),
    "envoy_broken": list(BROKEN),
    "envoy_turned_away": list(TURNED_AWAY),
    "envoy_caller_gone": list(CALLER_GONE),
    "envoy_not_sent": list(NOT_SENT),
    "envoy_service": SERVICE_OF_CLUSTER,
}
"""What SQL over spans is bound to."""
