"""What must never leave the mesh in between: operators at odds, control dead in mid-rollout, the judge gone blind, or
lied to.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
)

from meshwise.contracts import telemetry as names
from meshwise.store.client import connect
from support.analytics import analytics_command, edge_rows, insert_buckets
from support.collector import Collector, running_collector
from support.control import Control, FakeProxy, eventually, running_control
from support.processes import Process, free_port, start
from support.store import Store, running_store

BASELINE, CANDIDATE = "1s", "2s"
REQUESTS = 200_000
"""What an honest proxy counts in ten seconds."""
SHARES = {"catalog": (0.8, 0.99), "search": (0.85, 0.85)}
"""Good requests by called service: of the candidate's, and of those of the policy in force."""


def _policy(request: str, service: str = "catalog") -> dict[str, Any]:
    return {"match": {"source": "frontend", "service": service}, "timeout": {"request": request}}


def _fleet(control: Control, *services: str) -> list[FakeProxy]:
    proxies = [control.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(4)]
    for service in services or ("catalog",):
        assert control.put_policy(_policy(BASELINE, service))[0] == 200
    for proxy in proxies:
        proxy.apply()
    return proxies


def _told(proxies: list[FakeProxy], service: str = "catalog") -> set[str]:
    """Return what the proxies are told now; each one's snapshot holds exactly one policy for calls to ``service``."""
    found = set()
    for proxy in proxies:
        (policy,) = (one for one in proxy.snapshot()["policies"] if one["match"]["service"] == service)
        found.add(policy["timeout"]["request"])
    return found


def _begin(control: Control, proxies: list[FakeProxy], service: str = "catalog", **fields: Any) -> Any:
    status, rollout = control.begin_rollout(_policy(CANDIDATE, service), stages=[25, 100], **fields)
    assert status == 201, rollout
    for proxy in proxies:
        proxy.apply()
    return rollout


@dataclass(frozen=True)
class Loop:
    """Everything that decides a rollout, as processes, and the four proxies of its caller."""

    control: Control
    store: Store
    collector: Collector
    analytics: Process
    proxies: list[FakeProxy]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Judge every half second, on two blocks of ten seconds and as soon as anything is counted."""
    directory = tmp_path_factory.mktemp("loop")
    with (
        running_store() as store,
        running_control(directory, ttl_s=120.0) as control,
        running_collector(store.url) as collector,
    ):
        settings = {
            "port": free_port(),
            "store_url": store.url,
            "control_url": control.url,
            "data_dir": str(directory / "analytics"),
            "cycle_s": 0.5,
            "rollout_every_s": 0.5,
            "rollout": {"settle_s": 0.0, "min_blocks": 2},
        }
        with start(analytics_command(**settings), directory / "out") as analytics:
            analytics.wait_event("listening")
            yield Loop(control, store, collector, analytics, _fleet(control, *SHARES))


def test_two_operators_at_once(tmp_path: Path) -> None:
    """Eight hands approve and roll back one rollout at the same moment: one word counts, and every proxy is told it."""
    with running_control(tmp_path, ttl_s=120.0) as control:
        proxies = _fleet(control)
        for _ in range(3):
            rollout = _begin(control, proxies)
            url = f"{control.url}/v1/rollouts/{rollout['id']}"

            def speak(word: str, url: str = url) -> int:
                headers = {"x-meshwise-actor": word}
                return httpx.post(f"{url}/{word}", json={"reason": word}, headers=headers, trust_env=False).status_code

            with ThreadPoolExecutor(8) as hands:
                statuses = list(hands.map(speak, ["approve", "rollback"] * 4))
            assert sorted(statuses) == [200] + [409] * 7
            state = control.get(f"/v1/rollouts/{rollout['id']}")["state"]
            assert state in ("promoted", "rolled_back")
            assert _told(proxies) == {CANDIDATE if state == "promoted" else BASELINE}
            assert control.put_policy(_policy(BASELINE))[0] == 200


def test_two_operators_with_the_same_base(tmp_path: Path) -> None:
    """Two changes made looking at the same version: the first is taken, the second is told to read again."""
    with running_control(tmp_path, ttl_s=120.0) as control:
        proxies = _fleet(control)

        def put(request: str) -> int:
            body = {"policy": _policy(request), "reason": request, "base_version": 1}
            url = f"{control.url}/v1/policies/frontend.catalog"
            return httpx.put(url, json=body, headers={"x-meshwise-actor": request}, trust_env=False).status_code

        with ThreadPoolExecutor(2) as hands:
            statuses = dict(zip(("3s", "4s"), hands.map(put, ("3s", "4s")), strict=True))
        assert sorted(statuses.values()) == [200, 409]
        assert _told(proxies) == {next(request for request, status in statuses.items() if status == 200)}


def test_control_dies_in_mid_rollout(tmp_path: Path) -> None:
    """Killed with a canary out and started again, control knows the rollout, and ends it at its deadline."""
    with running_control(tmp_path, ttl_s=120.0) as control:
        rollout = _begin(control, _fleet(control), max_duration_s=2.5)
        control.process.kill()
    with running_control(tmp_path, ttl_s=120.0) as control:
        proxies = [control.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(4)]
        ended = eventually(
            lambda: (now := control.get(f"/v1/rollouts/{rollout['id']}"))["state"] == "rolled_back" and now, timeout=20
        )
        assert ended["verdicts"][-1]["by"] == "control"
        assert "expired" in ended["verdicts"][-1]["reason"]
        assert _told(proxies) == {BASELINE}


def test_the_judge_goes_blind(loop: Loop) -> None:
    """When the store is silent analytics says nothing about a canary, which ends in the policy that was in force."""
    control, proxies = loop.control, loop.proxies
    os.kill(loop.store.process.pid, signal.SIGSTOP)
    try:
        rollout = _begin(control, proxies, max_duration_s=3.0)
        ended = eventually(
            lambda: (now := control.get(f"/v1/rollouts/{rollout['id']}"))["state"] == "rolled_back" and now, timeout=30
        )
    finally:
        os.kill(loop.store.process.pid, signal.SIGCONT)
    assert loop.analytics.popen.poll() is None
    assert [one["by"] for one in ended["verdicts"] if one["decision"] != "hold"] == ["control"]
    assert _told(proxies) == {BASELINE}


def _lies(liar: str, claims: Mapping[str, str], version: int) -> tuple[int, bytes]:
    """Return an export of ``liar`` and how many points it has; ``claims`` has an outcome for each called service.

    For a minute and a half it counts ten times what its peers do; besides, it tells of two hours and of ten days ago,
    and its counters go down, those of an interval below zero and those since its start from one point to the next.
    """
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in ((names.SERVICE_NAME, "frontend"), (names.SERVICE_INSTANCE_ID, liar)):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_metrics.add()
    scope.scope.name = names.SCOPE
    now, ten_times = time.time_ns(), 10 * REQUESTS
    ages_s = [*range(-60, 30, 10), 7_200, 864_000]
    told = [(AGGREGATION_TEMPORALITY_DELTA, age, ten_times) for age in ages_s]
    told.append((AGGREGATION_TEMPORALITY_DELTA, 0, -ten_times))
    told += [(AGGREGATION_TEMPORALITY_CUMULATIVE, -age, ten_times * (9 - age)) for age in range(3)]
    for metric in (names.METRIC_REQUESTS, names.METRIC_ATTEMPTS):
        for temporality, age_s, count in told:
            total = scope.metrics.add(name=metric).sum
            total.aggregation_temporality, total.is_monotonic = temporality, True
            for service, outcome in claims.items():
                at = now - age_s * 1_000_000_000
                point = total.data_points.add(start_time_unix_nano=at - 1, time_unix_nano=at, as_int=count)
                for key, text in (
                    (names.SOURCE, "frontend"),
                    (names.DESTINATION, service),
                    (names.METHOD, "GET"),
                    (names.SIDE, names.SIDE_CLIENT),
                    (names.OUTCOME, outcome),
                    (names.POLICY_VERSION, str(version)),
                ):
                    point.attributes.add(key=key).value.string_value = text
    return 2 * len(told) * len(claims), request.SerializeToString()


def _honest(rollout: Any, service: str, liar: str) -> list[Any]:
    """Return what everybody but ``liar`` counts, over more than the length of the test."""
    rows = []
    tried, in_force = SHARES[service]
    version, baseline = rollout["policy"]["version"], rollout["baseline"]["version"]
    arms = [(name, version, tried) for name in rollout["canary_proxies"]]
    arms += [(name, baseline, in_force) for name in rollout["control_proxies"] if name != liar]
    for instance, governed, share in arms:
        good = round(REQUESTS * share)
        rows += edge_rows(
            datetime.now(UTC) + timedelta(seconds=60),
            seconds=90,
            source="frontend",
            destination=service,
            outcomes={"ok": (good, 0.02), "error": (REQUESTS - good, 0.02)},
            instance=instance,
            sides=("client",),
            policy_version=governed,
        )
    return rows


def test_poisoned_counts_in_mid_rollout(loop: Loop) -> None:
    """One proxy's lies neither save a bad candidate nor end a good one, and nothing stays in between."""
    control, proxies = loop.control, loop.proxies
    rollouts = {service: _begin(control, proxies, service) for service in SHARES}
    liar = min(set.intersection(*(set(one["control_proxies"]) for one in rollouts.values())))
    # Where the candidate is bad the policy in force is made to look worse, where it is as good, to look perfect.
    points, body = _lies(liar, {"catalog": "error", "search": "ok"}, version=1)
    headers = {"content-type": "application/x-protobuf"}
    answer = httpx.post(f"{loop.collector.url}/v1/metrics", content=body, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    loop.collector.wait_stored(points)
    with connect(loop.store.url) as client:
        insert_buckets(client, [row for name, one in rollouts.items() for row in _honest(one, name, liar)])

    def ended(service: str) -> Callable[[], Any]:
        url = f"/v1/rollouts/{rollouts[service]['id']}"
        return lambda: (now := control.get(url))["state"] in ("promoted", "rolled_back") and now

    last = {}
    for service, state, request in (("catalog", "rolled_back", BASELINE), ("search", "promoted", CANDIDATE)):
        now = eventually(ended(service), timeout=60.0)
        last[service] = now["verdicts"][-1]
        assert now["state"] == state, last[service]
        assert _told(proxies, service) == {request}
    assert {one["by"] for one in last.values()} == {"analytics"}
    assert [one["evidence"]["left_out"] for one in last.values()] == [[liar], [liar]]
    assert "Traceback" not in loop.analytics.stderr
