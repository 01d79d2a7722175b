from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.dashboard.components.waterfall import DEEPEST, lines, render
from support.findings import HOSTILE, span


def test_a_child_stands_below_its_parent_where_its_time_lies() -> None:
    """A call in the middle half of a request is one deeper and starts at a quarter, half as long."""
    parent, child = lines([span("call", "page", 25, 50), span("page", "", 0, 100)])
    assert (parent.span.name, parent.depth, parent.offset, parent.length) == ("page", 0, 0.0, 1.0)
    assert (child.span.name, child.depth) == ("call", 1)
    assert (child.offset, child.length) == pytest.approx((0.25, 0.5))


def test_children_come_in_order_of_their_start_with_all_below_them() -> None:
    """What the first child called comes before the second child."""
    spans = [span("root", "", 0, 100), span("late", "root", 50), span("early", "root", 10), span("below", "early", 12)]
    assert [line.span.name for line in lines(spans)] == ["root", "early", "below", "late"]


def test_a_span_whose_parent_never_arrived_is_shown_and_says_so() -> None:
    """It is a root of its own, marked; a true root is not."""
    shown = {line.span.name: line.orphan for line in lines([span("lost", "gone"), span("root", "", 5)])}
    assert shown == {"lost": True, "root": False}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", *"abcdef"])), max_size=12))
def test_every_span_is_shown_once_whatever_parents_say(pairs: list[tuple[str, str]]) -> None:
    """Doubles, cycles and spans that call themselves included, each id has one line within the trace."""
    drawn = lines([span(name, parent, ord(name)) for name, parent in pairs])
    assert sorted(line.span.span_id for line in drawn) == sorted({name for name, _ in pairs})
    assert all(line.offset >= 0 and line.offset + line.length <= 1 + 1e-9 for line in drawn)


def test_a_chain_longer_than_the_recursion_limit_is_drawn() -> None:
    """Three thousand calls, each within the one before, have a line each, indented up to a limit."""
    chain = [span(f"s{number}", f"s{number - 1}" if number else "", number) for number in range(3000)]
    assert [line.depth for line in lines(chain)] == list(range(3000))
    assert f"{DEEPEST * 0.9:.1f}rem" in str(render(chain[: DEEPEST + 9]))
    assert f"{(DEEPEST + 1) * 0.9:.1f}rem" not in str(render(chain[: DEEPEST + 9]))


def test_a_failed_span_is_red_and_says_so() -> None:
    """Its bar is bad, a badge says failed, and its message is among what it says of itself."""
    shown = str(render([span("call", error=True, message="out of stock")]))
    assert "span-bar bad" in shown
    assert "failed" in shown
    assert "status = out of stock" in shown


def test_what_a_span_says_of_itself_is_text() -> None:
    """Markup in an attribute stays a plain string, on one line and cut."""
    shown = str(render([span("call", attributes={HOSTILE: f"{HOSTILE}\n{'x' * 1000}"})]))
    assert f"{HOSTILE} = {HOSTILE} xxx" in shown
    assert "x" * 401 not in shown
