"""Edges of services that no proxy stands beside, derived from the spans their applications send.

calls      a caller's span and the callee's are two ends of one call; either may be missing or late
covered    what a proxy on either side counted exactly is left out, by its span or by its count nearby
buckets    each bucket of ten seconds is worked out whole, and its difference to what the rollups hold is added; so a
           late span moves what it must, a run repeated changes nothing, and a backfill is the same over a past window

``SpanEdges.advance`` is called every few seconds by the analytics room; ``backfill`` by ``meshwise store backfill``.
"""

from __future__ import annotations

from meshwise.store.span_edges.job import Progress, SpanEdges

__all__ = ["Progress", "SpanEdges"]
