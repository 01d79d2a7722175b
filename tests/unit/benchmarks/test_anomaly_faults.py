import numpy as np
import pytest
from benchmarks.anomaly import mesh as meshes
from benchmarks.anomaly.faults import STRENGTHS, Fault, inject, moved
from benchmarks.anomaly.report import figures, outcome
from benchmarks.anomaly.traffic import MONDAY, Counted, count
from benchmarks.anomaly.trials import Flag, Trial, events
from benchmarks.figures import Ceiling, Figure


@pytest.fixture(scope="module")
def mesh() -> meshes.Mesh:
    return meshes.draw(8, np.random.default_rng(3))


def counted(mesh: meshes.Mesh, seed: int = 4) -> Counted:
    return count(mesh, MONDAY, 40, np.random.default_rng(seed))


def faulty(mesh: meshes.Mesh, kind: str, strength: float, edge: int) -> tuple[Counted, Counted, tuple[float, float]]:
    """Return the same traffic without and with a fault from the twentieth bucket on, and what the fault moves."""
    fault = Fault(kind, strength, (edge,), MONDAY + 200)
    before, after = counted(mesh), counted(mesh)
    inject(after, fault, np.random.default_rng(5))
    return before, after, moved(after, fault, np.random.default_rng(6))


class TestFaults:
    @pytest.mark.parametrize("kind", STRENGTHS)
    def test_only_from_the_onset_on(self, mesh: meshes.Mesh, kind: str) -> None:
        """Before its onset a fault changes nothing, and after it something at its edge."""
        before, after, _ = faulty(mesh, kind, STRENGTHS[kind][-1], 0)
        assert (before.outcomes[..., :20] == after.outcomes[..., :20]).all()
        assert (before.latency[:, :20] == after.latency[:, :20]).all()
        changed = (before.outcomes != after.outcomes).any() or (before.latency != after.latency).any()
        assert changed
        assert (after.latency.sum(axis=2) == after.outcomes.sum(axis=0)).all()

    def test_callers_fail_with_their_callee(self, mesh: meshes.Mesh) -> None:
        """Requests of a caller that make the failing call fail as well, and those of others do not."""
        deep = next(i for i, edge in enumerate(mesh.edges) if edge.source.startswith("s1"))
        above = mesh.into(mesh.edges[deep].source)
        _, after, (_, failures) = faulty(mesh, "errors", 0.5, deep)
        shares = after.outcomes[1:, :, 21:].sum(axis=(0, 2)) / after.outcomes[:, :, 21:].sum(axis=(0, 2))
        assert failures == pytest.approx(0.5, abs=0.01)
        assert shares[deep] == pytest.approx(0.5, abs=0.05)
        assert shares[above[0]] == pytest.approx(0.5 * mesh.calls(deep), abs=0.08)
        bystander = next(i for i, edge in enumerate(mesh.edges) if edge.source == mesh.edges[deep].destination)
        assert shares[bystander] < 0.05

    def test_a_drop_thins_what_is_below(self, mesh: meshes.Mesh) -> None:
        """What is not sent is not passed on."""
        edge = next(i for i, one in enumerate(mesh.edges) if one.source == "ingress")
        below = mesh.out_of(mesh.edges[edge].destination)[0]
        before, after, moves = faulty(mesh, "silent drop", 1.0, edge)
        assert after.outcomes[:, edge, 21:].sum() == 0
        assert after.outcomes[:, below, 21:].sum() < before.outcomes[:, below, 21:].sum()
        assert moves[0] == pytest.approx(1.0)
        assert moves[1] == 0.0

    def test_traffic_is_the_seed_s(self, mesh: meshes.Mesh) -> None:
        """Equal seeds make equal traffic."""
        assert (counted(mesh).latency == counted(mesh).latency).all()
        assert (counted(mesh).latency != counted(mesh, 9).latency).any()


class TestReport:
    def trial(self, mesh: meshes.Mesh, *flags: Flag) -> Trial:
        fault = Fault("errors", 0.5, (1,), 100.0)
        return Trial(mesh, 0.0, 20, fault, failures_more=0.5, flags={"meshwise": list(flags)})

    def test_events(self) -> None:
        """Flags of one edge with short gaps are one event."""
        flags = [Flag(at, 1, 0.8, False) for at in (110.0, 120.0, 170.0, 300.0)]
        assert [len(event) for event in events(flags)] == [3, 1]
        assert list(events([])) == []

    def test_right_wrong_and_late(self, mesh: meshes.Mesh) -> None:
        """Right is the faulty edge within a minute; followers are no events; too late is neither."""
        right, wrong = Flag(110.0, 1, 0.8, False), Flag(110.0, 2, 0.8, False)
        follower, early, late = Flag(110.0, 3, 0.8, True), Flag(90.0, 1, 0.8, False), Flag(170.0, 1, 0.8, False)
        found = outcome(self.trial(mesh, right, wrong, follower), "meshwise", 0.7)
        assert (found.delay_s, found.right, found.wrong) == (10.0, 1, 1)
        assert outcome(self.trial(mesh, early), "meshwise", 0.7).wrong == 1
        assert outcome(self.trial(mesh, late), "meshwise", 0.7).delay_s is None
        assert outcome(self.trial(mesh, right), "meshwise", 0.9).right == 0

    def test_figures(self, mesh: meshes.Mesh) -> None:
        """Recall is over faults that matter, false alarms over quiet hours."""
        slight = Trial(mesh, 0.0, 20, Fault("errors", 0.005, (1,), 100.0), failures_more=0.005, flags={"meshwise": []})
        quiet = Trial(mesh, 0.0, 60_480, None, flags={"meshwise": [Flag(5.0, 0, 0.8, False)]})
        found = figures([self.trial(mesh, Flag(110.0, 1, 0.8, False)), self.trial(mesh), slight, quiet])
        assert isinstance(recall := found["recall"], Figure)
        assert (recall.value, recall.met) == (0.5, False)
        assert isinstance(alarms := found["false_alarms_per_service_week"], Ceiling)
        assert alarms.value == pytest.approx(1 / mesh.services)
