import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.contracts.errors import MeshwiseError
from meshwise.contracts.policy import Match, Policy, Timeout
from meshwise.control import policies, trials
from meshwise.control.errors import ConflictError, NotFoundError
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollouts import Plan, Verdict
from meshwise.control.storage import Storage, open_storage
from meshwise.control.transactions import Freeze, Writing
from support.untimed import UNTIMED


def policy(request: float = 1.0, service: str = "b", source: str = "a") -> Policy:
    return Policy(f"{source}.{service}", Match(service, source), Timeout(request))


def put(tx: Writing, candidate: Policy, **fields: Any) -> Policy:
    options: dict[str, Any] = {"reason": "", "evidence": None, "base_version": None, "max_policies": 9}
    return policies.put(tx, candidate, now=1.0, by="ann", **{**options, **fields})


def undo(tx: Writing, name: str = "a.b") -> Policy | None:
    return policies.undo(tx, name, reason="", now=2.0, by="ann")


def fill(tx: Writing) -> None:
    for n in range(4):
        tx.save_proxy(ProxyRecord(f"a-{n}", "a", "127.0.0.1", 9000 + n, 0, "", "1", 0.0, 0.0))


def begin(tx: Writing, candidate: Policy, rollout_id: str = "r1") -> Any:
    return trials.begin(tx, trials.RolloutRequest(candidate, Plan(), "", None, None), rollout_id, 1.0, "analytics")


def test_undo_restores_the_content_before_as_a_new_version_and_twice_is_redo(storage: Storage) -> None:
    """History only grows: each undo is a version of its own."""
    with storage.write() as tx:
        put(tx, policy(1.0))
        put(tx, policy(2.0))
        restored, redone = undo(tx), undo(tx)
    assert restored is not None
    assert redone is not None
    assert (restored.timeout.request, restored.version) == (1.0, 3)
    assert (redone.timeout.request, redone.version) == (2.0, 4)


def test_undo_of_a_first_version_removes_the_policy(storage: Storage) -> None:
    """With nothing before, nothing is in force after; undoing that brings it back."""
    with storage.write() as tx:
        put(tx, policy())
        assert undo(tx) is None
        assert tx.policies_in_force() == ()
        assert undo(tx) is not None
        with pytest.raises(NotFoundError):
            undo(tx, "unknown")


def test_a_removed_policy_leaves_force_but_not_the_record(storage: Storage) -> None:
    """Removing is a version without content, and can be undone."""
    with storage.write() as tx:
        put(tx, policy())
        policies.remove(tx, "a.b", reason="", now=2.0, by="ann")
        assert tx.policy_in_force("a.b") is None
        assert [v.document is None for v in tx.policy_versions("a.b", 9)] == [True, False]
        with pytest.raises(NotFoundError):
            policies.remove(tx, "a.b", reason="", now=2.0, by="ann")


def test_a_freeze_stops_changes_and_promotion_but_not_the_way_back(storage: Storage) -> None:
    """Put, remove, begin and approve are refused while frozen; undo and rollback work."""
    with storage.write() as tx:
        fill(tx)
        put(tx, policy())
        put(tx, policy(2.0, "c"))
        begin(tx, policy(3.0))
        policies.freeze(tx, True, reason="incident", now=2.0, by="bob")
        for change in (
            lambda: put(tx, policy(1.0, "c")),
            lambda: policies.remove(tx, "a.c", reason="", now=2.0, by="ann"),
            lambda: begin(tx, policy(1.0, "d"), "r2"),
            lambda: trials.approve(tx, "r1", 2.0, "ann", ""),
        ):
            with pytest.raises(ConflictError, match="frozen by bob: incident"):
                change()
        assert trials.roll_back(tx, "r1", 3.0, "ann", "").state == "rolled_back"
        assert undo(tx, "a.c") is None


def test_a_freeze_holds_the_shadow_too(storage: Storage) -> None:
    """Frozen, a good verdict lets no canary begin; of a rollout that waits for approval it is only written down."""
    with storage.write() as tx:
        fill(tx)
        put(tx, policy(1.0))
        begin(tx, policy(2.0))
        waiting = trials.RolloutRequest(policy(2.0, "c"), Plan(mode="approval"), "", None, None)
        trials.begin(tx, waiting, "r2", 1.0, "analytics")
        tx.set_freeze(Freeze(True, "incident", "bob", 2.0))
        good = Verdict(3.0, 0, "advance", "fit", None, "analytics", shadow=True)
        with pytest.raises(ConflictError, match="frozen by bob"):
            trials.judge(tx, "r1", good)
        assert trials.judge(tx, "r2", good).state == "awaiting_approval"
        assert trials.find(tx, "r1").state == "shadow"
        assert trials.find(tx, "r2").shadow_passed


def test_a_candidate_never_has_a_version_of_its_neighbours(storage: Storage) -> None:
    """Proxies count requests by version: two policies that may govern the same requests must differ in it."""
    with storage.write() as tx:
        fill(tx)
        put(tx, policy(1.0))
        put(tx, policy(2.0))
        put(tx, replace(policy(1.0), name="other"))
        candidate = replace(policy(3.0), name="third")
        assert {v.version for v in tx.policies_in_force()} == {1, 2}
        assert begin(tx, candidate).policy.version == 3


def test_undo_ends_the_rollout_of_the_same_policy(storage: Storage) -> None:
    """A candidate does not outlive the baseline it is compared with."""
    with storage.write() as tx:
        fill(tx)
        put(tx, policy(1.0))
        begin(tx, policy(2.0))
        undo(tx)
        rollout = tx.rollout("r1")
        assert rollout is not None
        assert rollout.state == "rolled_back"


def test_the_number_of_a_candidate_that_went_is_never_given_again(storage: Storage) -> None:
    """A rolled-back candidate keeps its version for itself."""
    with storage.write() as tx:
        fill(tx)
        put(tx, policy())
        assert begin(tx, policy(2.0)).policy.version == 2
        trials.roll_back(tx, "r1", 2.0, "ann", "")
        assert begin(tx, policy(3.0), "r2").policy.version == 3
        assert trials.approve(tx, "r2", 3.0, "ann", "").state == "canary"
        assert trials.approve(tx, "r2", 3.0, "ann", "").state == "promoted"
        held = tx.policy_in_force("a.b")
        assert held is not None
        assert (held.version, held.document and held.document["version"]) == (3, 3)


def test_policies_in_force_are_bounded(storage: Storage) -> None:
    """One more than the most is refused; replacing one is not one more."""
    with storage.write() as tx:
        put(tx, policy(), max_policies=1)
        put(tx, policy(), max_policies=1)
        with pytest.raises(ConflictError, match="max_policies"):
            put(tx, policy(1.0, "c"), max_policies=1)


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "undo", "begin", "back", "approve"]), st.sampled_from(["b", "c"])),
    max_size=12,
)


@settings(UNTIMED, max_examples=25)
@given(STEPS)
def test_versions_and_revision_only_grow(steps: list[tuple[str, str]]) -> None:
    """Whatever is done in whatever order, no number repeats or falls, and at most one version is in force."""
    with tempfile.TemporaryDirectory() as directory:
        storage = open_storage("", Path(directory), 0.0)
        seen: dict[str, int] = {}
        revision = 0
        with storage.write() as tx:
            fill(tx)
        for position, (step, service) in enumerate(steps):
            name = f"a.{service}"
            try:
                with storage.write() as tx:
                    active = [r.id for r in tx.active_rollouts() if r.policy.name == name]
                    if step == "put":
                        put(tx, policy(1.0, service))
                    elif step == "remove":
                        policies.remove(tx, name, reason="", now=1.0, by="ann")
                    elif step == "undo":
                        undo(tx, name)
                    elif step == "begin":
                        given_out = begin(tx, policy(2.0, service), f"r{position}").policy.version
                        assert given_out > seen.get(name, 0)
                        seen[name] = given_out
                    elif active:
                        act = trials.roll_back if step == "back" else trials.approve
                        act(tx, active[0], 2.0, "ann", "")
            except MeshwiseError:
                pass
            with storage.read() as reading:
                assert reading.revision >= revision
                revision = reading.revision
                versions = [v.version for v in reading.policy_versions(name, 99)]
                assert versions == sorted(set(versions), reverse=True)
                assert sum(v.in_force for v in reading.policy_versions(name, 99)) <= 1
                newest = max([seen.get(name, 0), *versions])
                assert newest >= seen.get(name, 0)
                seen[name] = newest
        storage.close()
