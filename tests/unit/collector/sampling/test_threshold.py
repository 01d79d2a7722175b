import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector.sampling.threshold import (
    SPAN,
    adjusted_count,
    randomness_of,
    threshold_for,
    threshold_of,
    with_threshold,
)


@pytest.mark.parametrize(
    ("ratio", "digits", "count"), [(1.0, "0", 1.0), (0.25, "c", 4.0), (0.5, "8", 2.0), (0.01, "fd70a3d70a3d7", 100.0)]
)
def test_thresholds_are_written_as_the_specification_has_them(ratio: float, digits: str, count: float) -> None:
    """The digits of 1 − p without trailing zeros, and the count that belongs to them."""
    threshold = threshold_for(ratio)
    state = with_threshold("", threshold)
    assert state.startswith(f"ot=th:{digits}")
    assert threshold_of(state) == threshold
    assert adjusted_count(threshold) == pytest.approx(count)


@pytest.mark.parametrize(
    ("state", "threshold"),
    [
        ("", 0),
        ("a=b", 0),
        ("ot=th:c", 3 * SPAN // 4),
        ("a=b, ot=rv:00000000000001;th:8 ,c=d", SPAN // 2),
        ("ot=th:", 0),
        ("ot=th:G", 0),
        ("ot=th:0123456789abcde", 0),
        ("x=ot=th:c", 0),
        ("ot=p:8;th", 0),
    ],
)
def test_thresholds_that_cannot_be_read_are_none(state: str, threshold: int) -> None:
    """Only the ``ot`` member's ``th``, of one to fourteen digits, is a threshold."""
    assert threshold_of(state) == threshold


def test_randomness_is_explicit_or_the_end_of_the_id() -> None:
    """``rv`` wins; one of the wrong length is none."""
    trace_id = bytes(9) + bytes.fromhex("01020304050607")
    assert randomness_of("", trace_id) == 0x01020304050607
    assert randomness_of("ot=th:8;rv:ffffffffffffff", trace_id) == SPAN - 1
    assert randomness_of("ot=rv:ff", trace_id) == 0x01020304050607


def test_other_members_are_passed_on() -> None:
    """The changed member goes first, keeps its other fields, and whole members stay within the limit."""
    assert with_threshold("a=b,ot=rv:00000000000001;th:8,c=d", threshold_for(0.25)) == (
        "ot=th:c;rv:00000000000001,a=b,c=d"
    )
    long = ",".join(f"k{number}={'v' * 90}" for number in range(8))
    written = with_threshold(long, threshold_for(0.5))
    assert len(written) <= 512
    assert written.endswith("v" * 90)


@settings(deadline=None)
@given(st.text(max_size=80), st.integers(0, SPAN - 1))
def test_any_state_takes_a_threshold(state: str, threshold: int) -> None:
    """Whatever was there, what is written can be read back."""
    assert threshold_of(with_threshold(state, threshold)) == threshold
