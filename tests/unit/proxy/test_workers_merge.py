"""Many workers as one."""

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.telemetry.exposition import Family
from meshwise.proxy.workers.merge import families_of, family_documents, merged_families, merged_states, share_of


def test_samples_with_the_same_labels_add_up() -> None:
    """Counts of all workers are one sample; what only one of them has stays; the way over JSON changes nothing."""
    one = [Family("a", "counter", "A.").add(1, side="client").add(2, side="server"), Family("b", "gauge", "B.").add(5)]
    other = [Family("a", "counter", "A.").add(10, side="client"), Family("c", "gauge", "C.").add(7)]
    merged = {family.name: family.samples for family in merged_families([one, families_of(family_documents(other))])}
    assert merged == {"a": [({"side": "client"}, 11), ({"side": "server"}, 2)], "b": [({}, 5)], "c": [({}, 7)]}
    assert one[0].samples[0] == ({"side": "client"}, 1)


def test_states_become_one() -> None:
    """Numbers add up, endpoints join by id, ports and names stay, a rest is anybody's, the longest counts."""
    endpoint = {"id": "c-1", "port": 80, "active": 1, "ejected": False, "ejected_for_s": 0.0, "reason": ""}
    resting = {**endpoint, "active": 2, "ejected": True, "ejected_for_s": 3.5, "reason": "5 failures in a row"}
    merged = merged_states(
        [
            {"catalog": {"requests": 3, "endpoints": [endpoint]}},
            {"catalog": {"requests": 4, "endpoints": [resting, {**endpoint, "id": "c-2"}]}, "cart": {"requests": 1}},
        ]
    )
    joined = {**endpoint, "active": 3, "ejected": True, "ejected_for_s": 3.5, "reason": "5 failures in a row"}
    assert merged == {
        "catalog": {"requests": 7, "endpoints": [joined, {**endpoint, "id": "c-2"}]},
        "cart": {"requests": 1},
    }


def test_the_floor_of_a_budget_is_shared() -> None:
    """Several workers together allow no more retries without traffic than one process would."""
    policy = parse_policy({"match": {"service": "catalog"}, "retry": {"budget": {"min_per_second": 9, "percent": 10}}})
    snapshot = Snapshot(1, "frontend", {}, (policy,))
    (shared,) = share_of(snapshot, 3).policies
    assert (shared.retry.budget.min_per_second, shared.retry.budget.percent) == (3.0, 10.0)
    assert share_of(snapshot, 1) is snapshot
