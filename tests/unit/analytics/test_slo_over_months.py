"""Months of made-up traffic, evaluated as the service does it, against the arithmetic written down independently."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from meshwise.analytics.alerts.lifecycle import Alerts, Timing, evaluations_of, step
from meshwise.analytics.slo.audit import SloAudit
from meshwise.analytics.slo.backtest import Past, alerts_over, backtest
from meshwise.analytics.slo.objectives import ObjectiveDefaults
from meshwise.contracts.slo import Objective, Signal, Slices
from meshwise.contracts.windows import Calendar, Span
from support.burn_rates import beginnings, breached_minutes
from support.slo_counts import Floats, History

START = datetime(2026, 2, 1, tzinfo=UTC)
DAYS = 80
TARGET = 0.999
INTERVAL_S = 60
MINUTES_A_DAY = 1440
INCIDENTS = (
    # day, hour, minutes, share of bad requests
    (33, 3.1, 12, 1.0),  # an outage
    (36, 14.0, 70, 0.02),  # burns twenty times too fast for an hour
    (40, 9.5, 400, 0.0075),  # burns seven times too fast for a morning
    (44, 0.0, 2 * MINUTES_A_DAY, 0.0034),  # burns three times too fast for two days
    (52, 6.0, 5 * MINUTES_A_DAY, 0.0016),  # a little too much for five days
    (60, 18.0, 3, 0.05),  # a blip
    (70, 20.0, 45, 0.3),
)


@pytest.fixture(scope="module")
def traffic() -> tuple[Floats, Floats]:
    """Return bad and all requests per minute: a day's rhythm, few errors, and the incidents."""
    rng = np.random.default_rng(7)
    minutes = np.arange(DAYS * MINUTES_A_DAY)
    total = rng.poisson(600 * (1.2 + np.sin(minutes / MINUTES_A_DAY * 2 * np.pi))).astype(float)
    share = np.full(total.size, 0.0002)
    for day, hour, length, bad in INCIDENTS:
        begin = int(day * MINUTES_A_DAY + hour * 60)
        share[begin : begin + length] = bad
    return rng.binomial(total.astype(int), share).astype(float), total


def fired(traffic: tuple[Floats, Floats], objective: Objective, moments: list[int]) -> dict[str, list[int]]:
    """Return at which minutes alerts fired when the service evaluates at the ends of these minutes."""
    bad, total = traffic
    history = History(int(START.timestamp()), 60, {"s": total - bad}, {"s": total})
    audit = SloAudit(history, ObjectiveDefaults(), {})
    alerts: Alerts = {}
    found: dict[str, list[int]] = {"page": [], "ticket": []}
    for minute in moments:
        now = START + timedelta(minutes=minute + 1)
        history.now = int(now.timestamp())
        states = audit.run({"doc": (objective,)}, now, now)
        alerts, changes = step(alerts, evaluations_of(states), now, Timing(for_s=0.0, keep_s=3600.0))
        for change in changes:
            if change.notify and change.alert.state == "firing":
                found[change.alert.severity].append(minute)
    return found


def test_alerts_fire_when_the_arithmetic_says_so(traffic: tuple[Floats, Floats]) -> None:
    """Every alert fires within one evaluation of the minute in which the workbook's formulas are first true."""
    bad, total = traffic
    objective = Objective("s", "availability", TARGET, title="doc", document="doc")
    truth = breached_minutes(bad.tolist(), total.tolist(), TARGET, 30 * 86_400.0, 10)
    due = {severity: beginnings(fires, 60) for severity, fires in truth.items()}
    assert len(due["page"]) >= 4
    assert len(due["ticket"]) >= 4
    # Every minute where something happens, and now and then where nothing should.
    busy = {minute + around for fires in due.values() for minute in fires for around in range(-60, 30)}
    ends = {m for fires in truth.values() for m in np.flatnonzero(np.diff(np.array(fires, dtype=int))).tolist()}
    moments = sorted(busy | ends | set(range(31 * MINUTES_A_DAY, DAYS * MINUTES_A_DAY, 20)))
    found = fired(traffic, objective, moments)
    for severity, minutes in due.items():
        assert len(found[severity]) == len(minutes), (severity, found[severity], minutes)
        for said, told in zip(minutes, found[severity], strict=True):
            assert 0 <= (told - said) * 60 <= INTERVAL_S, (severity, said, told)


def test_a_backtest_tells_the_same(traffic: tuple[Floats, Floats]) -> None:
    """Looking back finds the alerts that the arithmetic says would have fired, to the minute."""
    bad, total = traffic
    objective = Objective("s", "availability", TARGET)
    past = Past(int(START.timestamp()), {Signal("s"): (total - bad, total)}, START)
    alerts = backtest(objective, past, START, min_bad=10, for_s=0.0, keep_s=3600.0)
    truth = breached_minutes(bad.tolist(), total.tolist(), TARGET, 30 * 86_400.0, 10)
    for severity, fires in truth.items():
        told = [(a.fired_at - START) / timedelta(minutes=1) - 1 for a in alerts if a.severity == severity]
        assert told == [minute + 1 for minute in beginnings(fires, 60)]


@pytest.mark.parametrize(("for_s", "keep_s"), [(0.0, 0.0), (10.0, 30.0), (180.0, 240.0)])
def test_a_past_alert_lives_as_a_present_one(for_s: float, keep_s: float) -> None:
    """Over random states the vector code fires and resolves where the state machine does."""
    from meshwise.analytics.alerts.lifecycle import Evaluation

    rng = np.random.default_rng(3)
    states = rng.choice([1, 0, -1], p=[0.4, 0.45, 0.15], size=3000).astype(np.int8)
    alerts: Alerts = {}
    expected: list[tuple[int, int | None]] = []
    for minute, state in enumerate(states):
        breached = {1: True, 0: False, -1: None}[int(state)]
        evaluation = Evaluation("s", "o", "page", breached, 1.0, 1.0, "")
        moment = START + timedelta(minutes=minute)
        alerts, changes = step(alerts, [evaluation], moment, Timing(for_s, keep_s))
        for change in changes:
            if change.notify and change.alert.state == "firing":
                expected.append((minute, None))
            elif change.notify:
                expected[-1] = (expected[-1][0], minute)
    assert list(alerts_over(states, for_s, keep_s)) == expected


def test_days_of_a_calendar_follow_the_clocks(traffic: tuple[Floats, Floats]) -> None:
    """The day the clocks go forward has 23 hours, and the next begins an hour of UTC earlier."""
    total = np.ones(DAYS * MINUTES_A_DAY)
    history = History(int(START.timestamp()), 60, {"s": total}, {"s": total})
    day = Calendar(Span(1, "d"), datetime(2026, 1, 1), "Europe/Berlin")  # noqa: DTZ001  # local, the zone is apart
    objective = Objective("s", "availability", 0.9, 86_400.0, title="doc", document="doc", calendar=day)
    audit = SloAudit(history, ObjectiveDefaults(), {})
    last_minutes = {}
    for midnight in (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), datetime(2026, 3, 29, 22, 0, tzinfo=UTC)):
        end = midnight - timedelta(minutes=1)
        (state,) = audit.run({"doc": (objective,)}, end, end)
        last_minutes[end.day] = state.finding.total + 1
        assert state.finding.period_end == midnight
    assert last_minutes == {28: MINUTES_A_DAY, 29: 23 * 60}


def test_slices_and_requests_disagree_where_traffic_is_uneven() -> None:
    """An outage at night spends its share of the time although hardly anybody asked, and a backtest sees it as well."""
    total = np.tile(np.concatenate([np.full(720, 100.0), np.full(720, 2.0)]), 40)
    good = total.copy()
    night = 35 * MINUTES_A_DAY + 800
    good[night : night + 240] = 0.0
    sliced = Objective("s", "availability", 0.99, title="sliced", document="doc", slices=Slices(300.0, 0.9))
    plain = Objective("s", "availability", 0.99, title="plain", document="doc")
    history = History(int(START.timestamp()), 60, {"s": good}, {"s": total})
    end = START + timedelta(minutes=night + 240)
    audit = SloAudit(history, ObjectiveDefaults(), {})
    by_slices, by_requests = audit.run({"doc": (sliced, plain)}, end, end)
    assert by_slices.finding.budget_remaining == pytest.approx(1 - 48 / (30 * 288 * 0.01))
    assert by_requests.finding.budget_remaining > 0.9
    past = Past(int(START.timestamp()), {Signal("s"): (good, total)}, START)
    (page,) = [
        alert
        for alert in backtest(sliced, past, START, min_bad=10, for_s=0.0, keep_s=600.0)
        if alert.severity == "page"
    ]
    # Two of an hour's twelve slices burn 16.7 times too fast; the alert is pending for a minute.
    assert page.fired_at == START + timedelta(minutes=night + 10 + 1)


def test_the_course_of_a_budget_ends_where_it_is(traffic: tuple[Floats, Floats]) -> None:
    """A burn-down begins with the whole budget, only falls, and ends with what is left."""
    bad, total = traffic
    history = History(int(START.timestamp()), 60, {"s": total - bad}, {"s": total})
    month = Calendar(Span(1, "M"), datetime(2026, 1, 1), "Europe/Berlin")  # noqa: DTZ001  # local, the zone is apart
    rolling = Objective("s", "availability", TARGET, title="rolling", document="doc")
    objectives = (rolling, Objective("s", "availability", TARGET, title="month", document="doc", calendar=month))
    audit, end = SloAudit(history, ObjectiveDefaults(), {}), START + timedelta(days=45, minutes=7)
    states = audit.run({"doc": objectives}, end, end)
    found = audit.burn_downs(end, end)
    assert [one.objective for one in found] == ["rolling", "month"]
    for state, course in zip(states, found, strict=True):
        left = [course.remaining[point] for point in sorted(course.remaining)]
        assert left[0] == 1.0
        assert all(after <= before + 1e-9 for before, after in pairwise(left))
        assert left[-1] == pytest.approx(state.finding.budget_remaining)
        assert len(left) <= 62
    assert audit.burn_downs(end, end) == ()
    audit.run({"doc": objectives}, end + timedelta(hours=1), end)
    assert len(audit.burn_downs(end + timedelta(hours=1), end)) == 2
