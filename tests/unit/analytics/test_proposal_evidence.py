import json
from dataclasses import replace

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
        found = observed(heavy_tail(120, 20))
        assert found["duration_s"]["p50"] == pytest.approx(0.02, abs=0.005)  # type: ignore[index]
        assert found["duration_s"]["p99"] is None  # type: ignore[index]

    def test_json(self) -> None:
        """What is observed can be written as JSON."""
        assert json.loads(dumps(observed(recording(10, 10))))["outcomes"] == {"ok": 10}


class TestDumps:
    def test_no_nan(self) -> None:
        """A not-a-number is a mistake, not a value of JSON."""
        with pytest.raises(ValueError, match="JSON"):
            dumps({"p99": float("nan")})
