"""What proposals and the judge of canaries read, from a real store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshwise.analytics.proposal import load_attempts, propose
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.rollout import judge_from_store, load_arms
from meshwise.analytics.world import Window, World
from meshwise.contracts import telemetry
from meshwise.contracts.histogram import bucket_index
from meshwise.store.client import connect
from support.recorded_attempts import heavy_tail, policy
from support.store import running_store

NOW = datetime.now(UTC).replace(microsecond=0)
END = datetime.fromtimestamp(NOW.timestamp() // 10 * 10, UTC)
RECORDED = heavy_tail(120, 20)
SHIFT_S = END.timestamp() - 120 - RECORDED.start[0] + 0.1


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with running_store() as store:
        connection = connect(store.url)
        connection.insert("otel_traces", [_span(i) for i in range(len(RECORDED))], column_names=_SPAN)
        connection.insert("mesh_edge_10s", list(_buckets()), column_names=_BUCKET)
        yield connection
        connection.close()


_SPAN = [
    "Timestamp",
    "SpanKind",
    "ServiceName",
    "ScopeName",
    "Duration",
    "SpanAttributes",
    "ResourceAttributes",
]
_BUCKET = [
    "bucket",
    "source",
    "destination",
    "method",
    "side",
    "instance",
    "outcome",
    "requests",
    "attempts",
    "retries",
    "latency",
]


def _span(i: int) -> list[Any]:
    attributes = {
        telemetry.SOURCE: "frontend",
        telemetry.DESTINATION: "recommendation",
        telemetry.HTTP_REQUEST_METHOD: "GET",
        telemetry.ATTEMPT_ORDINAL: "1",
        telemetry.ATTEMPT_FINAL: "true",
        telemetry.ATTEMPT_OUTCOME: str(RECORDED.outcome[i]),
        telemetry.TIMEOUT_ATTEMPT: "1000",
        telemetry.REQUEST_ID: f"{i:016x}",
        telemetry.ENDPOINT: str(RECORDED.endpoint[i]),
        telemetry.POLICY_VERSION: "1",
    }
    if RECORDED.outcome[i] == "ok":
        attributes[telemetry.HTTP_RESPONSE_STATUS_CODE] = "200"
    return [
        datetime.fromtimestamp(RECORDED.start[i] + SHIFT_S, UTC),
        "Client",
        "frontend",
        telemetry.SCOPE,
        int(RECORDED.duration[i] * 1e9),
        attributes,
        {telemetry.SERVICE_INSTANCE_ID: str(RECORDED.instance[i])},
    ]


def _buckets() -> Iterator[list[Any]]:
    fast, slow = bucket_index(0.02), bucket_index(0.9)
    for block in range(6):
        at = END - timedelta(seconds=60 - 10 * block)
        for instance in ("frontend-0", "frontend-1", "frontend-2", "frontend-3"):
            failed = 1 if instance == "frontend-0" else 12
            edge = [at, "frontend", "recommendation", "GET", "client", instance]
            yield [*edge, "ok", 120 - failed, 120 - failed, 0, {fast: 118 - failed, slow: 2}]
            yield [*edge, "timeout", failed, 2 * failed, failed, {slow: failed}]


class TestLoadAttempts:
    def test_a_part_of_the_last_second_is_read(self, client: Any) -> None:
        """Attempts of the window's last second count, also where the store keeps them in a part of their own."""
        end = END - timedelta(days=1)
        row = _span(0)
        row[0], row[4] = end - timedelta(milliseconds=500), 100_000_000
        client.insert("otel_traces", [row], column_names=_SPAN)
        assert len(load_attempts(client, Window(end - timedelta(seconds=60), end))) == 1

    def test_of_a_sampled_route_only_what_chance_kept_counts(self, client: Any) -> None:
        """Failures that were kept beyond their share are left out; a route beside it that was not sampled is whole."""
        end = END - timedelta(days=2)
        rows = []
        for number in range(8):
            row = _span(number)
            row[0], row[4] = end - timedelta(seconds=10, milliseconds=number), 1_000_000
            row[5] = {**row[5], telemetry.HTTP_ROUTE: "/sampled" if number < 6 else "/whole"}
            # Randomness f0…: kept by a threshold of c0… (a quarter). 10…: kept because it failed.
            low = "f0" if number % 2 else "10"
            state = "ot=th:c,x=y" if number % 2 and number < 6 else "x=y"
            rows.append([*row, "0" * 17 + "1" + low + "0" * 12, state])
        rows[2][8] = "ot=rv:f0000000000000"
        client.insert("otel_traces", rows, column_names=[*_SPAN, "TraceId", "TraceState"])
        found = load_attempts(client, Window(end - timedelta(seconds=60), end))
        assert {key.route: len(part) for key, part in found.groups()} == {"/sampled": 4, "/whole": 2}

    def test_round_trip(self, client: Any) -> None:
        """Spans come back as the attempts they were made of."""
        attempts = load_attempts(client, Window(END - timedelta(seconds=130), END))
        assert len(attempts) == pytest.approx(len(RECORDED), abs=25)  # the last ones end after the window
        assert attempts.ok.mean() == pytest.approx(RECORDED.ok.mean(), abs=0.01)
        assert set(attempts.instance) == set(RECORDED.instance)
        assert set(attempts.endpoint) == {"rec-1", "rec-2"}
        assert set(attempts.cut) == {1.0}
        assert attempts.final.all()
        assert set(attempts.status) == {0, 200}
        assert attempts.duration[attempts.ok].max() < 0.2

    def test_sample_of_a_busy_route(self, client: Any) -> None:
        """The limit keeps a sample from the whole window, not only its end."""
        attempts = load_attempts(client, Window(END - timedelta(seconds=130), END), max_per_route=100)
        assert len(attempts) == 100
        assert len({round(start / 10) for start in attempts.start}) >= 10

    def test_proposal(self, client: Any) -> None:
        """What was stored leads to the proposal that helps."""
        window = Window(END - timedelta(seconds=130), END)
        world = World.from_buckets(window, [])
        (finding,) = propose(load_attempts(client, window), world, [policy()], ProposalConfig())
        assert finding.status == "proposed", finding.sentence


ROLLOUT: dict[str, Any] = {
    "policy": {"match": {"source": "frontend", "service": "recommendation"}},
    "baseline": None,
    "canary_proxies": ["frontend-0"],
    "control_proxies": ["frontend-1", "frontend-2", "frontend-3"],
    "stage": 0,
    "stage_started_at": (END - timedelta(seconds=58)).isoformat(),
}


class TestLoadArms:
    def test_counts(self, client: Any) -> None:
        """Both arms come back per proxy and whole block since the stage began."""
        counts = load_arms(client, ROLLOUT, END + timedelta(seconds=4))
        assert len(counts.block_starts) == 5
        assert counts.canary.requests.tolist() == [[120] * 5]
        assert counts.control.good.tolist() == [[108] * 5] * 3
        assert counts.canary.timely.tolist() == [[117] * 5]
        assert counts.control.attempts.sum() == 15 * 132
        assert counts.control.retries.sum() == 15 * 12

    def test_verdict(self, client: Any) -> None:
        """Nine points better over five blocks advances."""
        verdict = judge_from_store(ROLLOUT, client, END + timedelta(seconds=4))
        assert verdict.decision == "advance", verdict.reason
