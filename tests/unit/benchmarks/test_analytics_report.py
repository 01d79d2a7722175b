from typing import Any

from benchmarks.analytics import slos
from benchmarks.analytics.report import figures
from benchmarks.figures import Ceiling, Unmeasured


def row(what: str, seconds: float, spans: int = 0, **more: Any) -> dict[str, Any]:
    return {"what": what, "spans": spans, "seconds": seconds, "rss_mb": 300.0, **more}


class TestFigures:
    def test_medians_and_most_memory(self) -> None:
        """Times are medians with their range; memory is the most there was."""
        rows = [row("map", 0.5), row("map", 0.9), row("map", 0.6), row("map", 2.0, 10), row("cycle", 4.0, rss_mb=800.0)]
        found = figures(rows)
        assert found["map_500_ms"] == Ceiling(600.0, "ms", (500.0, 900.0), 1000.0)
        assert isinstance(slow := found["map_500_ms_with_spans"], Ceiling)
        assert slow.met is False
        assert found["cycle_rss_mb"] == Ceiling(800.0, "MB", (800.0, 800.0), 1000.0)
        assert isinstance(found["cycle_s_with_spans"], Unmeasured)

    def test_a_failed_stage_is_no_fast_cycle(self) -> None:
        """A cycle in which a stage failed gives no figures: it did not do the work."""
        found = figures([row("map", 0.5), row("cycle", 0.1, failed=["load"])])
        assert found["cycle_s"] == Unmeasured("stages failed: load")


class TestObjectives:
    def test_first_and_next_evaluations_are_told_apart(self) -> None:
        """What a running service takes is one figure, what it takes after a start another, and none is invented."""
        rows = [{"what": "slo first", "seconds": seconds} for seconds in (4.0, 3.0, 6.0)]
        found = slos.figures([*rows, {"what": "cycle", "seconds": 9.0}])
        first = found["slo_1000_first_s"]
        assert isinstance(first, Ceiling)
        assert (first.value, first.spread, first.target) == (4.0, (3.0, 6.0), 5.0)
        assert isinstance(found["slo_1000_s"], Unmeasured)

    def test_there_are_a_thousand(self) -> None:
        """Half of the called services have three objectives by documents, the others two by default."""
        documents = slos._documents()
        assert sum(len(one) for one in documents.values()) + 2 * (400 - len(documents)) == slos.OBJECTIVES
