"""Analytics, control and the store as processes: a bad canary is judged and rolled back by nobody's hand."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meshwise.contracts.rows import EdgeBucket, RolloutFinding
from meshwise.store.client import connect
from meshwise.store.findings import select_rows
from support.analytics import analytics_command, edge_rows, insert_buckets
from support.control import eventually, running_control
from support.processes import MESHWISE, free_port, run, start
from support.store import running_store

CANDIDATE = {"match": {"source": "web", "service": "cart"}, "timeout": {"request": "5ms"}}


def _traffic(version: int, canary: str, control: list[str]) -> list[EdgeBucket]:
    # Traffic goes on beyond now, so that whole buckets after the stage's start are there as soon as they are over.
    end = datetime.now(UTC) + timedelta(seconds=90)
    fine, broken = {"ok": (200, 0.02)}, {"ok": (40, 0.02), "timeout": (160, 0.005)}
    rows = []
    for proxy, governed, outcomes in [(canary, version, broken), *((proxy, 0, fine) for proxy in control)]:
        rows += edge_rows(
            end,
            seconds=150,
            source="web",
            destination="cart",
            outcomes=outcomes,
            instance=proxy,
            sides=("client",),
            policy_version=governed,
        )
    return rows


def _shadow_rows(version: int) -> list[list[Any]]:
    # As the collector stores the counter of two proxies: most answers would have been cut off.
    rows = []
    for proxy in ("web-0", "web-1"):
        for cut, attempts in (("none", 10.0), ("attempt", 90.0)):
            attributes = {
                "meshwise.source": "web",
                "meshwise.destination": "search",
                "meshwise.outcome": "ok",
                "meshwise.shadow.version": str(version),
                "meshwise.shadow.timeout": cut,
                "meshwise.shadow.skipped": "false",
            }
            now = datetime.now(UTC)
            resource = {"service.instance.id": proxy}
            rows.append(
                ["web", "meshwise.shadow.attempts", "meshwise.proxy", resource, attributes, now, now, attempts, 1]
            )
    return rows


SUM_COLUMNS = (
    "ServiceName", "MetricName", "ScopeName", "ResourceAttributes", "Attributes", "StartTimeUnix", "TimeUnix", "Value",
    "AggregationTemporality",
)  # fmt: skip


def test_bad_candidates_are_ended_by_themselves(tmp_path: Path) -> None:
    """One that fails on its canary is rolled back on analytics' verdict, one that proxies judge so in shadow before."""
    with running_store() as store, running_control(tmp_path, ttl_s=120.0) as control:
        proxies = [control.register(f"web-{n}", "web") for n in range(4)]
        status, rollout = control.begin_rollout(CANDIDATE, stages=[25, 100])
        assert status == 201, rollout
        for proxy in proxies:
            proxy.apply()
        (canary,) = rollout["canary_proxies"]
        shadowed = control.begin_rollout(
            {"match": {"source": "web", "service": "search"}, "timeout": {"request": "5ms"}},
            shadow=True,
            proposal_id="p1",
        )[1]
        assert (shadowed["state"], shadowed["canary_proxies"]) == ("shadow", [])
        with connect(store.url) as client:
            insert_buckets(client, _traffic(rollout["policy"]["version"], canary, rollout["control_proxies"]))
            client.insert("otel_metrics_sum", _shadow_rows(shadowed["policy"]["version"]), column_names=SUM_COLUMNS)
            settings = {
                "port": free_port(),
                "store_url": store.url,
                "control_url": control.url,
                "data_dir": str(tmp_path / "analytics"),
                "cycle_s": 1.0,
                "settle_s": 0.0,
                "rollout": {"settle_s": 0.0},
            }
            with start(analytics_command(**settings), tmp_path / "out") as process:
                ended = eventually(
                    lambda: (now := control.get(f"/v1/rollouts/{rollout['id']}"))["state"] == "rolled_back" and now,
                    timeout=60.0,
                )
                findings = eventually(
                    lambda: [
                        f
                        for f in select_rows(client, RolloutFinding)
                        if (f.decision, f.rollout_id) == ("rollback", rollout["id"])
                    ],
                    timeout=20.0,
                )
                unexposed = control.get(f"/v1/rollouts/{shadowed['id']}")
                assert "Traceback" not in process.stderr
        for one in (rollout, shadowed):
            env = {"MESHWISE_ANALYTICS__STORE_URL": store.url}
            told = run([*MESHWISE, "rollout", "explain", one["id"], "--control-url", control.url], env=env)
            assert told[0] == 0, told
            assert ("made again: the proposal does not say" in told[1]) is (one is shadowed), told[1]
            assert re.search(r"rollback\s+yes\s+analytics", told[1]), told[1]
    assert (unexposed["state"], unexposed["canary_proxies"]) == ("rolled_back", [])
    assert unexposed["verdicts"][-1]["shadow"] is True
    assert unexposed["verdicts"][-1]["evidence"]["shadow"]["lost"] == 180
    assert ended["verdicts"][-1]["by"] == "analytics"
    assert ended["verdicts"][-1]["decision"] == "rollback"
    assert (findings[0].rollout_id, findings[0].stage) == (rollout["id"], 0)
    assert findings[0].reason == ended["verdicts"][-1]["reason"]
