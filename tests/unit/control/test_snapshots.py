import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Limit, Match, Policy, Timeout
from meshwise.contracts.snapshot import parse_snapshot
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollouts import Plan, Rollout
from meshwise.control.snapshots import MeshView, SnapshotCache, build_snapshot, candidates_of, clusters, encode
from support.untimed import UNTIMED


def proxy(proxy_id: str, service: str, **fields: Any) -> ProxyRecord:
    return replace(ProxyRecord(proxy_id, service, "127.0.0.1", 9000, 0, "", "1", 0.0, 0.0), **fields)


BASE = Policy("frontend.catalog", Match("catalog", "frontend"), Timeout(1.0), version=1)
CANDIDATE = replace(BASE, timeout=Timeout(2.0), version=2)
MESHWIDE = Policy("any.cart", Match("cart"), version=4)
FOREIGN = Policy("cart.catalog", Match("catalog", "cart"), version=1)
ROLLOUT = Rollout("r1", CANDIDATE, BASE, Plan(), "canary", 0, ("f1",), ("f2",), 0.0, 60.0, "ann", "")
PROXIES = (proxy("f1", "frontend"), proxy("f2", "frontend"), proxy("c1", "catalog"))
VIEW = MeshView(7, PROXIES, (BASE, MESHWIDE, FOREIGN), (ROLLOUT,))


def versions(view: MeshView, proxy_id: str, service: str) -> dict[str, int]:
    snapshot = build_snapshot(view, service, candidates_of(view, proxy_id))
    return {policy.name: policy.version for policy in snapshot.policies}


def test_a_canary_gets_the_candidate_and_others_the_baseline() -> None:
    """The candidate stands in place of the policy of the same name, on canaries alone."""
    assert versions(VIEW, "f1", "frontend") == {"frontend.catalog": 2, "any.cart": 4}
    assert versions(VIEW, "f2", "frontend") == {"frontend.catalog": 1, "any.cart": 4}


def test_policies_of_other_callers_are_left_out() -> None:
    """A proxy is told what can apply to its own calls."""
    assert versions(VIEW, "c1", "catalog") == {"any.cart": 4}


def test_a_service_is_told_of_the_limits_on_calls_to_it() -> None:
    """Its own proxies enforce them, whoever the caller is; limits on calls to others are not its business."""
    limited = replace(FOREIGN, limit=Limit(requests_per_second=5.0))
    view = replace(VIEW, policies=(BASE, limited), rollouts=())
    assert versions(view, "c1", "catalog") == {"cart.catalog": 1}
    assert versions(view, "x1", "search") == {}
    assert versions(view, "k1", "cart") == {"cart.catalog": 1}


def test_a_candidate_without_baseline_is_added_on_canaries_only() -> None:
    """A new policy is nowhere but on its canaries."""
    view = replace(VIEW, policies=(MESHWIDE,))
    assert versions(view, "f1", "frontend") == {"frontend.catalog": 2, "any.cart": 4}
    assert versions(view, "f2", "frontend") == {"any.cart": 4}


def test_a_rollout_that_waits_or_ended_steers_nobody() -> None:
    """Only the state canary puts a candidate into snapshots."""
    for state in ("awaiting_approval", "promoted", "rolled_back"):
        view = replace(VIEW, rollouts=(replace(ROLLOUT, state=state),))
        assert versions(view, "f1", "frontend")["frontend.catalog"] == 1


def test_a_canary_may_try_the_candidate_on_a_share() -> None:
    """It has the candidate for that share and the baseline for the rest, and reports the candidate's version."""
    view = replace(VIEW, rollouts=(replace(ROLLOUT, canary_percent=20.0),))
    snapshot = build_snapshot(view, "frontend", candidates_of(view, "f1"))
    both = [policy for policy in snapshot.policies if policy.name == "frontend.catalog"]
    assert [(policy.version, policy.match.percent) for policy in both] == [(1, 100.0), (2, 20.0)]
    assert max(both, key=lambda policy: policy.match.specificity).version == 2
    assert versions(view, "f1", "frontend") == {"frontend.catalog": 2, "any.cart": 4}
    assert versions(view, "f2", "frontend") == {"frontend.catalog": 1, "any.cart": 4}
    assert parse_snapshot(snapshot.to_document()) == snapshot


def test_in_shadow_every_caller_gets_the_candidate_beside_what_is_in_force() -> None:
    """The version in force governs, with the candidate as its shadow; while it waits for approval as well."""
    for state in ("shadow", "awaiting_approval"):
        shadowed = replace(ROLLOUT, state=state, canary_proxies=(), carrier=BASE)
        view = replace(VIEW, rollouts=(shadowed,))
        for proxy_id in ("f1", "f2"):
            snapshot = build_snapshot(view, "frontend", candidates_of(view, proxy_id))
            (policy,) = [p for p in snapshot.policies if p.name == "frontend.catalog"]
            assert (policy.version, policy.timeout.request) == (1, 1.0)
            assert policy.candidate is not None
            assert (policy.candidate.version, policy.candidate.timeout.request) == (2, 2.0)
        assert "frontend.catalog" not in versions(view, "c1", "catalog")


@pytest.mark.parametrize(
    "rollout",
    [
        ROLLOUT,
        replace(ROLLOUT, canary_percent=20.0),
        replace(ROLLOUT, state="shadow", canary_proxies=(), carrier=BASE),
        replace(ROLLOUT, policy=replace(CANDIDATE, name="anew"), baseline=None),
        replace(ROLLOUT, policy=replace(CANDIDATE, match=Match("catalog"))),
    ],
    ids=["canary", "share", "shadow", "without baseline", "for everybody"],
)
def test_a_trial_names_its_end(rollout: Rollout) -> None:
    """However a candidate is tried, the snapshot without its trial is the one without the rollout."""
    view = replace(VIEW, rollouts=(rollout,), patience_s=7.0)
    for proxy_id, service in (("f1", "frontend"), ("f2", "frontend"), ("c1", "catalog")):
        told = build_snapshot(view, service, candidates_of(view, proxy_id))
        alone = build_snapshot(replace(view, rollouts=()), service)
        assert alone.trial is None
        assert told.settled() == alone
        assert (told.trial is None) == (told.policies == alone.policies)
        if told.trial is not None:
            assert told.trial.patience_s == 7.0
            assert len(told.trial.in_force) <= 1
        assert parse_snapshot(told.to_document()) == told


def test_a_rollout_is_overdue_at_its_deadline() -> None:
    """As seconds since the epoch; no rollout never is."""
    assert not VIEW.overdue(59.9)
    assert VIEW.overdue(60.0)
    assert not replace(VIEW, rollouts=()).overdue(1e12)


def test_dead_proxies_and_those_without_a_listener_are_no_endpoints() -> None:
    """Clusters hold live proxies that take inbound traffic, in order of their id."""
    found = clusters([proxy("b", "s"), proxy("a", "s"), proxy("c", "s", alive=False), proxy("i", "ingress", port=0)])
    assert {name: [e.id for e in endpoints] for name, endpoints in found.items()} == {"s": ["a", "b"]}


NAMES = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
RECORDS = st.lists(st.builds(proxy, NAMES, NAMES), max_size=8, unique_by=lambda p: p.id)
POLICIES = st.lists(
    st.builds(lambda n, s, c: Policy(n, Match(s, c)), NAMES, NAMES, st.none() | NAMES),
    max_size=6,
    unique_by=lambda p: p.name,
)


@UNTIMED
@given(RECORDS, POLICIES, st.randoms())
def test_equal_states_give_equal_bytes(proxies: list[ProxyRecord], policies: list[Policy], random: Any) -> None:
    """The order of the registry and of the policies does not show, and proxies can read what is sent."""
    one = encode(build_snapshot(MeshView(3, tuple(proxies), tuple(policies)), "a"))
    random.shuffle(proxies)
    random.shuffle(policies)
    other = encode(build_snapshot(MeshView(3, tuple(proxies), tuple(policies)), "a"))
    assert one == other
    assert parse_snapshot(json.loads(one.body)).to_document() == json.loads(one.body)


def test_the_etag_names_version_and_content() -> None:
    """Another revision or another content is another tag."""
    tags = {
        encode(build_snapshot(view, "frontend", chosen)).etag
        for view in (VIEW, replace(VIEW, revision=8))
        for chosen in (frozenset(), frozenset({"r1"}))
    }
    assert len(tags) == 4
    assert all(tag.startswith(('"7-', '"8-')) and tag.endswith('"') for tag in tags)


def test_proxies_of_one_kind_share_their_bytes() -> None:
    """The cache makes one document for all non-canaries of a service and another for the canaries."""
    cache = SnapshotCache(replace(VIEW, proxies=(*PROXIES, proxy("f3", "frontend"))))
    assert cache.of("f2", "frontend") is cache.of("f3", "frontend")
    assert cache.of("f1", "frontend") is not cache.of("f2", "frontend")
