"""Judged requests per service and window, read from the coarsest rollup that a window tolerates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.contracts.histogram import share_at_most
from meshwise.contracts.rows import EDGE_1H, EDGE_1M, EDGE_10S
from meshwise.contracts.telemetry import SIDE_CLIENT

RESOLUTIONS: Final[tuple[tuple[float, int, str], ...]] = (
    (1800.0, 10, EDGE_10S),
    (6 * 3600.0, 60, EDGE_1M),
    (float("inf"), 3600, EDGE_1H),
)
"""Windows up to so many seconds, their bucket length in seconds, and its rollup. A window is widened to whole buckets:
1.7 % at most for an hour, 4.2 % for a day."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests in one window that were judged, those that succeeded, and the latency histogram of the latter."""

    total: int = 0
    ok: int = 0
    latency_ok: Mapping[int, int] = field(default_factory=dict)

    def good(self, threshold_s: float | None) -> int:
        """Return how many succeeded, within ``threshold_s`` seconds when one is given."""
        if threshold_s is None:
            return self.ok
        share = share_at_most(self.latency_ok, threshold_s)
        return 0 if share is None else round(share * self.ok)


@dataclass(slots=True)
class _Sum:
    total: int = 0
    ok: int = 0
    latency: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, ok: bool, requests: int, latency: Mapping[int, int]) -> None:
        self.total += requests
        if ok:
            self.ok += requests
            for index, count in latency.items():
                self.latency[index] += count


ServiceCounts = Mapping[str, Mapping[float, Counts]]
"""Service → window length in seconds → counts; a window without requests is missing."""


def load_counts(client: Client, end: datetime, windows_s: Iterable[float]) -> ServiceCounts:
    """Return the counts of every called service in windows of ``windows_s`` seconds that end at ``end``.

    Per edge the caller's side is taken where it reported in any window, else the callee's.
    """
    rows: list[tuple[float, str, str, str, bool, int, Mapping[int, int]]] = []
    stop = int(end.timestamp())
    remaining = sorted(set(windows_s))
    for longest, bucket_s, table in RESOLUTIONS:
        starts: dict[int, list[float]] = defaultdict(list)
        for window in [w for w in remaining if w <= longest]:
            remaining.remove(window)
            starts[int(stop - window) // bucket_s * bucket_s].append(window)
        if not starts:
            continue
        result = client.query(
            load_sql("slo_counts"),
            parameters={"table": table, "starts": sorted(starts), "first": min(starts), "end": stop},
        )
        for start, source, destination, side, ok, requests, latency in result.result_rows:
            rows.extend((w, source, destination, side, bool(ok), requests, latency) for w in starts[start])
    return _per_service(rows)


def _per_service(rows: list[tuple[float, str, str, str, bool, int, Mapping[int, int]]]) -> ServiceCounts:
    told_by_caller = {
        (source, destination)
        for _, source, destination, side, _, requests, _ in rows
        if side == SIDE_CLIENT and requests
    }
    sums: dict[str, dict[float, _Sum]] = defaultdict(lambda: defaultdict(_Sum))
    for window, source, destination, side, ok, requests, latency in rows:
        if side == SIDE_CLIENT or (source, destination) not in told_by_caller:
            sums[destination][window].add(ok, requests, latency)
    return {
        service: {window: Counts(s.total, s.ok, dict(s.latency)) for window, s in windows.items()}
        for service, windows in sorted(sums.items())
    }
