import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.analytics.traces.critical import by_route, critical_path, slacks
from meshwise.analytics.traces.model import NANO, Span, Trace, assemble

MS = NANO // 1000


def span(name: str, parent: str, start: int, end: int, service: str = "a", **more: Any) -> Span:
    """Return a span; times in milliseconds."""
    operation, kind = more.pop("operation", name), more.pop("kind", "")
    return Span("t", name, parent, service, operation, kind, start * MS, end * MS, **more)


def trace(*spans: Span) -> Trace:
    (found,) = assemble(spans)
    return found


class TestAssemble:
    def test_in_order(self) -> None:
        """Children stand below their parent in order of their start, whatever order they came in."""
        found = trace(span("b", "r", 5, 6), span("r", "", 0, 10), span("a", "r", 1, 2))
        assert [one.span_id for one in found.below(found.roots[0])] == ["a", "b"]
        assert found.problems == {}

    def test_duplicates_count_once(self) -> None:
        """A span that came twice is one span."""
        found = trace(span("r", "", 0, 10), span("r", "", 0, 10), span("a", "r", 1, 2))
        assert len(found.spans) == 2
        assert found.problems == {"duplicate": 1}

    def test_negative_durations(self) -> None:
        """A span that ends before it starts took no time, and that is said."""
        found = trace(span("r", "", 10, 3))
        assert found.spans[0].seconds == 0.0
        assert found.problems == {"negative": 1}

    def test_missing_parents(self) -> None:
        """A span whose parent never arrived is a root of its own."""
        found = trace(span("r", "", 0, 10), span("x", "gone", 2, 3))
        assert [one.span_id for one in found.roots] == ["r", "x"]
        assert found.problems == {"missing_parent": 1}

    def test_cycles_and_self_parents(self) -> None:
        """Spans among their own ancestors are cut loose at the first, and the walk ends."""
        found = trace(span("a", "b", 0, 10), span("b", "a", 1, 9), span("s", "s", 2, 3))
        assert {one.span_id for one in found.roots} == {"a", "s"}
        assert found.problems["cycle"] == 2
        assert sum(step.seconds for step in critical_path(found)) == pytest.approx(0.010)

    def test_clock_skew(self) -> None:
        """A callee whose clock is off is moved into its caller's span with all below it; a longer one stays."""
        found = trace(
            span("r", "", 0, 10, "web"),
            span("c", "r", 500, 504, "cart"),
            span("d", "c", 501, 503, "cart"),
            span("l", "r", 2, 30, "slow"),
        )
        moved = {one.span_id: one for one in found.spans}
        assert (moved["c"].start, moved["c"].end) == (3 * MS, 7 * MS)
        assert (moved["d"].start, moved["d"].end) == (4 * MS, 6 * MS)
        assert (moved["l"].start, moved["l"].end) == (2 * MS, 30 * MS)
        assert found.problems == {"skew": 1}

    def test_deep_traces(self) -> None:
        """A chain of ten thousand spans is no problem for the stack."""
        spans = [span("0", "", 0, 20_000)]
        spans += [span(str(i), str(i - 1), i, 20_000 - i) for i in range(1, 9_999)]
        found = trace(*spans)
        assert sum(step.seconds for step in critical_path(found)) == pytest.approx(20.0)
        assert len(slacks(found)) == 9_999


class TestCriticalPath:
    def test_known(self) -> None:
        """Of two calls at once the later one counts, then what came before them; the rest is the root's own."""
        found = trace(span("r", "", 0, 100), span("x", "r", 10, 40), span("y", "r", 50, 90), span("z", "r", 50, 70))
        steps = [(s.span.span_id, s.start // MS, s.end // MS) for s in critical_path(found)]
        assert steps == [("r", 0, 10), ("x", 10, 40), ("r", 40, 50), ("y", 50, 90), ("r", 90, 100)]
        assert slacks(found) == pytest.approx({"r": 0.0, "x": 0.0, "y": 0.0, "z": 0.020})

    def test_nobody_waits_for_a_consumer(self) -> None:
        """Asynchronous work is not on the path, though it ends last."""
        found = trace(span("r", "", 0, 50, kind="producer"), span("c", "r", 10, 45, "queue", kind="consumer"))
        assert {step.span.span_id for step in critical_path(found)} == {"r"}

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 100), st.integers(0, 60)), min_size=1, max_size=9))
    def test_parts_make_the_whole(self, drawn: list[tuple[int, int, int]]) -> None:
        """Whatever the children, the steps follow each other from the root's start to its end without a gap."""
        spans = [span("r", "", 0, 100)]
        for i, (parent, start, length) in enumerate(drawn):
            spans.append(span(str(i), "r" if parent >= i else str(parent), start, start + length))
        found = trace(*spans)
        path = critical_path(found)
        root = max(found.roots, key=lambda one: one.end - one.start)
        assert path[0].start == root.start
        assert path[-1].end == root.end
        assert all(one.end == other.start for one, other in itertools.pairwise(path))
        assert min(slacks(found).values()) >= 0.0

    def test_by_route(self) -> None:
        """A route's parts add up to its mean duration, and name the slack of what is not on the path."""
        first = assemble([span("r", "", 0, 100, operation="GET /"), span("x", "r", 10, 60, "b", operation="x")])
        second = assemble(
            [
                Span("u", "r", "", "a", "GET /", "", 0, 100 * MS),
                Span("u", "x", "r", "b", "x", "", 10 * MS, 30 * MS),
                Span("u", "y", "r", "b", "y", "", 10 * MS, 80 * MS),
            ]
        )
        parts = {(one.service, one.name): one for one in by_route([*first, *second])}
        assert sum(one.seconds for one in parts.values()) == pytest.approx(0.1)
        assert (parts["b", "x"].on_path, parts["b", "x"].traces) == (1, 2)
        assert parts["b", "x"].slack_s == pytest.approx(0.05)

    def test_by_route_of_sampled_traces(self) -> None:
        """One kept of four by chance, and one kept because it was slow: the mean is that of all five."""
        usual = assemble([span("r", "", 0, 100, operation="GET /", state="ot=th:c")])
        slow = assemble([Span("u", "r", "", "a", "GET /", "", 0, 600 * MS)])
        (part,) = by_route([*usual, *slow])
        assert part.seconds == pytest.approx((4 * 0.1 + 0.6) / 5)
        assert part.traces == 2
