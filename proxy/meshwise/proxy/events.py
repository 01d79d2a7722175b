"""Everything a proxy counts by name beside requests: ``events`` on its statistics page, gauges in ``/metrics``.

Besides these each answer of its own is counted by its reason (``errors``), and each HTTP/2 connection that it ends by
the code it gave, as ``http2_enhance_your_calm``.
"""

from __future__ import annotations

from typing import Final

EVENTS: Final[dict[str, str]] = {
    "expired": "A request's deadline had passed before an attempt was sent.",
    "fault_delay": "A policy made a request wait.",
    "health_check": "Another proxy's health check was passed on to the application.",
    "health_check_failed": "A health check of an endpoint failed.",
    "hedge_not_repeatable": "A slow request was not hedged: it may not be repeated, or its body is not at hand.",
    "hedge_over_budget": "A slow request was not hedged: its share or the retry budget is used up.",
    "hedge_overflow": "A slow request was not hedged: no connection was to be had.",
    "http2_stalled": "An answer was given up that its caller took nothing of for `body_gap_s`.",
    "http2_stream_error": "A stream was reset because its caller broke a rule.",
    "mirror_body_too_large": "A request was not mirrored: its body does not fit the replay buffer.",
    "mirror_dropped": "A request was not mirrored: as many copies as may be are under way.",
    "mirrored": "A copy of a request was sent.",
    "source_mismatch": "A caller named another service than its certificate does.",
    "stale_connection": "An idle connection turned out to be closed; the attempt went on over a fresh one.",
    "tls_without_name": "A TLS connection to be relayed named no service.",
    "too_many_connections": "A connection was closed: `max_connections` are open.",
    "trailers_dropped": "Trailers held fields that are not passed on.",
    "tunnel": "A connection was upgraded, opened by CONNECT, or relayed as it is.",
    "tunnel_cut_off": "A tunnel was cut off at the end of a drain.",
    "tunnel_idle": "A tunnel was closed after `tunnel_idle_s` of silence.",
    "tunnel_reset": "A tunnel ended with a reset.",
}
