from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Match, Policy, Timeout
from meshwise.contracts.snapshot import (
    MAX_ENTRIES,
    MAX_PRIORITY,
    MAX_WEIGHT,
    Endpoint,
    Snapshot,
    Trial,
    parse_snapshot,
)
from support.untimed import UNTIMED

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
ENDPOINTS = st.builds(
    Endpoint,
    NAMES,
    NAMES,
    st.integers(1, 65535),
    st.just("") | NAMES,
    weight=st.integers(1, MAX_WEIGHT),
    priority=st.integers(0, MAX_PRIORITY),
    labels=st.dictionaries(NAMES, NAMES, max_size=2).map(lambda labels: tuple(sorted(labels.items()))),
)
CLUSTERS = st.lists(ENDPOINTS, max_size=4, unique_by=lambda e: e.id).map(
    lambda endpoints: tuple(sorted(endpoints, key=lambda e: e.id))
)
POLICIES = st.builds(
    lambda name, service, request, version: Policy(name, Match(service), Timeout(request), version=version),
    NAMES,
    NAMES,
    st.integers(1, 3_600_000).map(lambda ms: ms / 1000),
    st.integers(0, 2**53),
)
SNAPSHOTS = st.builds(
    Snapshot,
    st.integers(0, 2**53),
    NAMES,
    st.dictionaries(NAMES, CLUSTERS, max_size=4),
    st.lists(POLICIES, max_size=3).map(tuple),
)


def document(**changes: Any) -> dict[str, Any]:
    endpoint = {"id": "a-1", "host": "127.0.0.1", "port": 80}
    return {"version": 1, "service": "a", "clusters": {"a": {"endpoints": [endpoint]}}, "policies": [], **changes}


@UNTIMED
@given(SNAPSHOTS)
def test_a_snapshot_survives_its_document(snapshot: Snapshot) -> None:
    """Parsing the document of a snapshot gives an equal snapshot."""
    assert parse_snapshot(snapshot.to_document()) == snapshot


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ([], ""),
        (document(version=None), "version"),
        (document(version=-1), "version"),
        (document(service=None), "service"),
        (document(surprise=1), "surprise"),
        (document(clusters=[]), "clusters"),
        (document(clusters=0), "clusters"),
        (document(clusters={1: {}, "a": {}}), "clusters"),
        (document(clusters={"a": 1}), "clusters.a"),
        (document(clusters={"a": {"endpoint": []}}), "clusters.a.endpoint"),
        (document(clusters={"a": {"endpoints": {}}}), "clusters.a.endpoints"),
        (document(clusters={"a": {"endpoints": [1]}}), "clusters.a.endpoints[0]"),
        (document(clusters={"a": {"endpoints": [{"id": "x", "host": "h"}]}}), "clusters.a.endpoints[0].port"),
        (document(clusters={"a": {"endpoints": [{"id": "x", "port": 1}]}}), "clusters.a.endpoints[0].host"),
        (document(clusters={"a": {"endpoints": [{"host": "h", "port": 1}]}}), "clusters.a.endpoints[0].id"),
        (
            document(clusters={"a": {"endpoints": [{"id": "x", "host": "h", "port": 65536}]}}),
            "clusters.a.endpoints[0].port",
        ),
        (document(policies={}), "policies"),
        (document(policies=[7]), "policies[0]"),
        (document(policies=[{"match": {"service": "a"}, "timeout": {"request": "x"}}]), "policies[0].timeout.request"),
        (document(trial=7), "trial"),
        (document(trial={}), "trial.patience"),
        (document(trial={"patience": "1h"}), "trial.patience"),
        (document(trial={"patience": 30}), "trial.patience"),
        (document(trial={"patience": "30s", "names": "a"}), "trial.names"),
        (document(trial={"patience": "30s", "names": ["a", 7]}), "trial.names[1]"),
        (document(trial={"patience": "30s", "surprise": 1}), "trial.surprise"),
        (
            document(trial={"patience": "30s", "in_force": [{"match": {"service": "a"}, "retry": 1}]}),
            "trial.in_force[0].retry",
        ),
    ],
)
def test_a_wrong_snapshot_is_refused_whole_with_the_path(wrong: object, path: str) -> None:
    """The first mistake in a snapshot is named by its full path."""
    with pytest.raises(DocumentError) as raised:
        parse_snapshot(wrong)
    assert raised.value.path == path


def test_a_snapshot_has_bounds() -> None:
    """More endpoints than a snapshot may carry are refused."""
    endpoints = [{"id": f"a-{n}", "host": "h", "port": 1} for n in range(MAX_ENTRIES + 1)]
    with pytest.raises(DocumentError, match="at most"):
        parse_snapshot(document(clusters={"a": {"endpoints": endpoints}}))


def test_a_settled_snapshot_has_what_is_in_force_in_place_of_the_trial() -> None:
    """The names on trial go, whatever they are, what is in force comes in its place by name, the rest stays."""
    first, replaced, candidate, last = (
        Policy(name, Match("s"), Timeout(request), version=version)
        for name, request, version in (("a", 1.0, 1), ("b", 1.0, 1), ("b", 9.0, 2), ("c", 1.0, 1))
    )
    fresh = Policy("d", Match("s"), version=1)
    trial = Trial(30.0, ("b", "d"), (replaced,))
    snapshot = Snapshot(7, "s", {}, (first, candidate, last, fresh), trial)
    assert snapshot.settled() == Snapshot(7, "s", {}, (first, replaced, last))
    assert parse_snapshot(snapshot.to_document()) == snapshot
    untried = Snapshot(7, "s", {}, (last, first))
    assert untried.settled() is untried


def test_endpoints_come_in_order_of_their_id() -> None:
    """The order in a document does not matter."""
    endpoints = [{"id": name, "host": "h", "port": 1} for name in ("b", "c", "a")]
    parsed = parse_snapshot(document(clusters={"s": {"endpoints": endpoints}}))
    assert [endpoint.id for endpoint in parsed.clusters["s"]] == ["a", "b", "c"]
