from __future__ import annotations

import pytest
from examples.shop.faults import Fault, Faults, parse_fault


def test_a_fault_is_read_from_a_document() -> None:
    """What is not said keeps its default."""
    assert parse_fault({"kind": "slow_tail", "share": 0.2}) == Fault("slow_tail", 0.2, 2.5, None)
    assert parse_fault({"kind": "errors", "seconds": 3}) == Fault("errors", 0.1, 2.5, 3.0)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ([], "object"),
        ({}, "kind"),
        ({"kind": "fire"}, "kind"),
        ({"kind": "errors", "share": 2}, "share"),
        ({"kind": "errors", "share": True}, "share"),
        ({"kind": "errors", "delay_s": float("nan")}, "delay_s"),
        ({"kind": "errors", "seconds": "long"}, "seconds"),
        ({"kind": "errors", "shar": 1}, "shar"),
    ],
)
def test_a_wrong_fault_is_refused_by_name(document: object, word: str) -> None:
    """The message names the field that is wrong."""
    with pytest.raises(ValueError, match=word):
        parse_fault(document)


def test_the_share_of_requests_is_hit() -> None:
    """A fault hits about the share of requests it was given."""
    faults = Faults(seed=1)
    faults.inject(Fault("errors", share=0.25))
    hits = sum(faults.hit().kind == "errors" for _ in range(10_000))
    assert 2300 < hits < 2700


def test_a_fault_ends_after_its_time() -> None:
    """A fault of three seconds is gone after three seconds, and one without a length stays."""
    now = [100.0]
    faults = Faults(seed=1, clock=lambda: now[0])
    faults.inject(Fault("errors", share=1.0, seconds=3.0))
    assert faults.hit().kind == "errors"
    now[0] = 103.0
    assert faults.hit().kind == "none"
    faults.inject(Fault("resets", share=1.0))
    now[0] = 1e9
    assert faults.hit().kind == "resets"
