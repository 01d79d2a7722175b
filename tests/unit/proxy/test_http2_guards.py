"""What a peer may not do too often, by the clock."""

import pytest

from meshwise.proxy.http2.codes import ConnectionFault
from meshwise.proxy.http2.guards import IDLE_FRAMES, RESET_BURST, RESET_RATE, RESET_SAMPLE, Guards


def test_resets_within_the_rate_are_allowed() -> None:
    """Old streams may be reset for ever at the rate of the bucket, and no faster."""
    guards = Guards()
    for n in range(3000):
        guards.stream()
        guards.reset(n / RESET_RATE, age_s=60.0)
    for _ in range(RESET_BURST - 1):
        guards.reset(3000 / RESET_RATE, age_s=60.0)
    with pytest.raises(ConnectionFault):
        guards.reset(3000 / RESET_RATE, age_s=60.0)


def test_a_trusted_peer_may_reset_old_streams_in_any_number() -> None:
    """A proxy passes on the resets of many callers; only streams reset as soon as begun count against it."""
    guards = Guards(trusted=True)
    for _ in range(2 * RESET_SAMPLE):
        guards.stream()
        guards.reset(0.0, age_s=60.0)
    for _ in range(RESET_SAMPLE):
        guards.reset(0.0, age_s=0.1)
    with pytest.raises(ConnectionFault):
        guards.reset(0.0, age_s=0.1)


def test_idle_frames_are_forgiven_with_time_and_with_work() -> None:
    """The count begins anew after its interval, and with every completed stream."""
    guards = Guards()
    for n in range(10 * IDLE_FRAMES):
        guards.idle_frame(n * 0.11)
    for _ in range(IDLE_FRAMES // 2):
        guards.idle_frame(2000.0)
    guards.completed()
    for _ in range(IDLE_FRAMES):
        guards.idle_frame(2000.0)
    with pytest.raises(ConnectionFault):
        guards.idle_frame(2000.0)


def test_updates_are_allowed_by_what_was_sent() -> None:
    """Each DATA frame sent earns the peer ten updates of windows, each stream two."""
    guards = Guards()
    for _ in range(100):
        guards.data_sent()
        guards.stream()
    for _ in range(1300):
        guards.window_update()
    with pytest.raises(ConnectionFault):
        guards.window_update()
