import pytest
from pydantic import ValidationError

from meshwise.analytics.slo.objectives import ObjectiveDefaults, ObjectiveOverride, dead_rules, objectives_for
from meshwise.contracts.slo import Objective


class TestObjectivesFor:
    def test_every_service_has_two(self) -> None:
        """Each called service gets one availability and one latency objective, in order of its name."""
        found = objectives_for(["cart", "a", "cart"], ObjectiveDefaults(), {})
        assert [objective.name for objective in found] == [
            "a-availability",
            "a-latency",
            "cart-availability",
            "cart-latency",
        ]
        assert found[3].threshold_s == 0.5

    def test_override_keeps_what_it_leaves_out(self) -> None:
        """An override of one field leaves the house's defaults, not the built-in ones, in the others."""
        defaults = ObjectiveDefaults(latency_target=0.9, latency_threshold_s=0.2)
        overrides = {"cart": ObjectiveOverride(availability_target=0.999)}
        availability, latency = objectives_for(["cart"], defaults, overrides)
        assert (availability.target, latency.target, latency.threshold_s) == (0.999, 0.9, 0.2)

    def test_target_of_one_is_refused(self) -> None:
        """A promise without any budget is refused: every burn rate would be infinite."""
        with pytest.raises(ValidationError):
            ObjectiveOverride(availability_target=1.0)


class TestDeadRules:
    def test_low_targets_silence_fast_rules(self) -> None:
        """At 93 % the budget cannot burn 14.4 times too fast, at 95 % it can."""
        assert [rule.factor for rule in dead_rules(Objective("s", "availability", 0.93))] == [14.4]
        assert dead_rules(Objective("s", "availability", 0.95)) == ()
