from typing import Any

import pytest

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Match, Policy, Timeout
from meshwise.control.admission import admit, check_alone, check_base, check_fits
from meshwise.control.errors import ConflictError
from meshwise.control.rollouts import Plan, Rollout


def policy(source: str | None, service: str, request: float, name: str = "") -> Policy:
    return Policy(name or f"{source}.{service}", Match(service, source), Timeout(request))


def trial(candidate: Policy, state: Any = "canary") -> Rollout:
    return Rollout("r1", candidate, None, Plan(), state, 0, ("x",), ("y",), 0.0, 60.0, "ann", "")


def test_a_submitted_version_is_dropped() -> None:
    """Control numbers versions, whatever a document says."""
    assert admit({"match": {"service": "a"}, "version": 99}).version == 0


def test_a_document_without_a_name_takes_the_addressed_one() -> None:
    """The name may come from the path; two different names are refused."""
    assert admit({"match": {"service": "a"}}, "special").name == "special"
    assert admit({"match": {"service": "a"}, "name": "special"}, "special").name == "special"
    with pytest.raises(DocumentError) as raised:
        admit({"match": {"service": "a"}, "name": "other"}, "special")
    assert raised.value.path == "name"


@pytest.mark.parametrize("document", [None, [], "x", {}])
def test_what_is_no_policy_is_refused(document: object) -> None:
    """A missing or shapeless document is a DocumentError."""
    with pytest.raises(DocumentError):
        admit(document)


def test_a_share_of_requests_is_for_canaries_alone() -> None:
    """A policy in force governs all it matches; trying it on a share is what rollouts are for."""
    with pytest.raises(DocumentError) as raised:
        admit({"match": {"service": "a", "percent": 5}})
    assert raised.value.path == "match.percent"
    assert admit({"match": {"service": "a", "percent": 100}}).match.percent == 100.0


def test_impossible_chains_are_refused_in_either_direction() -> None:
    """A callee must not outlast its caller, whichever of the two is new."""
    with pytest.raises(DocumentError, match="impossible timeout chain"):
        check_fits(policy("b", "c", 2.0), [policy("a", "b", 1.0)], [])
    with pytest.raises(DocumentError, match="impossible timeout chain"):
        check_fits(policy("a", "b", 1.0), [policy("b", "c", 2.0)], [])
    check_fits(policy("b", "c", 1.0), [policy("a", "b", 1.0)], [])


def test_the_version_in_force_of_the_same_policy_is_replaced_not_compared() -> None:
    """A policy may shorten itself below what it was."""
    check_fits(policy("a", "a", 1.0), [policy("a", "a", 5.0)], [])


def test_candidates_on_trial_count_as_neighbours() -> None:
    """A chain must hold with what may be promoted, not with what was rolled back."""
    with pytest.raises(DocumentError):
        check_fits(policy("b", "c", 2.0), [], [trial(policy("a", "b", 1.0))])
    check_fits(policy("b", "c", 2.0), [], [trial(policy("a", "b", 1.0), "rolled_back")])


def test_a_flaw_elsewhere_does_not_block_a_change() -> None:
    """Policies that are impossible among themselves keep no operator from changing a third."""
    check_fits(policy("x", "y", 9.0), [policy("a", "b", 1.0), policy("b", "c", 2.0)], [])


def test_a_change_on_an_old_base_is_refused() -> None:
    """The base must be the version in force; no base asks for nothing."""
    check_base(None, 3)
    check_base(3, 3)
    check_base(0, 0)
    with pytest.raises(ConflictError, match="2 is not the version in force, 3") as raised:
        check_base(2, 3)
    assert raised.value.path == "base_version"


def test_a_change_beside_a_rollout_to_the_same_service_is_refused() -> None:
    """One change per destination service at a time, naming the rollout."""
    with pytest.raises(ConflictError, match="rollout r1"):
        check_alone(policy("z", "b", 1.0), [trial(policy("a", "b", 1.0))])
    check_alone(policy("z", "c", 1.0), [trial(policy("a", "b", 1.0))])
