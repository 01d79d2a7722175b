import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from meshwise.analytics.mesh import Mesh
from meshwise.analytics.replay.simulate import replay
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.views import ProposalTable, Replayed, ReplayTable, Table
from meshwise.contracts.rows import ProposalFinding
from support.recorded_attempts import heavy_tail, policy
from support.rollups import Rollups, row

END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)  # still finely kept
START = END - timedelta(seconds=60)
EVIL = "<img src=x onerror=alert(1)>"


class OneEdge:
    """A store with one edge whose callee has a hostile name, and traffic when a window starts."""

    rollups = Rollups(
        lambda asked: [row(asked["fine_start"], "web", EVIL, "", "GET", "client", "ok", 60, 66, 6, 0, {0: 60})]
    )

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        rows: list[tuple[Any, ...]] = []
        if query.startswith("-- Rollup rows"):
            rows = self.rollups.series(parameters)
        elif query.startswith("-- From when on the stretches"):
            rows = [(0,)]
        elif query.startswith("WITH totals"):
            return SimpleNamespace(result_columns=self.rollups.totals(parameters))
        elif query.startswith("-- Every service"):
            rows = [(EVIL,)]
        elif query.startswith(("-- Judged requests", "-- As slo_counts")) and parameters["step_s"] == 10:
            timed = ([0.0], 60) if "positions" in parameters else ()
            rows = [(parameters["ids"][0], parameters["end"] - 10, 60, 60, *timed)]
        return SimpleNamespace(result_rows=rows)

    def raw_query(self, query: str, parameters: dict[str, Any], *, fmt: str) -> bytes:
        assert fmt == "RowBinary"
        return self.rollups.raw(query, parameters)


@pytest.fixture
def mesh() -> Mesh:
    return Mesh(OneEdge(), AnalyticsSettings())


class TestMesh:
    def test_map_of_a_past_window(self, mesh: Mesh) -> None:
        """The map of a past window is a table with one row per edge, and a figure."""
        view = mesh.map(start=START, end=END)
        frame = view.to_frame()
        assert frame[["source", "requests", "retries", "amplification"]].to_numpy().tolist() == [["web", 60, 6, 1.1]]
        assert view.figure().data

    def test_hostile_names_stay_text(self, mesh: Mesh) -> None:
        """Names of telemetry are escaped in tables and in figures."""
        view = mesh.map(start=START, end=END)
        assert "<img" not in view._repr_html_()
        assert "&lt;img" in view._repr_html_()
        series = mesh.edges(start=START, end=END)
        assert "<img" not in series._repr_html_()
        for figure in (view.figure(), series.figure("web", EVIL)):
            assert "<img" not in figure.to_json().replace("\\u003c", "<")

    def test_series_have_a_row_per_bucket(self, mesh: Mesh) -> None:
        """Edges over time have one row per edge and bucket."""
        frame = mesh.edges(start=START, end=END).to_frame()
        assert len(frame) == 6
        assert frame["rate"].tolist() == [6.0, 0, 0, 0, 0, 0]

    def test_objectives_are_computed(self, mesh: Mesh) -> None:
        """Objectives are computed from the store as the service does it."""
        frame = mesh.slo(END).to_frame()
        assert frame["indicator"].tolist() == ["availability", "latency"]
        assert frame["good"].tolist() == [60, 0]

    def test_anomalies_are_typed(self, mesh: Mesh) -> None:
        """Scores come back as a table of findings, the worst first."""
        scores = [finding.score for finding in mesh.anomalies(start=START, end=END)]
        assert scores == sorted(scores, reverse=True)

    def test_two_ways_to_name_a_window_exclude_each_other(self, mesh: Mesh) -> None:
        """A window is the last seconds or start to end, never a mix."""
        with pytest.raises(ValueError, match="either seconds"):
            mesh.map(60, start=START, end=END)
        with pytest.raises(ValueError, match="either seconds"):
            mesh.map(start=START)


class TestReplayTable:
    def test_everything_with_its_interval(self) -> None:
        """A replay's frame has every measure between the ends of its interval, and the table says what it assumed."""
        result = replay(heavy_tail(60, 20), policy(1, "100ms"), 1200)
        table = ReplayTable([Replayed("frontend", "recommendation", "", policy(1, "100ms"), result)])
        (row,) = table.to_frame().to_dict("records")
        for name in ("success", "p50", "p95", "p99", "attempts_per_request", "budget_used", "wasted_work"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"], name
        assert 0.0 < row["budget_used"] <= 1.0
        assert any("half a second" in text for text in table.assumptions)


class TestProposalFigure:
    def test_curve_is_drawn(self) -> None:
        """The curve of a proposal becomes one line per number of retries, on all three panels."""
        curve = [
            {
                "attempt_timeout_s": timeout,
                "request_timeout_s": 1.0,
                "retries": retries,
                "success": 0.99,
                "success_low": 0.98,
                "success_high": 0.995,
                "p99": 0.3,
                "amplification": 1.1,
            }
            for retries in (0, 1)
            for timeout in (None, 0.15)
        ]
        chosen = {"policy": {"timeout": {"attempt": "150ms"}}}
        evidence = orjson.dumps({"curve": curve, "chosen": chosen}).decode()
        table = ProposalTable([ProposalFinding("p", END, "a", "b", "", "proposed", "", 1, "{}", "{}", evidence)])
        assert len(table.figure().data) == 6

    def test_hedges_are_drawn(self) -> None:
        """The hedges tried become one line per policy they were put on; without any it says so."""
        point = {"request_timeout_s": 1.0, "success": 0.99, "p99_good": 0.3, "amplification": 1.03}
        tried = [
            {**point, "attempt_timeout_s": attempt, "retries": retries, "hedge_delay_s": delay}
            for attempt, retries in ((None, 0), (0.5, 1))
            for delay in (None, 0.05, 0.1)
        ]
        chosen = {"policy": {"timeout": {}, "hedge": {"delay": "50ms"}}}
        for refinements, lines in ((tried, 6), ([], 0)):
            evidence = orjson.dumps({"refinements": refinements, "chosen": chosen}).decode()
            table = ProposalTable([ProposalFinding("p", END, "a", "b", "", "proposed", "", 1, "{}", "{}", evidence)])
            if lines:
                assert len(table.hedges().data) == lines
            else:
                with pytest.raises(ValueError, match="no hedge"):
                    table.hedges()

    def test_a_refusal_has_none(self) -> None:
        """A refusal has no curve and says so."""
        table = ProposalTable([ProposalFinding("p", END, "a", "b", "", "refused", "", 1, "{}", "{}", "{}")])
        with pytest.raises(ValueError, match="no curve"):
            table.figure()


def test_verdicts() -> None:
    """Verdicts are a table of both arms' requests and the difference; one without counts has gaps, not an error."""
    evidence = {
        "good": {"difference": 0.08, "promote_low": 0.03, "harm_high": 0.14},
        "canary": {"requests": 300},
        "control": {"requests": 900},
    }
    rows = [(END, "ro-1", "web.cart", 0, "advance", "Better.", orjson.dumps(evidence).decode())]
    rows.append((END, "ro-2", "web.cart", 0, "hold", "Early.", ""))
    asked: list[dict[str, Any]] = []

    class Verdicts(OneEdge):
        def query(self, query: str, parameters: dict[str, Any]) -> Any:
            asked.append(parameters | {"query": query})
            return SimpleNamespace(result_rows=rows)

    frame = Mesh(Verdicts(), AnalyticsSettings()).verdicts("ro-1").to_frame()
    assert frame["decision"].tolist() == ["advance", "hold"]
    assert frame["canary_requests"].tolist()[0] == 300
    assert frame["promote_low"].isna().tolist() == [False, True]
    assert asked[0]["rollout"] == "ro-1"


def test_an_empty_table_is_shown() -> None:
    """A table without rows is an empty frame and says that there is nothing."""
    table: Table[ProposalFinding] = Table([])
    assert table.to_frame().empty
    assert "nothing in this window" in table._repr_html_()


def test_importing_the_room_is_light() -> None:
    """Importing the package or its settings loads no numeric library."""
    code = (
        "import sys, meshwise.analytics, meshwise.analytics.settings\n"
        "print([m for m in ('numpy', 'pandas', 'sklearn', 'plotly', 'clickhouse_connect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
