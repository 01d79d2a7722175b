"""Whether the two ends of an edge tell the same story: what its callers sent, and what its callees took in.

A proxy that lies or loses counts shows here, since the other end is another proxy with an identity of its own. Where
the callee has no proxy nothing can be checked, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import EdgeKey, Window
from meshwise.contracts.rows import SPANS_INSTANCE
from meshwise.contracts.telemetry import OUTCOME_CONNECT, OUTCOME_REJECTED

_UNDER_WAY_S = 10.0
"""What one end has reported of the newest moments, the other may not have yet."""


@dataclass(frozen=True, slots=True)
class EdgeEnds:
    """Attempts sent and requests taken in over ``seconds``."""

    sent: int
    arrived: int
    seconds: float

    def disagreement(self, most: float) -> str:
        """Say so when the ends differ by more than the share ``most`` of what was sent; empty when they do not."""
        if not self.arrived or not self.sent:
            return ""
        slack = self.sent * (most + _UNDER_WAY_S / max(_UNDER_WAY_S, self.seconds))
        if abs(self.sent - self.arrived) <= slack:
            return ""
        return f"its callers counted {self.sent} attempts as sent, its callees {self.arrived} as taken in"


def load_ends(client: Client, window: Window) -> Mapping[EdgeKey, EdgeEnds]:
    """Return what both ends of every edge counted in ``window``, without what was derived from spans."""
    window = window.aligned(10)
    result = client.query(
        load_sql("edge_ends"),
        parameters={
            "start": int(window.start.timestamp()),
            "end": int(window.end.timestamp()),
            "unsent": [OUTCOME_CONNECT, OUTCOME_REJECTED],
            "derived": SPANS_INSTANCE,
        },
    )
    return {
        EdgeKey(source, destination): EdgeEnds(int(sent), int(arrived), 10.0 * int(buckets))
        for source, destination, sent, arrived, buckets in result.result_rows
    }
