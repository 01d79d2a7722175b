import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meshwise.control.registry import ProxyRecord, forgotten, listening_since, silent
from support.untimed import UNTIMED

PROXY = ProxyRecord("a-1", "a", "127.0.0.1", 9000, 0, "", "1", registered_at=100.0, last_seen=100.0)


def test_a_proxy_is_silent_after_its_ttl_and_not_before() -> None:
    """Silence of exactly the ttl is forgiven, more is not."""
    assert silent([PROXY], 110.0, 10.0, listening_since=0.0) == []
    assert silent([PROXY], 110.1, 10.0, listening_since=0.0) == [PROXY]


def test_a_dead_proxy_does_not_die_again() -> None:
    """Only live proxies fall silent."""
    assert silent([replace(PROXY, alive=False)], 1e9, 10.0, listening_since=0.0) == []


def test_silence_while_control_did_not_listen_is_not_counted() -> None:
    """After a restart of control every proxy gets a whole ttl."""
    assert silent([PROXY], 1000.0, 10.0, listening_since=995.0) == []
    assert silent([PROXY], 1005.1, 10.0, listening_since=995.0) == [PROXY]


def test_only_dead_proxies_are_forgotten() -> None:
    """A live proxy stays in the registry, a dead one leaves after a while."""
    dead = replace(PROXY, id="a-2", alive=False)
    assert forgotten([PROXY, dead], 200.0, 60.0) == [dead]
    assert forgotten([dead], 150.0, 60.0) == []


@UNTIMED
@given(st.floats(0.0, 2.4), st.floats(0.0, 0.9))
def test_an_ordinary_tick_changes_nothing(passed: float, drift: float) -> None:
    """Small delays and drifts are no gap."""
    assert listening_since(5.0, wall_s=passed + drift / 10, clock_s=passed, now=50.0, tick_s=0.5) == 5.0


def test_a_pause_or_a_step_of_the_clock_begins_anew() -> None:
    """A stopped process, a clock set forward and a clock set back all give every proxy a fresh ttl."""
    for wall, clock in ((60.0, 60.0), (60.0, 0.5), (-60.0, 0.5)):
        assert listening_since(5.0, wall_s=wall, clock_s=clock, now=50.0, tick_s=0.5) == 50.0


def test_the_endpoint_is_what_others_see() -> None:
    """A heartbeat or an acknowledgement does not change it; address and life do."""
    assert replace(PROXY, last_seen=math.inf, status="applied", snapshot_version=7).endpoint == PROXY.endpoint
    assert replace(PROXY, alive=False).endpoint != PROXY.endpoint
    assert replace(PROXY, port=1).endpoint != PROXY.endpoint
