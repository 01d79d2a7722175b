from meshwise.proxy.control_client import LONGEST_WAIT_S, _seconds, _version_of, _Waits


def test_waits_grow_with_jitter_and_begin_again() -> None:
    """Pauses double up to the longest, are never above it, and a success resets them."""
    waits = _Waits(0.2)
    pauses = [waits.next() for _ in range(10)]
    for number, pause in enumerate(pauses):
        full = min(LONGEST_WAIT_S, 0.2 * 2**number)
        assert full / 2 <= pause <= full
    waits.reset()
    assert waits.next() <= 0.2


def test_versions_are_read_from_entity_tags() -> None:
    """The version before the hash, and 0 for anything else."""
    assert _version_of('"17-abc"') == 17
    assert _version_of('W/"17-abc"') == 17
    for tag in ("", "x", '"-"', '"²-a"', f'"{"9" * 40}-a"'):
        assert _version_of(tag) == 0


def test_pauses_that_make_no_sense_are_replaced() -> None:
    """Control's heartbeat interval is kept between 0.05 s and a minute."""
    assert _seconds(3, 2.0) == 3.0
    assert _seconds(0.001, 2.0) == 0.05
    assert _seconds(1e9, 2.0) == 60.0
    for value in (None, "3", 0, -1, True, float("nan")):
        assert _seconds(value, 2.0) == 2.0
