from __future__ import annotations

import pytest

from meshwise.contracts.errors import MeshwiseError
from meshwise.dashboard.actions import act
from meshwise.dashboard.testing import MemoryControl, MemoryQueries
from support.findings import proposal


def test_submitting_takes_the_policy_from_the_store() -> None:
    """Only the id of an open proposal comes from the page."""
    control = MemoryControl()
    act("submit", "p1", MemoryQueries(proposal_rows=[proposal()]), control)
    assert control.actions == [("submit", "p1")]


@pytest.mark.parametrize(("verb", "target"), [("submit", "unknown"), ("drop", "p1"), ("None", "None")])
def test_what_is_not_known_is_refused(verb: str, target: str) -> None:
    """A forged verb or id changes nothing and gets one line."""
    control = MemoryControl()
    with pytest.raises(MeshwiseError):
        act(verb, target, MemoryQueries(proposal_rows=[proposal()]), control)
    assert control.actions == []


def test_a_refused_proposal_cannot_be_submitted() -> None:
    """A proposal that analytics refused to make is not a policy to try."""
    with pytest.raises(MeshwiseError, match="no longer open"):
        act("submit", "p1", MemoryQueries(proposal_rows=[proposal("refused")]), MemoryControl())


@pytest.mark.parametrize("verb", ["approve", "roll_back", "undo"])
def test_each_verb_reaches_control(verb: str) -> None:
    """Approve, roll back and undo name their target to control."""
    control = MemoryControl()
    assert "x" in act(verb, "x", MemoryQueries(), control)
    assert control.actions == [(verb, "x")]
