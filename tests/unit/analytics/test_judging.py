from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshwise.analytics.audits import Audits
from meshwise.analytics.judging import MAX_UNSAVED, Judge
from meshwise.contracts.errors import UnavailableError

NOW = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)
CANARY = {"id": "r1", "state": "canary", "stage": 0, "policy_name": "p", "stage_started_at": "2026-03-02T11:59:00Z"}


class FakeControl:
    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = [dict(CANARY)]
        self.told: list[tuple[str, str, bool]] = []
        self.down = False

    def rollouts(self, *_: str) -> list[dict[str, Any]]:
        if self.down:
            raise UnavailableError("control is away")
        return self.found

    def tell_verdict(self, rollout_id: str, *, decision: str, shadow: bool, **_: Any) -> None:
        self.told.append((rollout_id, decision, shadow))


class Bench:
    """A judge with everything around it in reach; it says ``decision`` because of ``reason``."""

    def __init__(self, leads: Callable[[], bool] = lambda: True) -> None:
        self.control = FakeControl()
        self.saved: list[Any] = []
        self.store_down = False
        self.decision, self.reason = "advance", "fine"
        verdict = lambda *_: SimpleNamespace(decision=self.decision, reason=self.reason, evidence={"n": 1})  # noqa: E731
        audits = Audits(detect=cast("Any", None), propose=cast("Any", None), causes=cast("Any", None), judge=verdict)
        self.judge = Judge(
            client=cast("Any", None),
            control=cast("Any", self.control),
            audits=audits,
            persist=self._save,
            leads=leads,
        )

    def _save(self, _: Any, rows: Sequence[Any]) -> None:
        if self.store_down:
            raise UnavailableError("the store is away")
        self.saved += rows


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_started_stages_are_judged(bench: Bench) -> None:
    """A rollout whose stage has started gets a verdict, told to control and recorded; others are left alone."""
    bench.control.found += [{**CANARY, "id": "r2", "stage_started_at": None}]
    bench.control.found += [{**CANARY, "id": "r3", "state": "shadow", "shadows": True, "stage_started_at": None}]
    bench.judge.look(NOW)
    assert bench.control.told == [("r1", "advance", False), ("r3", "advance", True)]
    assert [(one.rollout_id, one.decision, one.evidence) for one in bench.saved] == [
        ("r1", "advance", '{"n":1}'),
        ("r3", "advance", '{"n":1}'),
    ]
    assert set(bench.judge.verdicts) == {"r1", "r3"}


def test_no_news_is_not_told(bench: Bench) -> None:
    """A rollout that is held for the very same reason, as nothing has come in, is told once."""
    bench.decision, bench.reason = "hold", "8 of 10 requests"
    for _ in range(3):
        bench.judge.look(NOW)
    bench.reason = "9 of 10 requests"
    bench.judge.look(NOW)
    assert len(bench.control.told) == len(bench.saved) == 2
    bench.decision = "rollback"
    for _ in range(2):
        bench.judge.look(NOW)  # not taken at first: it is said again
    assert [decision for _, decision, _ in bench.control.told][2:] == ["rollback"] * 2


def test_verdicts_wait_for_the_store(bench: Bench) -> None:
    """While the store is away verdicts are told, and written down when it is back; the oldest are dropped."""
    bench.store_down = True
    for _ in range(MAX_UNSAVED + 3):
        bench.judge.look(NOW)
    assert (len(bench.control.told), bench.saved, bench.judge.rows_dropped) == (MAX_UNSAVED + 3, [], 3)
    bench.store_down, bench.control.down = False, True
    bench.judge.look(NOW + timedelta(seconds=2))
    assert (len(bench.saved), bench.judge.rows_written) == (MAX_UNSAVED, MAX_UNSAVED)
    assert bench.judge.failures == MAX_UNSAVED + 4


def test_only_one_process_judges() -> None:
    """One that does not lead looks at nothing."""
    bench = Bench(leads=lambda: False)
    bench.judge.look(NOW)
    assert (bench.control.told, bench.judge.looks) == ([], 0)
