import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from meshwise.analytics.proposal.evidence import dumps, label, limits, observed, percent, proposal_id, seconds
from meshwise.analytics.replay.attempts import AttemptKey
from support.recorded_attempts import heavy_tail, policy, recording

KEY = AttemptKey("frontend", "recommendation", "")


class TestProposalId:
    def test_effect_only(self) -> None:
        """Version and reason of a policy do not change the id; anything a proxy would notice does."""
        one = policy(1, "100ms")
        assert proposal_id(KEY, "proposed", one) == proposal_id(KEY, "proposed", replace(one, version=7, reason="x"))
        assert proposal_id(KEY, "proposed", one) != proposal_id(KEY, "proposed", policy(2, "100ms"))
        assert proposal_id(KEY, "proposed", one) != proposal_id(KEY, "refused", one)
        assert proposal_id(KEY, "proposed", one) != proposal_id(KEY._replace(route="/a"), "proposed", one)


class TestText:
    def test_plain(self) -> None:
        """Numbers are written as people read them."""
        assert label(KEY) == "frontend → recommendation"
        assert percent(0.9012) == "90.1 %"
        assert percent(0.99912) == "99.91 %"
        assert seconds(0.0123) == "12 ms"
        assert seconds(1.5) == "1.50 s"
        assert limits(policy()) == "1s per request and no retry"
        assert limits(policy(2, "150ms")) == "150ms per attempt and 2 retries"


class TestObserved:
    def test_unreached_quantiles(self) -> None:
        """With a tenth cut off, the 99th percentile was not observed and is not invented."""
        lasted: Any = observed(heavy_tail(120, 20))["duration_s"]
        assert lasted["p50"]["value"] == pytest.approx(0.02, abs=0.005)
        assert lasted["p99"] == {"value": None, "low": None, "high": None}

    def test_intervals(self) -> None:
        """Beside each quantile stands its interval, narrower for more attempts, open where too few lasted so long."""
        few, many = (observed(heavy_tail(seconds, 20, share=0.0))["duration_s"] for seconds in (10, 120))
        width: dict[str, list[float]] = {}
        for lasted in (few, many):
            for name in ("p50", "p90", "p95"):
                one: Any = lasted[name]  # type: ignore[index]
                assert one["low"] < one["value"] < one["high"]
                width.setdefault(name, []).append(one["high"] - one["low"])
        assert all(wide > narrow for wide, narrow in width.values())
        short: Any = observed(recording(10, 10, duration=np.arange(1, 11) / 100))["duration_s"]
        assert short["p99"]["value"] == pytest.approx(0.1)
        assert short["p99"]["high"] is None

    def test_json(self) -> None:
        """What is observed can be written as JSON."""
        assert json.loads(dumps(observed(recording(10, 10))))["outcomes"] == {"ok": 10}


class TestDumps:
    def test_no_nan(self) -> None:
        """A not-a-number is a mistake, not a value of JSON."""
        with pytest.raises(ValueError, match="JSON"):
            dumps({"p99": float("nan")})
