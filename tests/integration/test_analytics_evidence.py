"""What proposals and the judge of canaries read, from a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from meshwise.analytics.audits import audits_for
from meshwise.analytics.cause.shared import read_shared
from meshwise.analytics.load import load_world
from meshwise.analytics.proposal import load_attempts, propose
from meshwise.analytics.proposal.again import propose_again
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.rollout import judge_from_store, load_arms
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.span_attempts import EXPORT_ONLY, load_span_attempts
from meshwise.analytics.steering import steer
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.cli.app import execute
from meshwise.contracts import telemetry
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.policy import Policy, parse_policy
from meshwise.contracts.rows import SPANS_INSTANCE
from meshwise.control.dialects import DIALECTS
from meshwise.store.client import connect
from support.analytics import serving_proposals
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
    "policy_version",
    "outcome",
    "requests",
    "attempts",
    "retries",
    "latency",
]


_SUM = [
    "ServiceName",
    "MetricName",
    "ScopeName",
    "ResourceAttributes",
    "Attributes",
    "StartTimeUnix",
    "TimeUnix",
    "Value",
    "AggregationTemporality",
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
            edge = [at, "frontend", "recommendation", "GET", "client", instance, 2 if failed == 1 else 1]
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

    def test_hedges_and_shadows(self, client: Any) -> None:
        """An attempt beside a slow one, and one beside which a candidate was evaluated, are told from the others."""
        end = END - timedelta(days=1, hours=6)
        rows = []
        for number, more in enumerate(({}, {telemetry.RETRY_REASON: "hedge"}, {telemetry.SHADOW_VERSION: "4"})):
            row = _span(number)
            row[0], row[4] = end - timedelta(seconds=10 - number), 1_000_000
            row[5] = {**row[5], **more}
            rows.append(row)
        client.insert("otel_traces", rows, column_names=_SPAN)
        found = load_attempts(client, Window(end - timedelta(seconds=60), end))
        assert found.hedge.tolist() == [False, True, False]
        assert found.shadow.tolist() == [False, False, True]

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


class TestProposeAgain:
    """The proposal behind a rollout, made again from what the store has."""

    WINDOW = Window(END - timedelta(seconds=130), END)

    def rollout(self, client: Any, **made_from: Any) -> dict[str, Any]:
        world = load_world(client, self.WINDOW)
        findings = audits_for(AnalyticsSettings()).propose(client, self.WINDOW, world, (policy(),))
        (made,) = [one for one in findings if one.status == "proposed"]
        evidence = json.loads(made.evidence)
        evidence["made_from"] |= made_from
        return {"policy": json.loads(made.policy), "evidence": evidence, "proposal_id": made.id}

    def test_comes_out_again(self, client: Any) -> None:
        """The same attempts, policies and limits give the same id, whatever the settings are by now."""
        asked: list[dict[str, int]] = []

        def policies(versions: Any) -> tuple[Policy, ...]:
            asked.append(dict(versions))
            return (policy(),)

        rollout = self.rollout(client)
        found = propose_again(client, rollout, policies)
        assert found.holds is True, found.text
        assert asked == [{policy().name: policy().version}]
        other = propose_again(client, rollout | {"proposal_id": "0123456789abcdef"}, policies)
        assert other.holds is False
        assert "another answer" in other.text

    def test_attempts_that_are_gone(self, client: Any) -> None:
        """When the store has dropped the spans, or some of them, that is said, and nothing is made up of the rest."""
        old = [(END - timedelta(days=9)).isoformat(), (END - timedelta(days=9, seconds=-130)).isoformat()]
        gone = propose_again(client, self.rollout(client, window=old), lambda _: ())
        assert gone.holds is None
        assert "none of its" in gone.text
        some = propose_again(client, self.rollout(client, attempts=10**6), lambda _: ())
        assert some.holds is None
        assert "of its 1000000 attempts are still in the store" in some.text

    def test_of_what_says_nothing(self, client: Any) -> None:
        """A rollout that an operator began, and a proposal of before this was noted."""
        assert propose_again(client, {"proposal_id": ""}, lambda _: ()).holds is None
        assert "does not say" in propose_again(client, {"proposal_id": "x", "evidence": {}}, lambda _: ()).text
        with pytest.raises(ValueError, match="not what a proposal was made from"):
            propose_again(client, {"proposal_id": "x", "evidence": {"made_from": {}}}, lambda _: ())


def test_proposals_of_a_cycle(client: Any) -> None:
    """Who is unlike its peers is left out, and named; where the ends of an edge count differently nothing is proposed.

    Both edges have the same attempts, a quarter of them of a proxy that calls everything a failure. The callees of one
    took in half of what was sent to them.
    """
    end = END - timedelta(minutes=40)
    spans, counts = [], []
    for destination, arrived in (("recs", 200), ("cart", 100)):
        for number in range(len(RECORDED)):
            row = _span(number)
            row[0] -= END - end
            row[5] = {**row[5], telemetry.SOURCE: "web", telemetry.DESTINATION: destination}
            if RECORDED.instance[number] == "frontend-3":
                row[5] = {**row[5], telemetry.ATTEMPT_OUTCOME: "timeout"}
            spans.append(row)
        for block in range(12):
            edge = [end - timedelta(seconds=10 * (12 - block)), "web", destination, "GET"]
            counts.append([*edge, "client", "web-1", 1, "ok", 200, 200, 0, {}])
            counts.append([*edge, "server", f"{destination}-1", 1, "ok", arrived, arrived, 0, {}])
    client.insert("otel_traces", spans, column_names=_SPAN)
    client.insert("mesh_edge_10s", counts, column_names=_BUCKET)
    window = Window(end - timedelta(seconds=130), end)
    policies = [
        parse_policy(
            {"match": {"source": "web", "service": name}, "timeout": {"request": "1s"}, "retry": {"max": 0},
             "version": 1}
        )
        for name in ("recs", "cart")
    ]  # fmt: skip
    settings = AnalyticsSettings(proposal=ProposalConfig(simulated_requests=2500))
    found = audits_for(settings).propose(client, window, World.from_buckets(window, []), policies)
    told = {one.destination: (one, json.loads(one.evidence)) for one in found if one.source == "web"}
    proposed, evidence = told["recs"]
    assert proposed.status == "proposed", proposed.sentence
    assert evidence["left_out"] == ["frontend-3"]
    assert evidence["checked_at_both_ends"]
    assert evidence["current"]["replay"]["success"]["value"] == pytest.approx(0.9, abs=0.03)
    refused, evidence = told["cart"]
    assert refused.status == "refused"
    assert evidence["reason"] == "ends"
    assert "2400" in refused.sentence
    assert "1200" in refused.sentence


ROLLOUT: dict[str, Any] = {
    "policy": {"match": {"source": "frontend", "service": "recommendation"}, "version": 2},
    "baseline": None,
    "canary_proxies": ["frontend-0"],
    "control_proxies": ["frontend-1", "frontend-2", "frontend-3"],
    "stage": 0,
    "stage_started_at": (END - timedelta(seconds=58)).isoformat(),
}


def test_bad_attempts_share_the_version_of_their_callee(client: Any) -> None:
    """What the callee is, its own spans say: half of the instances run the version that all bad attempts met."""
    end = END - timedelta(hours=30)
    rows = []
    for number in range(80):
        at, bad = end - timedelta(seconds=5, milliseconds=number), number % 2 == 0
        ids = [f"{number:032x}", f"{number:016x}", ""]
        attributes = {telemetry.SERVICE_PEER_NAME: "cart", telemetry.ENDPOINT: f"10.0.0.{number % 8}:80"}
        client_span = [at, "Client", "web", "", 10**6, attributes, {telemetry.SERVICE_INSTANCE_ID: "web-1"}]
        rows.append([*client_span, *ids, "Error" if bad else "Unset"])
        if number % 10:
            about = {"service.version": "2.0" if bad else "1.9", telemetry.SERVICE_INSTANCE_ID: f"cart-{number % 8}"}
            served = [at + timedelta(milliseconds=1), "Server", "cart", "", 10**5, {}, about]
            rows.append([*served, ids[0], f"{number + 1000:016x}", ids[1], "Unset"])
    client.insert("otel_traces", rows, column_names=[*_SPAN, "TraceId", "SpanId", "ParentSpanId", "StatusCode"])
    found = read_shared(client, EdgeKey("web", "cart"), end - timedelta(seconds=60), end)
    assert found is not None
    assert (found.attribute, found.value, found.of_bad) == ("callee version", "2.0", 1.0)


def test_bad_attempts_that_were_kept_beyond_their_share(client: Any) -> None:
    """Each good attempt stands for eight, as one of eight was kept, and each bad one for itself, as all were."""
    end = END - timedelta(hours=36)
    rows = []
    for number in range(40):
        bad = number % 2 == 0
        attributes = {telemetry.SERVICE_PEER_NAME: "cart", telemetry.ENDPOINT: f"10.0.0.{1 if bad else number % 4}:80"}
        sampled = [end - timedelta(seconds=5), "Client", "web", "", 10**6, attributes, {}]
        rows.append([*sampled, f"{number:032x}", f"{number:016x}", *(("Error", "") if bad else ("Unset", "ot=th:e"))])
    client.insert("otel_traces", rows, column_names=[*_SPAN, "TraceId", "SpanId", "StatusCode", "TraceState"])
    found = read_shared(client, EdgeKey("web", "cart"), end - timedelta(seconds=60), end)
    assert found is not None
    # Ten of the twenty good ones went to the endpoint of the bad ones.
    assert (found.value, found.of_bad, found.of_all) == ("10.0.0.1:80", 1.0, (20 + 8 * 10) / (20 + 8 * 20))


class TestLoadArms:
    def test_counts(self, client: Any) -> None:
        """Both arms come back per proxy and block, by the version of the policy; the last block is still open."""
        counts = load_arms(client, ROLLOUT, END + timedelta(seconds=4))
        assert len(counts.block_starts) == 7
        assert counts.canary.requests.tolist() == [[120] * 6 + [0]]
        assert counts.control.good.tolist() == [[108] * 6 + [0]] * 3
        assert counts.canary.timely.tolist() == [[117] * 6 + [0]]
        assert counts.control.attempts.sum() == 18 * 132
        assert counts.control.retries.sum() == 18 * 12

    def test_what_budgets_refused(self, client: Any) -> None:
        """Retries that the budget refused come beside them, by proxy, block and version; for other reasons none do."""
        attributes = {
            telemetry.SOURCE: "frontend",
            telemetry.DESTINATION: "recommendation",
            telemetry.ROUTE: "",
            telemetry.HTTP_REQUEST_METHOD: "GET",
            telemetry.SIDE: telemetry.SIDE_CLIENT,
        }
        rows = []
        for ago, instance, version, reason, count in (
            (60, "frontend-0", 2, "budget", 4),
            (58, "frontend-0", 2, "budget", 3),
            (60, "frontend-0", 2, "max", 50),
            (60, "frontend-0", 9, "budget", 60),
            (30, "frontend-1", 1, "budget", 5),
            (70, "frontend-0", 2, "budget", 70),
        ):
            at = END - timedelta(seconds=ago)
            told = {**attributes, telemetry.POLICY_VERSION: str(version), telemetry.RETRY_DENIED: reason}
            proxy = {telemetry.SERVICE_INSTANCE_ID: instance}
            name = telemetry.METRIC_RETRIES_DENIED
            rows.append(["frontend", name, telemetry.SCOPE, proxy, told, at, at + timedelta(seconds=2), count, 1])
        client.insert("otel_metrics_sum", rows, column_names=_SUM)
        counts = load_arms(client, {**ROLLOUT, "control_version": 1}, END + timedelta(seconds=4))
        assert counts.canary.denied.tolist() == [[7, 0, 0, 0, 0, 0, 0]]
        assert counts.control.denied.sum() == 5
        assert counts.canary.requests.tolist() == [[120] * 6 + [0]]

    def test_another_version_is_nobodys(self, client: Any) -> None:
        """Requests that neither the candidate nor its baseline governed are in neither arm."""
        other = {**ROLLOUT, "policy": {**ROLLOUT["policy"], "version": 9}, "control_version": 7}
        counts = load_arms(client, other, END + timedelta(seconds=4))
        assert (counts.canary.total, counts.control.total) == (0, 0)

    def test_verdict(self, client: Any) -> None:
        """Nine points better over six blocks advances."""
        verdict = judge_from_store(ROLLOUT, client, END + timedelta(seconds=4))
        assert verdict.decision == "advance", verdict.reason


@pytest.fixture(scope="module")
def told(client: Any) -> Any:
    """Edges as others than proxies tell of them: two applications', one counted by proxies too, and an Envoy's."""
    rows, when = [], END - timedelta(minutes=10)
    for source, destination in (("legacy", "billing"), ("half", "meshed")):
        for i in range(len(RECORDED)):
            began = when + timedelta(seconds=float(RECORDED.start[i] - RECORDED.start[0]) - 125.0)
            failed = str(RECORDED.outcome[i]) != "ok"
            attributes = {"http.request.method": "GET", "server.address": destination}
            attributes |= {"error.type": "ReadTimeout"} if failed else {"http.response.status_code": "200"}
            lasted = int(RECORDED.duration[i] * 1e9)
            status = "Error" if failed else "Unset"
            ids = [f"{i:031x}{len(source) % 10}", f"{i:016x}"]
            rows.append([began, "Client", source, "app", lasted, attributes, {}, *ids, status])
            # The library under the one that wrote the span: the same call.
            rows.append([began, "Client", source, "lib", lasted, attributes, {}, ids[0], f"f{i:015x}", status])
    for i in range(len(RECORDED)):
        began = when + timedelta(seconds=float(RECORDED.start[i] - RECORDED.start[0]) - 125.0)
        lasted, failed = int(RECORDED.duration[i] * 1e9), str(RECORDED.outcome[i]) != "ok"
        common = {"component": "proxy", "upstream_cluster": "stock", "upstream_cluster.name": "stock"}
        ended = {"http.status_code": "504" if failed else "200", "response_flags": "UT" if failed else "-"}
        request = {**common, **ended, "http.method": "GET", "node_id": "gateway-1"}
        tried = {**common, **ended, "upstream_address": "10.0.0.9:80", **({"http.status_code": "0"} if failed else {})}
        status = "Error" if failed else "Unset"
        rows.append([began, "Server", "gateway", "app", lasted, request, {}, f"e{i:031x}", f"e{i:015x}", status])
        rows.append([began, "Client", "gateway", "lib", lasted, tried, {}, f"e{i:031x}", f"d{i:015x}", status])
    columns = [*_SPAN, "TraceId", "SpanId", "StatusCode"]
    parents = ["" if row[3] == "app" else rows[n - 1][8] for n, row in enumerate(rows)]
    client.insert(
        "otel_traces",
        [[*row, parent] for row, parent in zip(rows, parents, strict=True)],
        column_names=[*columns, "ParentSpanId"],
    )
    bucket = when - timedelta(seconds=60)
    counted = [
        [bucket, "legacy", "billing", "GET", "client", SPANS_INSTANCE, 0, "ok", 5, 5, 0, {}],
        [bucket, "half", "meshed", "GET", "client", SPANS_INSTANCE, 0, "ok", 5, 5, 0, {}],
        [bucket, "half", "meshed", "GET", "client", "half-1", 0, "ok", 5, 5, 0, {}],
        [bucket, "gateway", "stock", "GET", "client", SPANS_INSTANCE, 0, "ok", 5, 5, 0, {}],
    ]
    client.insert("mesh_edge_10s", counted, column_names=_BUCKET)
    return client, Window(when - timedelta(seconds=130), when)


TOLD = {"legacy": ("billing", "applications"), "gateway": ("stock", "Envoys")}
"""Whom each caller calls, and whose spans say so."""


class TestSpanAttempts:
    def test_only_edges_that_no_proxy_counts(self, told: Any) -> None:
        """Each call is one attempt, whichever libraries told of it; what a proxy counts too is left to the proxy."""
        attempts = load_span_attempts(*told).attempts
        edges = {(key.source, key.destination): found for key, found in attempts.groups()}
        assert set(edges) == {(source, destination) for source, (destination, _) in TOLD.items()}
        assert len(set(attempts.request_id)) == len(attempts)
        for found in edges.values():
            assert len(found) == pytest.approx(len(RECORDED), abs=25)
            assert found.ok.mean() == pytest.approx(RECORDED.ok.mean(), abs=0.01)
            assert set(found.outcome) == {"ok", "timeout"}

    def test_an_envoys_attempts(self, told: Any) -> None:
        """The span of a request gives its attempts their method; their own give endpoint, outcome and time."""
        found = load_span_attempts(*told)
        attempts = found.attempts.select(found.attempts.source == "gateway")
        assert set(attempts.method) == {"GET"}
        assert set(attempts.endpoint) == {"10.0.0.9:80"}
        assert set(attempts.select(attempts.outcome == "timeout").status) == {0}
        assert found.by_envoys == {EdgeKey("gateway", "stock")}

    def test_of_a_sampled_edge_only_what_chance_kept_counts(self, client: Any) -> None:
        """One call in a hundred fails; a tenth was kept by chance, and all that failed: the share of failures holds."""
        end = END - timedelta(hours=3)
        rows = []
        for number in range(2000):
            failed = number % 100 == 7
            kept = number % 10 == 0 or number % 1000 == 7
            if not kept and not failed:
                continue
            # Randomness f0…: kept by a threshold of e6… (a tenth). 10…: kept because it failed.
            low = "f0" if kept else "10"
            attributes = {"http.request.method": "GET", "server.address": "ledger"}
            attributes |= {"error.type": "ReadTimeout"} if failed else {"http.response.status_code": "200"}
            for service in ("sampled", "whole"):
                ids = [f"{len(service):016x}00{low}{number:012x}", f"{number:016x}"]
                state = "ot=th:e6666666666668" if kept and service == "sampled" else ""
                status = "Error" if failed else "Unset"
                row = [end - timedelta(seconds=10), "Client", service, "app", 10**6, attributes, {}]
                rows.append([*row, *ids, status, state])
        names = [*_SPAN, "TraceId", "SpanId", "StatusCode", "TraceState"]
        client.insert("otel_traces", rows, column_names=names)
        bucket = end - timedelta(seconds=10)
        edges: list[list[Any]] = [
            [bucket, source, "ledger", "GET", "client", SPANS_INSTANCE, 0, "ok", 5, 5, 0, {}]
            for source in ("sampled", "whole")
        ]
        client.insert("mesh_edge_10s", edges, column_names=_BUCKET)
        found = load_span_attempts(client, Window(end - timedelta(seconds=60), end))
        counted = {key.source: (len(part), int((~part.ok).sum())) for key, part in found.attempts.groups()}
        assert counted == {"sampled": (202, 2), "whole": (220, 20)}

    @pytest.mark.parametrize("source", TOLD)
    def test_what_is_proposed_is_for_export_alone(self, proposed: Any, source: str) -> None:
        """The proposal says what it rests on and how to carry it over, and nothing would submit it."""
        finding, (_, origin) = proposed[source], TOLD[source]
        assert finding.status == EXPORT_ONLY, finding.sentence
        assert f"meshwise policy export --proposal {finding.id}" in finding.sentence
        assert json.loads(finding.evidence)["origin"] == f"spans of {origin}"
        assert "the timeouts in force are not known" in finding.evidence
        assert steer([finding], [], END, cooldown_s=0, memory_s=0).chosen == ()

    @pytest.mark.parametrize("source", TOLD)
    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_the_command_that_it_names_exports_it(
        self, proposed: Any, source: str, dialect: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """``policy export --proposal`` prints the proposed timeout in the words of the other mesh."""
        finding = proposed[source]
        with serving_proposals(proposed.values()) as url:
            command = ["policy", "export", "--proposal", finding.id, "--dialect", dialect, "--analytics-url", url]
            assert execute(command) == 0
        out = capsys.readouterr().out
        policy = parse_policy(json.loads(finding.policy))
        assert list(yaml.safe_load_all(out)) == list(DIALECTS[dialect](policy).documents)
        seconds = policy.timeout.request
        assert (f"timeout: {seconds:g}s" if dialect == "envoy" else f"timeout: {seconds * 1000:.0f}ms") in out


@pytest.fixture(scope="module")
def proposed(told: Any) -> dict[str, Any]:
    """What is proposed for each edge that only spans tell of, by its caller."""
    client, window = told
    found = audits_for(AnalyticsSettings()).propose(client, window, World.from_buckets(window, []), ())
    return {one.source: one for one in found if one.source in TOLD}
