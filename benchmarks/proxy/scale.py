"""How the rate changes with connections, bodies, workers, routes and endpoints: ours and Envoy's, in turn."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.proxy import peers
from benchmarks.proxy.load import LoadError, saturate
from benchmarks.proxy.measure import Bench, Row, Size

ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of everything; ``axis`` is what it is a point of, ``at`` where on it."""

    axis: str
    at: str
    connections: int = 32
    path: str = "/"
    workers: int = 1
    routes: int = 1


POINTS: Final = (
    *(Point("connections", f"{count}", connections=count) for count in (1, 8, 64, 512)),
    *(Point("body", at, path=path) for at, path in (("100 B", "/"), ("10 kB", "/10k"), ("1 MB", "/1m"))),
    *(Point("workers", f"{count}", connections=64, workers=count) for count in (1, 2)),
    *(Point("routes and endpoints", f"{count:,}", routes=count) for count in (10, 1000)),
)


def scale(here: Bench, size: Size) -> list[Row]:
    """Saturate both proxies at every point; one row a turn. Proxies alike but for the load are one process."""
    rows: list[Row] = []
    both = f"{here.core},{here.other_core}"
    for workers, routes in dict.fromkeys((point.workers, point.routes) for point in POINTS):
        cores = both if workers > 1 else None
        running = {}
        for name, peer in (("meshwise", peers.meshwise_of), ("envoy", peers.envoy_of)):
            found = here.start(f"{name}_{workers}_{routes}", peer(workers, routes), cores)
            if found is not None:
                running[name] = found
        for point in POINTS:
            if (point.workers, point.routes) != (workers, routes):
                continue
            for turn in range(-1, ROUNDS):  # the first one warms up
                for name, (_, launch) in running.items():
                    try:
                        seen = saturate(
                            launch.port,
                            here.other_core,
                            path=point.path,
                            connections=point.connections,
                            seconds=max(1, size.seconds // 2),
                        )
                    except LoadError as error:
                        here.absent[f"{name}, {point.axis} {point.at}"] = str(error)
                        continue
                    row: Row = {"measurement": "scale", "proxy": name, "axis": point.axis, "at": point.at}
                    if turn >= 0:
                        rows.append({**row, "round": turn, "rps": round(seen.rps), "p99_us": seen.p99_us})
            print(f"{point.axis} {point.at}", file=sys.stderr, flush=True)
        for server, _ in running.values():
            server.stop()
    return rows


def scale_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a Markdown table of the medians, a line a point."""
    chosen = [row for row in rows if row["measurement"] == "scale"]
    lines = [
        "| | | meshwise, requests/s | Envoy, requests/s | meshwise, p99 µs | Envoy, p99 µs |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    before = ""
    for axis, at in dict.fromkeys((str(row["axis"]), str(row["at"])) for row in chosen):
        cells = []
        for key in ("rps", "p99_us"):
            for name in ("meshwise", "envoy"):
                values = [row[key] for row in chosen if (row["axis"], row["at"], row["proxy"]) == (axis, at, name)]
                cells.append(f"{median(values):,.5g}" if values else "–")
        lines.append(f"| {axis if axis != before else ''} | {at} | " + " | ".join(cells) + " |")
        before = axis
    return "\n".join(lines)
