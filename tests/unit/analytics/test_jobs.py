from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.alerts.silences import Silences
from meshwise.analytics.audits import Audits
from meshwise.analytics.cause.suspects import Suspect
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.jobs import MAX_UNSAVED_ROWS, Cycle, context_of, restore_alerts
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.promises import Promises
from meshwise.contracts.errors import UnavailableError
from meshwise.contracts.rows import (
    AlertFinding,
    AnomalyFinding,
    BurnDownFinding,
    EdgeFinding,
    ProposalFinding,
    SloFinding,
)
from support.rollups import Rollups, row

NOW = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)
SETTLED = int(NOW.timestamp()) - 5
CAUSE = Suspect("web", "cart", 0.9, "slow")
ANOMALY = AnomalyFinding(NOW, NOW, NOW, "web", "cart", 0.9, True, {}, "slow")
PROPOSAL = ProposalFinding("p1", NOW, "web", "cart", "", "proposed", "Cut.", 500, '{"name":"x"}', "{}", '{"n":1}')
CANARY = {
    "id": "r1",
    "policy_name": "web.cart",
    "state": "canary",
    "stage": 0,
    "stage_started_at": "2026-03-02T11:59:00Z",
    "policy": {"match": {"service": "cart"}},
}


ROLLUPS = Rollups([row(SETTLED - 10, "web", "cart", "", "GET", "client", "timeout", 50, 50, 0, 0, {0: 50})])


class FakeStore:
    """Answers the queries of the cycle; every request of the edge web → cart failed."""

    def __init__(self) -> None:
        self.down = False

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        if self.down:
            raise UnavailableError("the store is away")
        rows: list[tuple[Any, ...]] = []
        if query.startswith("-- Rollup rows"):
            rows = ROLLUPS.series(parameters)
        elif query.startswith("-- Every service"):
            rows = [("cart",)]
        elif query.startswith(("-- Judged requests", "-- As slo_counts")):
            bucket = (SETTLED - 10) // parameters["step_s"] * parameters["step_s"]
            asked = zip(parameters["ids"], parameters["destinations"], strict=True)
            called = [i for i, name in asked if name == "cart"]
            if parameters["start"] <= bucket < parameters["end"]:
                rows = [(i, bucket, 50, 0, *(([0.0], 0) if "positions" in parameters else ())) for i in called]
        return SimpleNamespace(result_rows=rows)

    def raw_query(self, query: str, parameters: dict[str, Any], *, fmt: str) -> bytes:
        if self.down:
            raise UnavailableError("the store is away")
        assert fmt == "RowBinary"
        return ROLLUPS.raw(query, parameters)


class FakeControl:
    def __init__(self) -> None:
        self.down = False
        self.found: list[dict[str, Any]] = []
        self.submitted: list[dict[str, Any]] = []

    def _answer(self) -> None:
        if self.down:
            raise UnavailableError("control is away")

    def policies(self) -> tuple[()]:
        self._answer()
        return ()

    def rollouts(self, *states: str) -> list[dict[str, Any]]:
        self._answer()
        return [rollout for rollout in self.found if not states or rollout["state"] in states]

    def submit(self, policy: Any, **fields: Any) -> dict[str, Any]:
        self._answer()
        self.submitted.append({"policy": policy, **fields})
        self.found.append({**CANARY, "proposal_id": fields["proposal_id"], "stage_started_at": None})
        return self.found[-1]


class Bench:
    """A cycle with everything around it in reach."""

    def __init__(self, **settings: Any) -> None:
        self.store, self.control = FakeStore(), FakeControl()
        self.outbox = Outbox(":memory:")
        self.saved: list[Any] = []
        self.derived: list[datetime] = []
        self.save_fails = False
        self.broken: set[str] = set()
        webhooks = [{"url": "https://hooks.example/"}]
        self.settings = AnalyticsSettings.model_validate(
            {"webhooks": webhooks, "alert_for_s": 0, "proposal_every_s": 30, **settings}
        )
        self.lease: Any = None
        self.cycle = self.restarted()

    def restarted(self) -> Cycle:
        audits = Audits(
            detect=lambda *_: self._or_break("detect", (ANOMALY,)),
            propose=lambda *_: self._or_break("propose", (PROPOSAL,)),
            causes=lambda *_: self._or_break("causes", (CAUSE,)),
            judge=lambda *_: SimpleNamespace(decision="advance", reason="fine", evidence={"n": 1}),
        )
        control = cast("ControlApi", self.control)
        return Cycle(
            self.settings,
            client=self.store,
            control=control,
            outbox=self.outbox,
            audits=audits,
            persist=self._save,
            derive=self._derive,
            promises=Promises(self.store, self._save),
            silences=Silences(self.store, self._save),
            lease=self.lease,
        )

    def _or_break(self, name: str, value: Any) -> Any:
        if name in self.broken:
            raise RuntimeError(f"{name} is broken")
        return value

    def _derive(self, now: datetime) -> None:
        self._or_break("derive", None)
        self.derived.append(now)

    def _save(self, _: Any, rows: Sequence[Any]) -> None:
        if self.save_fails:
            raise UnavailableError("the store is away")
        self.saved += rows

    def of(self, kind: type) -> list[Any]:
        return [row for row in self.saved if type(row) is kind]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.outbox.close()


class FakeLease:
    def __init__(self) -> None:
        self.holder, self.leads, self.next, self.down = "b", False, False, False

    def renew(self) -> bool:
        if self.down:
            raise UnavailableError("the store is away")
        self.leads = self.next
        return self.leads


class TestSeveralProcesses:
    def test_one_that_only_looks_on(self, bench: Bench) -> None:
        """It knows the map and the scores, and neither tells nor writes nor proposes nor judges anything."""
        bench.control.found = [CANARY]
        bench.lease = FakeLease()
        cycle = bench.restarted()
        board = cycle.run(NOW)
        assert board.failed == ()
        assert board.service_map is not None
        assert board.anomalies == (ANOMALY,)
        assert (bench.saved, bench.derived, bench.outbox.count()) == ([], [], 0)
        assert bench.control.submitted == []

    def test_one_that_takes_over(self, bench: Bench) -> None:
        """What is already firing is not told again by the next one, and goes on while the store does not answer."""
        bench.lease = lease = FakeLease()
        cycle = bench.restarted()
        cycle.run(NOW)
        lease.next = True
        assert not bench.of(BurnDownFinding)
        for seconds in (10, 20):
            states = {alert.state for alert in cycle.run(NOW + timedelta(seconds=seconds)).alerts.values()}
        assert states == {"firing"}
        assert bench.of(BurnDownFinding)
        told = bench.outbox.count()
        assert told
        lease.down = True
        cycle.run(NOW + timedelta(seconds=30))
        assert bench.outbox.count() == told
        lease.down = lease.next = False
        assert cycle.run(NOW + timedelta(seconds=40)).alerts == {}


class TestCycle:
    def test_one_cycle_finds_and_keeps_everything(self, bench: Bench) -> None:
        """A cycle leaves map, objectives, anomalies and proposals on the board and in the tables."""
        board = bench.cycle.run(NOW)
        assert board.failed == ()
        assert board.service_map is not None
        assert len(bench.of(EdgeFinding)) == 1
        assert [slo.good for slo in bench.of(SloFinding)] == [0, 0]
        assert bench.of(AnomalyFinding) == [ANOMALY]
        assert bench.of(ProposalFinding) == [PROPOSAL]
        assert {alert.state for alert in bench.of(AlertFinding)} == {"pending"}

    def test_edges_are_derived_from_spans_first(self, bench: Bench) -> None:
        """Each cycle brings the edges of services without a proxy up to date before anything is read."""
        board = bench.cycle.run(NOW)
        assert bench.derived == [NOW]
        assert list(board.stages_s)[:2] == ["spans", "load"]

    def test_an_alert_is_told_once_with_cause_and_proposal(self, bench: Bench) -> None:
        """The second cycle fires, queues one document naming cause and proposal, and later cycles repeat nothing."""
        for seconds in range(0, 50, 10):
            bench.cycle.run(NOW + timedelta(seconds=seconds))
        waiting = bench.outbox.due("https://hooks.example/", NOW.timestamp() + 100)
        assert bench.outbox.count() == 1
        assert waiting is not None
        assert b"web -> cart" in waiting.body
        assert b'"proposal_id": "p1"' in waiting.body

    def test_an_alert_without_a_cause_is_told(self, bench: Bench) -> None:
        """When the ranking of causes breaks, the alert is told all the same."""
        bench.broken.add("causes")
        for seconds in range(0, 20, 10):
            bench.cycle.run(NOW + timedelta(seconds=seconds))
        waiting = bench.outbox.due("https://hooks.example/", NOW.timestamp() + 100)
        assert waiting is not None
        assert b"likely_cause" not in waiting.body

    @pytest.mark.parametrize("part", ["derive", "detect", "propose"])
    def test_a_broken_audit_stops_no_other(self, bench: Bench, part: str) -> None:
        """An audit that raises is named and counted, and the findings of the others are kept."""
        bench.broken = {part}
        board = bench.cycle.run(NOW)
        assert len(board.failed) == 1
        assert bench.cycle.failures == {board.failed[0]: 1}
        assert len(bench.of(SloFinding)) == 2
        assert bench.of(AlertFinding)

    def test_objectives_of_single_services_hold(self) -> None:
        """A service named in the settings is judged by its own promise, called or not."""
        bench = Bench(objectives={"cart": {"availability_target": 0.5, "window_s": 7200}, "idle": {}})
        targets = {slo.objective: slo.target for slo in bench.cycle.run(NOW).slos}
        assert targets == {
            "cart-availability": 0.5,
            "cart-latency": 0.95,
            "idle-availability": 0.99,
            "idle-latency": 0.95,
        }
        bench.outbox.close()

    def test_store_away_keeps_the_last_board_and_events(self, bench: Bench) -> None:
        """While the store is away the board stays; events that could not be written are written later, once."""
        bench.save_fails = True
        before = bench.cycle.run(NOW)
        bench.store.down = True
        after = bench.cycle.run(NOW + timedelta(seconds=10))
        assert after.service_map == before.service_map
        assert "load" in after.failed
        bench.save_fails = bench.store.down = False
        bench.cycle.run(NOW + timedelta(seconds=20))
        states = [alert.state for alert in bench.of(AlertFinding)]
        assert states.count("pending") == 4
        assert states.count("firing") == 4
        assert len(bench.of(ProposalFinding)) == 1

    def test_events_that_wait_are_bounded(self, bench: Bench) -> None:
        """Events that nobody can store do not grow for ever; the oldest go and are counted."""
        bench.cycle._remember([ANOMALY] * (MAX_UNSAVED_ROWS + 7))
        assert bench.cycle.rows_dropped == 7

    def test_control_away_changes_nothing(self, bench: Bench) -> None:
        """Without control there are no proposals, and everything else goes on."""
        bench.control.down = True
        board = bench.cycle.run(NOW)
        assert set(board.failed) == {"proposal"}
        assert len(bench.of(EdgeFinding)) == 1
        bench.control.down = False
        assert bench.cycle.run(NOW + timedelta(seconds=30)).proposals == (PROPOSAL,)

    def test_proposals_wait_for_a_person_unless_told(self, bench: Bench) -> None:
        """Without rollout_automatic nothing is ever submitted."""
        bench.cycle.run(NOW)
        assert bench.control.submitted == []

    def test_approval_per_service(self) -> None:
        """A callee that is named waits for an operator, though everything else goes by itself."""
        bench = Bench(rollout_automatic=True, rollout_approval=["cart"])
        bench.cycle.run(NOW)
        assert [submitted["mode"] for submitted in bench.control.submitted] == ["approval"]

    def test_what_waits_says_why(self) -> None:
        """A proposal that is not submitted stands on the board with the rule that holds it."""
        bench = Bench(rollout_automatic=True)
        bench.control.found = [{**CANARY, "id": "r9", "state": "awaiting_approval", "proposal_id": "x"}]
        board = bench.cycle.run(NOW)
        assert bench.control.submitted == []
        assert board.held == {"p1": "rollout r9 for cart is not over"}

    def test_automatic_submission_happens_once(self) -> None:
        """With rollout_automatic a proposal is submitted with its evidence, once, also after a restart."""
        bench = Bench(rollout_automatic=True)
        board = bench.cycle.run(NOW)
        (submitted,) = bench.control.submitted
        told = {"policy": {"name": "x"}, "reason": "Cut.", "evidence": {"n": 1}, "proposal_id": "p1"}
        assert submitted == {**told, "mode": "automatic"}
        assert [p.status for p in board.proposals] == ["submitted"]
        assert [p.status for p in bench.of(ProposalFinding)] == ["proposed", "submitted"]
        bench.cycle.run(NOW + timedelta(seconds=40))
        bench.restarted().run(NOW + timedelta(seconds=80))
        assert len(bench.control.submitted) == 1
        bench.outbox.close()


class TestContextOf:
    def test_proposals_are_looked_for_more_often_while_something_is_wrong(self, bench: Bench) -> None:
        """Every thirty seconds by default, every ten while an edge is flagged or an alert fires.

        A cycle that begins a moment before that counts as the one.
        """
        cycle = bench.cycle
        cycle.run(NOW)
        flagged = cycle.board
        quiet = replace(flagged, anomalies=(), alerts={})
        for seconds, board, due in (
            (4, flagged, False),
            (9.98, flagged, True),
            (20, quiet, False),
            (29.9, quiet, True),
        ):
            assert cycle._is_proposal_due(NOW + timedelta(seconds=seconds), board) is due

    def test_the_proposal_for_the_cause_comes_first(self) -> None:
        """Of the open proposals the one for the likely cause's edge is named, else one of the service's own."""
        other = replace(PROPOSAL, id="p0", source="cart", destination="db")
        refused = replace(PROPOSAL, id="p2", status="refused")
        context = context_of("cart", CAUSE, [refused, other, PROPOSAL])
        assert context.proposal == PROPOSAL
        assert context_of("db", None, [PROPOSAL, other]).proposal == other
        assert context_of("x", None, [PROPOSAL]).proposal is None


def test_restored_alerts_get_their_zone_back() -> None:
    """Times without a zone, as the store gives them, are UTC; a restored breach counts as seen just now."""
    started = datetime(2026, 3, 2, 11, 0)  # noqa: DTZ001  # as the driver returns it
    row = (started, "f1", "cart", "a", "page", "firing", started, None, 2.0, 3.0, "burns", "", True, "")
    client = SimpleNamespace(query=lambda *_, **__: SimpleNamespace(result_rows=[row]))
    alert = restore_alerts(client, NOW)["f1"]
    assert (alert.started_at, alert.breached_at, alert.state) == (started.replace(tzinfo=UTC), NOW, "firing")
