from dataclasses import replace

import pytest

from meshwise.contracts.policy import Hedge, Match, Policy, Retry, Timeout
from meshwise.control.shadowing import carrier, with_shadow

BASE = Policy("frontend.catalog", Match("catalog", "frontend"), Timeout(1.0), version=3)
CANDIDATE = replace(BASE, timeout=Timeout(1.0, attempt=0.2), version=4)
WIDE = Policy("any.catalog", Match("catalog"), Timeout(2.0), version=7)


def test_the_version_in_force_carries_its_successor() -> None:
    """A shadow of the candidate's timeouts and retries under the candidate's number, and nothing else changes."""
    under = carrier(CANDIDATE, [WIDE, BASE])
    assert under == BASE
    shadowed = with_shadow(BASE, CANDIDATE)
    assert replace(shadowed, shadow=None) == BASE
    assert shadowed.candidate == replace(BASE, timeout=CANDIDATE.timeout, retry=CANDIDATE.retry, version=4)


def test_a_new_policy_is_carried_by_a_copy_of_what_governs_now() -> None:
    """The copy has the candidate's name and match and the content and number of the one policy that governs them."""
    assert carrier(CANDIDATE, [WIDE]) == replace(WIDE, name="frontend.catalog", match=BASE.match)
    alone = carrier(CANDIDATE, [])
    assert alone is not None
    assert (alone.version, alone.match, alone.timeout.request) == (0, BASE.match, 15.0)


@pytest.mark.parametrize(
    "between",
    [
        Policy("post", Match("catalog", None, None, ("POST",)), Timeout(5.0)),
        Policy("route", Match("*", "frontend", "/items/*"), Timeout(5.0)),
        Policy("testers", Match("catalog", None, None, (), (("x-test", "*"),)), Timeout(5.0)),
    ],
)
def test_requests_that_several_policies_share_out_have_no_carrier(between: Policy) -> None:
    """A copy of either would change what governs the other's requests."""
    known = [WIDE, between]
    assert (carrier(CANDIDATE, known) is None) == (between.match.specificity > WIDE.match.specificity)


def test_what_is_more_specific_than_the_candidate_stays_its_own() -> None:
    """It governs its requests now and under the candidate, so it is in nobody's way."""
    inner = Policy("inner", Match("catalog", "frontend", "/items/{id}"), Timeout(5.0))
    assert carrier(CANDIDATE, [WIDE, inner]) is not None


def test_what_proxies_cannot_see_has_no_shadow() -> None:
    """A candidate that changes only its hedge, its match, or nothing begins with canaries."""
    assert carrier(replace(BASE, hedge=Hedge(0.1), version=4), [BASE]) is None
    assert carrier(replace(BASE, version=4), [BASE]) is None
    assert carrier(replace(CANDIDATE, match=Match("catalog", "frontend", "/x")), [BASE]) is None
    assert carrier(replace(BASE, retry=Retry(2), version=4), [BASE]) == BASE


def test_a_shadow_that_proxies_would_refuse_is_not_sent() -> None:
    """A hedge that stays in force must fit into the candidate's timeout too."""
    assert carrier(CANDIDATE, [replace(BASE, hedge=Hedge(0.1))]) is not None
    assert carrier(replace(BASE, timeout=Timeout(0.05)), [replace(BASE, hedge=Hedge(0.1))]) is None
