"""What is read from an answer besides its framing."""

import pytest

from meshwise.proxy.answers import retry_after_s

NOW = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (b"3", 3.0),
        (b"0", None),
        (b"", None),
        (b"-1", None),
        (b"1.5", None),
        (b"1_0", None),
        (b"soon", None),
        (b"\xff", None),
        (b"99999999999", None),
        (b"Mon, 21 Sep 2026 14:13:30 GMT", 10.0),
        (b"Mon, 21 Sep 2026 14:13:10 GMT", None),
        (b"Mon, 99 Sep 2026 14:13:10 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes, wait: float | None) -> None:
    """Anything else, and what lies in the past, is no wait."""
    assert retry_after_s(value, NOW) == wait
