import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.slo import BURN_RULES, Objective, burn_rate
from support.untimed import UNTIMED

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"service": ""}, "service"),
        ({"indicator": "speed"}, "indicator"),
        ({"target": 0.0}, "target"),
        ({"target": 1.0}, "target"),
        ({"target": math.nan}, "target"),
        ({"window_s": 0.0}, "window"),
        ({"window_s": math.nan}, "window"),
        ({"window_s": math.inf}, "window"),
        ({"indicator": "latency"}, "threshold"),
        ({"indicator": "latency", "threshold_s": 0.0}, "threshold"),
        ({"indicator": "latency", "threshold_s": math.nan}, "threshold"),
    ],
)
def test_a_wrong_objective_names_its_field(fields: dict[str, Any], path: str) -> None:
    """An objective that cannot be measured is refused with the path of the field."""
    with pytest.raises(DocumentError) as raised:
        Objective(**{"service": "catalog", "indicator": "availability", "target": 0.99, **fields})
    assert raised.value.path == path


def test_the_budget_is_what_the_target_leaves() -> None:
    """Target and budget add up to one, and the name tells service and indicator."""
    objective = Objective("catalog", "latency", 0.995, threshold_s=0.3)
    assert objective.budget == pytest.approx(0.005)
    assert objective.name == "catalog-latency"


@UNTIMED
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(1e-6, 0.5))
def test_burning_at_rate_one_uses_up_the_budget(bad: int, good: int, budget: float) -> None:
    """The burn rate times the budget is the share of bad requests."""
    total = good + bad
    share = bad / total if total else 0.0
    assert burn_rate(good, total, budget) * budget == pytest.approx(share, abs=1e-12)


def test_the_rules_spend_the_published_shares_of_a_month() -> None:
    """The four rules fire after 2, 5, 10 and 10 percent of a 30-day budget are spent."""
    spent = [rule.factor * rule.long_s / (30 * DAY_S) for rule in BURN_RULES]
    assert spent == pytest.approx([0.02, 0.05, 0.10, 0.10])
    assert all(rule.long_s / rule.short_s == 12 for rule in BURN_RULES)
