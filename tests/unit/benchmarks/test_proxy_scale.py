"""How the proxy scales: points, configurations, table."""

import json
from pathlib import Path
from typing import Any

from benchmarks.proxy import peers
from benchmarks.proxy.envoy import envoy_configuration
from benchmarks.proxy.scale import POINTS, scale_table

from meshwise.contracts.snapshot import parse_snapshot
from meshwise.proxy.settings import ProxySettings


def test_every_axis_has_its_points() -> None:
    """Connections, bodies, workers, and routes with endpoints; what an axis is not about stays."""
    axes: dict[str, list[str]] = {}
    for point in POINTS:
        axes.setdefault(point.axis, []).append(point.at)
    assert axes == {
        "connections": ["1", "8", "64", "512"],
        "body": ["100 B", "10 kB", "1 MB"],
        "workers": ["1", "2"],
        "routes and endpoints": ["10", "1,000"],
    }


def test_both_have_as_many_routes_and_endpoints(tmp_path: Path) -> None:
    """A thousand routes of which the load's is the last looked at, a thousand endpoints, for both."""
    launch = peers._meshwise(peers.Backing(tmp_path, 9, 9), "m", "python", None, workers=2, routes=1000)
    settings = ProxySettings.model_validate_json(Path(launch.command[-1]).read_bytes())
    assert settings.workers == 2
    assert settings.snapshot_file is not None
    snapshot = parse_snapshot(json.loads(settings.snapshot_file.read_bytes()))
    assert (len(snapshot.policies), len(snapshot.clusters["catalog"])) == (1000, 1000)
    assert [policy.name for policy in snapshot.policies if policy.match.route is None] == ["bench"]
    envoy: Any = envoy_configuration(1, 2, None, flush_spans=0, routes=1000)["static_resources"]
    filters = envoy["listeners"][0]["filter_chains"][0]["filters"]
    routes = filters[0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    assert (len(routes), routes[-1]["match"]["prefix"]) == (1000, "/")
    assert len(envoy["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]) == 1000


def test_the_table_has_a_line_a_point() -> None:
    """Medians side by side; what one of them could not do is a dash."""
    rows = [
        {"measurement": "scale", "proxy": "meshwise", "axis": "body", "at": at, "rps": rps, "p99_us": 10.0}
        for at, rps in (("100 B", 100), ("100 B", 300), ("100 B", 200), ("1 MB", 7))
    ]
    rows.append({"measurement": "scale", "proxy": "envoy", "axis": "body", "at": "100 B", "rps": 150, "p99_us": 20.0})
    lines = scale_table(rows).splitlines()
    assert lines[2:] == ["| body | 100 B | 200 | 150 | 10 | 20 |", "|  | 1 MB | 7 | – | 10 | – |"]
