import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.histogram import (
    SCALE,
    ZERO_BUCKET,
    bucket_index,
    bucket_middle,
    bucket_upper,
    quantile,
    share_at_most,
)
from support.untimed import UNTIMED

SECONDS = st.floats(1e-9, 1e5)
WIDTH = 2.0 ** (2.0**-SCALE)


@UNTIMED
@given(SECONDS)
def test_a_value_lies_in_its_bucket(seconds: float) -> None:
    """The bounds of the bucket chosen enclose the value, up to rounding of the logarithm."""
    index = bucket_index(seconds)
    assert bucket_upper(index - 1) * (1 - 1e-12) <= seconds <= bucket_upper(index) * (1 + 1e-12)


@UNTIMED
@given(SECONDS)
def test_the_middle_is_at_most_half_a_bucket_off(seconds: float) -> None:
    """Quoting a bucket's middle errs by at most 2.2 %."""
    assert abs(bucket_middle(bucket_index(seconds)) / seconds - 1) <= math.sqrt(WIDTH) - 1 + 1e-9


@UNTIMED
@given(SECONDS, SECONDS)
def test_greater_values_never_get_smaller_buckets(one: float, other: float) -> None:
    """The index grows with the value."""
    assert (bucket_index(one) <= bucket_index(other)) or one > other


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_nothing_and_less_go_to_the_zero_bucket(seconds: float) -> None:
    """Zero and negative durations share a bucket whose value is zero."""
    assert bucket_index(seconds) == ZERO_BUCKET
    assert bucket_middle(ZERO_BUCKET) == bucket_upper(ZERO_BUCKET) == 0.0


def test_no_real_duration_reaches_the_zero_bucket() -> None:
    """Even a nanosecond has an index far above the zero bucket's."""
    assert bucket_index(1e-9) > ZERO_BUCKET + 500


@UNTIMED
@given(st.lists(SECONDS, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_agrees_with_the_sorted_values(values: list[float], q: float) -> None:
    """The quantile from buckets is within half a bucket of the nearest-rank quantile of the values."""
    exact = sorted(values)[max(1, math.ceil(q * len(values) - 1e-9)) - 1]
    read = quantile(Counter(map(bucket_index, values)), q)
    assert read is not None
    assert abs(read / exact - 1) <= math.sqrt(WIDTH) - 1 + 1e-9


@UNTIMED
@given(st.lists(SECONDS, max_size=50), st.lists(SECONDS, max_size=50), st.floats(0, 1))
def test_histograms_add_up(one: list[float], other: list[float], q: float) -> None:
    """Adding the buckets of two parts gives the quantile of the whole."""
    added = Counter(map(bucket_index, one)) + Counter(map(bucket_index, other))
    assert quantile(added, q) == quantile(Counter(map(bucket_index, one + other)), q)


@UNTIMED
@given(st.lists(st.just(0.0) | SECONDS, min_size=1, max_size=200), SECONDS)
def test_a_share_errs_by_less_than_the_straddling_bucket(values: list[float], seconds: float) -> None:
    """The share below a bound differs from the exact one by at most the share of the bucket that holds the bound."""
    buckets = Counter(map(bucket_index, values))
    read = share_at_most(buckets, seconds)
    assert read is not None
    exact = sum(value <= seconds for value in values) / len(values)
    near = {bucket_index(seconds) + step for step in (-1, 0, 1)}  # rounding may name the neighbour
    assert abs(read - exact) <= sum(buckets.get(index, 0) for index in near) / len(values) + 1e-9


def test_shares_at_the_ends() -> None:
    """Nothing is below nothing but zeros, everything is below a large bound, and no values have no share."""
    buckets = {ZERO_BUCKET: 1, bucket_index(0.1): 3}
    assert share_at_most(buckets, 0.0) == 0.25
    assert share_at_most(buckets, 1e6) == 1.0
    assert share_at_most({}, 1.0) is None
    assert quantile({}, 0.5) is None
