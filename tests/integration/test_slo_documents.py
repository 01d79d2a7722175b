"""OpenSLO documents on a running mesh: applied by the command, counted by the real queries, told by the API."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import meshwise.analytics as mw
from meshwise.analytics.slo.backtest import Incident
from meshwise.analytics.slo.counts import read_series
from meshwise.analytics.slo.waits import Waits, find_waits
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.rows import EdgeBucket, SloDocument
from meshwise.contracts.slo import Signal
from meshwise.store.client import connect
from meshwise.store.findings import select_rows
from support.analytics import analytics_command, edge_rows, insert_buckets
from support.openslo import document, inline, policy, ratio, slo
from support.processes import MESHWISE, Process, fetch, free_port, run, start
from support.store import Store, running_store

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Any]:
    with connect(store.url, form_encode_query_params=True) as connected:
        yield connected


@pytest.fixture(scope="module")
def analytics(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Process]]:
    port, directory = free_port(), tmp_path_factory.mktemp("analytics")
    settings = {
        "port": port,
        "store_url": store.url,
        "control_url": f"http://127.0.0.1:{free_port()}",
        "data_dir": str(directory / "data"),
        "cycle_s": 60,
        "settle_s": 0.0,
        "webhooks": [{"url": "https://hooks.example/", "name": "on-call"}],
    }
    base = f"http://127.0.0.1:{port}"
    with start(analytics_command(**settings), directory / "output") as process:
        process.wait_ready(f"{base}/readyz")
        yield base, process


def meshwise(*arguments: str, url: str) -> tuple[int, str, str]:
    return run([*MESHWISE, "slo", *arguments, "--analytics-url", url])


def cycle(url: str, process: Process) -> None:
    status, answer = fetch(f"{url}/v1/cycle", method="POST", timeout=60.0)
    assert (status, "slo" in answer["failed"]) == (200, False), process.stderr[-3000:]


def written(path: Path, *documents: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


class TestCounts:
    """What the real store answers for a signal."""

    START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 26 * HOUR

    def counted(self, client: Any, signal: Signal, waits: Waits | None = None) -> tuple[float, float]:
        first = int(self.START.timestamp())
        found = [
            read_series(client, (Signal("other"), signal), first, first + 3600, step_s=step, waits=waits or Waits())
            for step in (10, 60, 3600)
        ]
        sums = {(round(one.good[1].sum(), 6), one.total[1].sum()) for one in found}
        assert len(sums) == 1, "every rollup says the same"
        return next(iter(sums))

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def rows(cls, client: Any) -> None:
        row = edge_rows(cls.START + HOUR, seconds=10, source="web", destination="c1", outcomes={"ok": (0, 0.1)})[0]

        def edge(source: str, side: str, outcome: str, requests: int, seconds: float, **more: Any) -> EdgeBucket:
            latency = {bucket_index(seconds): requests} if requests else {}
            fields: dict[str, Any] = {"source": source, "side": side, "outcome": outcome, "requests": requests}
            return replace(row, **{**fields, "latency": latency, **more})

        insert_buckets(
            client,
            [
                edge("web", "client", "ok", 80, 0.1),
                edge("web", "client", "ok", 10, 2.0, route="/slow"),
                edge("web", "client", "timeout", 5, 1.0, method="POST"),
                edge("web", "client", "cancelled", 3, 1.0),
                edge("web", "server", "ok", 92, 0.1),
                edge("", "server", "ok", 7, 0.1),
                edge("", "server", "error", 2, 0.1),
                # A caller that only retried is no witness.
                edge("job", "client", "error", 0, 0.1),
                edge("job", "server", "ok", 4, 0.1),
            ],
        )

    @pytest.mark.parametrize(
        ("signal", "expected"),
        [
            (Signal("c1"), (80 + 10 + 7 + 4, 80 + 10 + 5 + 7 + 2 + 4)),
            (Signal("c1", source="web"), (90, 95)),
            (Signal("c1", route="/slow"), (10, 10)),
            (Signal("c1", methods=("POST", "PUT")), (0, 5)),
            (Signal("c1", judged=frozenset({"ok", "error"})), (101, 103)),
            (Signal("c1", good=frozenset({"ok", "error"})), (103, 108)),
            (Signal("c1", within_s=0.5), (91, 108)),
            (Signal("c1", within_s=0.01), (0, 108)),
            (Signal("nobody"), (0, 0)),
        ],
    )
    def test_selectors(self, client: Any, signal: Signal, expected: tuple[float, float]) -> None:
        """Callers are believed over callees, cancelled requests are not judged, and every selector narrows."""
        assert self.counted(client, signal) == expected

    def test_routes_that_wait_by_design_are_found_and_left_out(self, client: Any) -> None:
        """Thirty hours of long polls are found; an incident of five hours on another route is not."""
        end = self.START
        row = edge_rows(end, seconds=10, source="web", destination="c2", outcomes={"ok": (10, 0.1)})[0]

        def hours(first: int, last: int, route: str, seconds: float) -> list[EdgeBucket]:
            latency = {bucket_index(seconds): 10}
            return [replace(row, bucket=end - h * HOUR, route=route, latency=latency) for h in range(first, last)]

        insert_buckets(
            client, [*hours(1, 31, "/events", 30.0), *hours(6, 31, "/items", 0.1), *hours(1, 6, "/items", 20.0)]
        )
        waits = find_waits(client, int(end.timestamp()), 5.0)
        assert [(one.destination, one.route, one.method) for one in waits.routes] == [("c2", "/events", "GET")]
        first = int((end - 2 * HOUR).timestamp())
        signals = (Signal("c2", within_s=0.5), Signal("c2"), Signal("c2", within_s=0.5, route="/events"))
        series = read_series(client, signals, first, int(end.timestamp()), step_s=3600, waits=waits)
        assert series.total.sum(axis=1).tolist() == [20, 40, 20]
        assert series.good.sum(axis=1).tolist() == [0, 40, 0]


class TestDocuments:
    def test_documents_drive_the_objectives(self, analytics: tuple[str, Process], client: Any, tmp_path: Path) -> None:
        """What is applied is judged in the next cycle, in place of the defaults; deleting brings those back."""
        url, process = analytics
        now = datetime.now(UTC)
        outcomes = {"ok": (97, 0.02), "error": (3, 0.02)}
        insert_buckets(client, edge_rows(now, seconds=600, source="web", destination="till", outcomes=outcomes))
        file = written(
            tmp_path / "slo.yaml",
            document("SLI", "till-answers", {"ratioMetric": ratio(good={}, total={"destination": "till"})}),
            slo("till-month", service="till", indicator=None, indicatorRef="till-answers"),
            slo(
                "till-slices",
                service="till",
                indicator=inline({"ratioMetric": ratio(bad={}, total={"source": "web"})}),
                timeWindow=[
                    {"duration": "1M", "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"}}
                ],
                budgetingMethod="Timeslices",
                objectives=[{"target": 0.95, "timeSliceTarget": 0.95, "timeSliceWindow": "1m"}],
                alertPolicies=[policy("wake")],
            ),
        )
        status, out, err = meshwise("apply", file, url=url)
        assert (status, err) == (0, "")
        assert out.splitlines() == ["SLI/till-answers: created", "SLO/till-month: created", "SLO/till-slices: created"]
        assert meshwise("apply", file, url=url)[1].count("unchanged") == 3

        cycle(url, process)
        slos = {one["objective"]: one for one in fetch(f"{url}/v1/slos")[1]["slos"] if one["service"] == "till"}
        assert set(slos) == {"till-month", "till-slices"}
        month, slices = slos["till-month"], slos["till-slices"]
        assert (month["counted"], month["attained"]) == ("requests", pytest.approx(0.97))
        assert month["budget_remaining"] == pytest.approx(-2.0)
        assert slices["counted"] == "slices"
        assert 8 <= slices["total"] <= 10
        assert slices["attained"] == 1.0
        assert slices["period_end"] is not None

        rows = meshwise("status", url=url)[1].splitlines()
        assert any(row.startswith("till-month") and "-200.0 %" in row and "gone" in row for row in rows)
        assert [one["name"] for one in json.loads(meshwise("list", "--json", url=url)[1])] == [
            "till-answers", "till-month", "till-slices",
        ]  # fmt: skip

        status, _, err = meshwise("delete", "SLI/till-answers", url=url)
        assert status == 1
        assert err.startswith("meshwise: SLO/till-month.spec.indicatorRef: there is no SLI 'till-answers'")
        for name in ("SLO/till-month", "SLO/till-slices", "SLI/till-answers"):
            assert meshwise("delete", name, url=url)[0] == 0
        assert meshwise("delete", "SLI/till-answers", url=url)[0] == 1
        cycle(url, process)
        names = {one["objective"] for one in fetch(f"{url}/v1/slos")[1]["slos"]}
        assert {"till-availability", "till-latency"} <= names
        history = select_rows(client, SloDocument, order="at")
        assert [row.removed for row in history] == [False, False, False, True, True, True]
        assert "Traceback" not in process.stderr

    def test_the_past_is_asked(self, analytics: tuple[str, Process], store: Store, client: Any, tmp_path: Path) -> None:
        """Suggestions are documents to apply, a backtest tells what would have fired and how much of it was true."""
        url, process = analytics
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        row = edge_rows(now, seconds=10, source="web", destination="desk", outcomes={"ok": (10, 0.1)})[0]
        rows = []
        for ago in range(1, 24 * 6):
            outage = 30 <= ago < 33
            for minute in range(0, 60, 10):
                bucket = now - ago * HOUR + timedelta(minutes=minute)
                bad = 900 if outage else 1
                for outcome, count in (("ok", 1000 - bad), ("error", bad)):
                    latency = {bucket_index(0.09): count}
                    rows.append(replace(row, bucket=bucket, outcome=outcome, requests=count, latency=latency))
        insert_buckets(client, rows)

        status, out, err = meshwise("suggest", "desk", "--days", "7", "--yaml", url=url)
        assert (status, err) == (0, "")
        suggested = list(yaml.safe_load_all(out))
        assert {one["kind"] for one in suggested} == {"SLO"}
        assert meshwise("apply", written(tmp_path / "s.yaml", *suggested), "--dry-run", url=url)[0] == 0
        listed = json.loads(meshwise("suggest", "desk", "--days", "7", "--json", url=url)[1])["suggestions"]
        by_target = {one["target"]: one for one in listed if one["indicator"] == "availability"}
        bad_share = (3 * 900 + 140) / (143 * 1000)
        assert by_target[0.9]["attained"] == pytest.approx(1 - bad_share)
        assert by_target[0.9]["budget_left"] == pytest.approx(1 - bad_share / 0.1)
        assert [target for target, one in by_target.items() if one["suggested"]] == [0.95]
        assert "was not called in this time" in meshwise("suggest", "nobody-knows", url=url)[2]

        incidents, outage_from = tmp_path / "incidents.yaml", now - 32 * HOUR
        marked = {"start": outage_from.isoformat(), "end": (outage_from + 3 * HOUR).isoformat()}
        incidents.write_text(yaml.safe_dump([marked]))
        file = written(tmp_path / "desk.yaml", slo("desk", service="desk"))
        arguments = ("backtest", file, "--days", "5", "--incidents", str(incidents))
        answer = json.loads(meshwise(*arguments, "--json", url=url)[1])
        assert {one["severity"] for one in answer["alerts"]} == {"page", "ticket"}
        assert (answer["pages"]["precision"], answer["pages"]["recall"]) == (1.0, 1.0)
        (delay,) = answer["pages"]["delays_s"]
        assert 0 < delay <= 1200
        printed = meshwise(*arguments, url=url)[1]
        assert "pages: 100 % about an incident; 1 of 1 incidents told" in printed
        mesh = mw.connect(store.url)
        frame = mesh.suggest(7, "desk").to_frame()
        assert frame[frame["suggested"] & (frame["indicator"] == "availability")]["target"].tolist() == [0.95]
        assert {one["kind"] for one in mesh.suggest(7, "desk").documents()} == {"SLO"}
        marked_one = Incident(outage_from, outage_from + 3 * HOUR)
        tested = mesh.backtest([slo("desk", service="desk")], days=5, incidents=[marked_one])
        assert set(tested.to_frame()["severity"]) == {"page", "ticket"}
        assert (tested.found.pages.precision, tested.found.pages.recall) == (1.0, 1.0)
        mesh.close()
        assert fetch(f"{url}/v1/slo/documents")[1] == {"documents": []}
        for body in ({"days": "x"}, {"days": 0}, {"days": 1e9}, {"incidents": [1]}, {"documents": [1]}):
            assert fetch(f"{url}/v1/slo/backtest", method="POST", document=body)[0] == 400, body
        for query in ("days=x", "days=nan", "days=0"):
            assert fetch(f"{url}/v1/slo/suggestions?{query}")[0] == 400
        assert "Traceback" not in process.stderr

    def test_mistakes_change_nothing(self, analytics: tuple[str, Process], tmp_path: Path) -> None:
        """Every mistake is told in one line, and the good documents beside it are not taken either."""
        url, process = analytics
        file = written(
            tmp_path / "bad.yaml",
            slo("fine"),
            slo("no-budget", objectives=[{"target": 1.0}]),
            slo("nobody", alertPolicies=[{"alertPolicyRef": "missing"}]),
        )
        status, out, err = meshwise("apply", file, url=url)
        assert (status, out) == (1, "")
        assert len(err.splitlines()) == 2
        assert "no budget" in err
        assert "no AlertPolicy 'missing'" in err
        stranger = policy("p", notificationTargets=[{"metadata": {"name": "x"}, "spec": {"target": "stranger"}}])
        status, _, err = meshwise("apply", written(tmp_path / "t.yaml", slo(alertPolicies=[stranger])), url=url)
        assert (status, "'stranger'; there are: on-call" in err) == (1, True)
        for body in (b"[]", b"{", b'{"documents": 1}', b'{"documents": []}', b'{"documents": [1], "x": 1}', b"\xff"):
            assert fetch(f"{url}/v1/slo/documents", method="PUT", body=body)[0] == 400, body
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert fetch(f"{url}/v1/slo/documents", method="PUT", body=b"{}", headers=form)[0] == 415
        assert fetch(f"{url}/v1/slo/documents")[1] == {"documents": []}
        assert "Traceback" not in process.stderr
