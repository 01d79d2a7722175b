from datetime import UTC, datetime, timedelta

import pytest
import yaml

from meshwise.analytics.slo.backtest import Incident, PastAlert, score
from meshwise.analytics.slo.inquiry import read_incidents
from meshwise.analytics.slo.suggest import Suggestion, document_of, mark, thresholds_for
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.openslo import read_documents

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def suggestion(target: float, left: float, worst: float = 0.5, threshold: float | None = None) -> Suggestion:
    indicator = "availability" if threshold is None else "latency"
    return Suggestion("cart", indicator, target, threshold, 10_000, 0.999, left, worst, suggested=False)


class TestSuggestions:
    def test_the_strictest_that_was_kept_with_ease_is_marked(self) -> None:
        """Half of the budget must be left, and the worst week must not have broken it."""
        marked = mark(
            [suggestion(0.9999, -3.0), suggestion(0.999, 0.4), suggestion(0.995, 0.9), suggestion(0.99, 0.95)]
        )
        assert [one.target for one in marked if one.suggested] == [0.995]
        broken = mark([suggestion(0.995, 0.9, worst=-0.1), suggestion(0.99, 0.95)])
        assert [one.target for one in broken if one.suggested] == [0.99]
        assert not any(one.suggested for one in mark([suggestion(0.9, 0.2)]))

    def test_thresholds_surround_what_leaves_half_the_budget(self) -> None:
        """Of a hundred successes 97 took 100 ms: 95 % within 100 ms would have left 40 %, so 150 ms is fitting."""
        latency = {bucket_index(0.09): 97, bucket_index(0.12): 1, bucket_index(3.0): 2}
        assert thresholds_for(latency, 0.95) == (0.1, 0.15, 0.2)

    def test_of_latencies_the_tightest_is_marked_per_target(self) -> None:
        """Two targets of latency have one suggestion each."""
        marked = mark([suggestion(0.99, 0.6, threshold=t) for t in (0.3, 0.2)] + [suggestion(0.95, 0.6, threshold=0.1)])
        assert [(one.target, one.threshold_s) for one in marked if one.suggested] == [(0.99, 0.2), (0.95, 0.1)]

    @pytest.mark.parametrize("threshold", [None, 0.15])
    def test_a_suggestion_is_a_document_to_apply(self, threshold: float | None) -> None:
        """What is printed as YAML reads back as that promise."""
        text = yaml.safe_dump(document_of(suggestion(0.995, 0.9, threshold=threshold)))
        found = read_documents([yaml.safe_load(text)])
        assert found.problems == ()
        ((objective,),) = found.objectives.values()
        assert (objective.service, objective.target, objective.judges.within_s) == ("cart", 0.995, threshold)


class TestScore:
    def test_precision_recall_and_delay(self) -> None:
        """Two of three alerts were about an incident, one of two incidents was told, after five minutes."""
        minute = timedelta(minutes=1)

        def alert(at: int, service: str = "cart") -> PastAlert:
            return PastAlert(service, "o", "page", "", NOW + at * minute, NOW + (at + 10) * minute)

        incidents = (
            Incident(NOW, NOW + 30 * minute, "cart"),
            Incident(NOW + 300 * minute, NOW + 400 * minute),
        )
        found = score([alert(5), alert(20), alert(15, "db")], incidents)
        assert found.precision == pytest.approx(2 / 3)
        assert (found.recall, found.delays_s) == (0.5, (300.0, None))

    def test_nothing_to_divide_by(self) -> None:
        """Without incidents there is no precision, without alerts none either."""
        assert score([], ()).precision is None
        assert score([], (Incident(NOW, NOW),)).recall == 0.0


class TestIncidents:
    @pytest.mark.parametrize(
        "listed",
        [
            {},
            [1],
            [{"start": "2026-01-01T00:00:00Z"}],
            [{"start": "2026-01-01T00:00:00", "end": "2026-01-01T01:00:00Z"}],
            [{"start": "yesterday", "end": "2026-01-01T01:00:00Z"}],
            [{"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T01:00:00Z"}],
            [{"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "severity": 1}],
        ],
    )
    def test_mistakes_are_named(self, listed: object) -> None:
        """Every mistake in the marks names its place."""
        with pytest.raises(DocumentError, match="incidents"):
            read_incidents(listed)
