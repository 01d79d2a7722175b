import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Match, Policy
from meshwise.control.errors import ConflictError
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollouts import (
    MAX_VERDICTS,
    Decision,
    Plan,
    Rollout,
    Verdict,
    begin,
    choose_canaries,
    on_approve,
    on_expiry,
    on_proxies,
    on_rollback,
    on_verdict,
    pool,
)
from support.untimed import UNTIMED

POLICY = Policy("frontend.catalog", Match("catalog", "frontend"), version=2)
IDS = st.lists(st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), unique=True, min_size=2, max_size=40)


def proxy(proxy_id: str, service: str = "frontend", **fields: Any) -> ProxyRecord:
    return replace(ProxyRecord(proxy_id, service, "127.0.0.1", 9000, 0, "", "1", 0.0, 0.0), **fields)


FRONTENDS = [proxy(f"f{n}") for n in range(4)]


def started(
    plan: Plan | None = None, proxies: list[ProxyRecord] | None = None, carrier: Policy | None = None
) -> Rollout:
    rollout = begin(
        rollout_id="r1",
        policy=POLICY,
        baseline=None,
        plan=plan or Plan(),
        proxies=FRONTENDS if proxies is None else proxies,
        now=100.0,
        by="analytics",
        reason="",
        carrier=carrier,
    )
    return replace(rollout, stage_revision=10)


def verdict(
    decision: Decision, stage: int = 0, at: float = 110.0, by: str = "analytics", *, shadow: bool = False
) -> Verdict:
    return Verdict(at, stage, decision, "because", None, by, shadow)


def applied(rollout: Rollout, proxies: list[ProxyRecord]) -> list[ProxyRecord]:
    return [
        replace(p, snapshot_version=12, answered_version=12, status="applied") if p.id in rollout.canary_proxies else p
        for p in proxies
    ]


def test_one_of_four_is_the_canary_at_25_percent() -> None:
    """A quarter of four proxies is one, and the others are the control."""
    rollout = started()
    assert (rollout.state, len(rollout.canary_proxies), len(rollout.control_proxies)) == ("canary", 1, 3)
    assert {*rollout.canary_proxies, *rollout.control_proxies} == {"f0", "f1", "f2", "f3"}


def test_only_live_proxies_of_the_caller_are_drawn() -> None:
    """Other services and the dead are neither canary nor control; without a source everyone is in the pool."""
    others = [proxy("c1", "catalog"), proxy("dead", alive=False)]
    rollout = started(proxies=[*FRONTENDS, *others])
    assert {*rollout.canary_proxies, *rollout.control_proxies} == {"f0", "f1", "f2", "f3"}
    assert len(pool([*FRONTENDS, *others], replace(POLICY, match=Match("catalog")))) == 5


def test_a_canary_without_a_proxy_is_refused() -> None:
    """Nobody can be tried on, whoever is to start the rollout."""
    for mode in ("automatic", "approval"):
        with pytest.raises(ConflictError, match="a canary needs a live proxy of the caller, there is none"):
            started(Plan(mode=mode), [proxy("dead", alive=False)])


def test_a_lone_proxy_is_its_own_control() -> None:
    """It tries the candidate on the stage's share of its requests; the rest are what that is compared with."""
    rollout = started(Plan((5, 50, 100)), FRONTENDS[:1])
    assert (rollout.canary_proxies, rollout.control_proxies, rollout.canary_percent) == (("f0",), (), 5.0)


@pytest.mark.parametrize(
    ("proxies", "percent", "canaries", "share"),
    [(4, 5, 1, 20.0), (4, 25, 1, 100.0), (4, 50, 2, 100.0), (3, 25, 1, 75.0), (2, 50, 1, 100.0), (40, 5, 2, 100.0),
     (1000, 5, 50, 100.0), (10, 1, 1, 10.0)],
)  # fmt: skip
def test_a_stage_is_a_share_of_the_requests(proxies: int, percent: int, canaries: int, share: float) -> None:
    """Whole proxies where there are enough of them, a share of one canary's requests where there are not."""
    rollout = started(Plan((percent, 100)), [proxy(f"f{n:04}") for n in range(proxies)])
    assert (len(rollout.canary_proxies), rollout.canary_percent) == (canaries, share)


@UNTIMED
@given(IDS, st.integers(1, 99), st.text(max_size=8))
def test_there_is_always_a_canary_and_below_100_percent_always_a_control(
    ids: list[str], percent: int, seed: str
) -> None:
    """At least one proxy carries the candidate and at least one does not, near the share that was asked for."""
    chosen = choose_canaries([proxy(i) for i in ids], percent, seed)
    assert 1 <= len(chosen) <= len(ids) - 1
    assert set(chosen) <= set(ids)
    assert abs(len(chosen) - len(ids) * percent / 100) <= 1.0


@UNTIMED
@given(IDS, st.lists(st.integers(1, 100), min_size=2, max_size=5).map(sorted), st.text(max_size=8), st.randoms())
def test_stages_are_nested_and_do_not_depend_on_the_order_of_the_registry(
    ids: list[str], percents: list[int], seed: str, random: Any
) -> None:
    """A greater percentage contains every canary of a smaller one, however the proxies are listed."""
    sets = []
    for percent in percents:
        random.shuffle(ids)
        sets.append(set(choose_canaries([proxy(i) for i in ids], percent, seed)))
    assert all(small <= great for small, great in itertools.pairwise(sets))


@UNTIMED
@given(IDS, IDS, st.integers(1, 100))
def test_former_canaries_stay_whoever_came_and_went(before: list[str], after: list[str], percent: int) -> None:
    """Canaries to keep are in the next set, also when they are gone from the registry."""
    keep = choose_canaries([proxy(i) for i in before], 50, "seed")
    assert set(keep) <= set(choose_canaries([proxy(i) for i in after], percent, "seed", keep))


def test_another_seed_draws_other_proxies() -> None:
    """Over many rollouts every proxy is sometimes the canary."""
    drawn = {choose_canaries(FRONTENDS, 25, f"r{n}")[0] for n in range(100)}
    assert drawn == {"f0", "f1", "f2", "f3"}


@pytest.mark.parametrize(
    "stages", [(), (100,), (25,), (25, 50), (50, 25, 100), (25, 25, 100), (0, 100), (25, 101), tuple(range(90, 101))]
)
def test_stages_grow_to_100_percent(stages: tuple[int, ...]) -> None:
    """Stages that do not grow from at least one percent to exactly 100 are refused."""
    with pytest.raises(DocumentError) as raised:
        Plan(stages)
    assert raised.value.path == "stages"


def test_a_stage_starts_when_every_live_canary_applied_the_candidate() -> None:
    """A snapshot older than the stage, or one that was never made, does not count; a dead canary is not waited for."""
    rollout = started(Plan((50, 100)))
    one, other = (proxy(i) for i in rollout.canary_proxies)
    good = replace(one, snapshot_version=10)
    for late in (9, 99):
        assert on_proxies(rollout, [good, replace(other, snapshot_version=late)], 12, 105.0) is rollout
    assert on_proxies(rollout, [good, replace(other, snapshot_version=11)], 12, 105.0).stage_started_at == 105.0
    assert on_proxies(rollout, [good, replace(other, alive=False)], 12, 105.0).stage_started_at == 105.0


def test_a_rejection_by_a_canary_rolls_back_at_once_with_its_reason() -> None:
    """The proxy's own words end up in the last verdict."""
    rollout = started()
    canary = proxy(rollout.canary_proxies[0], status="rejected", answered_version=11, reason="unknown field x")
    after = on_proxies(rollout, [canary], 12, 105.0)
    assert (after.state, after.finished_at) == ("rolled_back", 105.0)
    assert "unknown field x" in after.verdicts[-1].reason
    assert after.verdicts[-1].by == "control"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "rejected", "answered_version": 9},  # of a snapshot before the candidate
        {"status": "rejected", "answered_version": 99},  # of one that was never made
    ],
)
def test_rejections_of_other_snapshots_do_not_count(answer: dict[str, Any]) -> None:
    """Only answers to snapshots that carried the candidate end the rollout."""
    rollout = started()
    assert on_proxies(rollout, [proxy(rollout.canary_proxies[0], **answer)], 12, 105.0) is rollout


def test_a_rejection_by_a_control_proxy_does_not_count() -> None:
    """Proxies that do not carry the candidate cannot reject it."""
    rollout = started()
    control = proxy(rollout.control_proxies[0], status="rejected", answered_version=11)
    assert on_proxies(rollout, [proxy(rollout.canary_proxies[0]), control], 12, 105.0) is rollout


def test_the_loss_of_one_canary_is_borne_and_of_all_is_not() -> None:
    """A canary that disappears stays listed; when none is left the rollout goes back."""
    rollout = started(Plan((50, 100)))
    one, other = (proxy(i) for i in rollout.canary_proxies)
    assert on_proxies(rollout, [one], 12, 105.0).canary_proxies == rollout.canary_proxies
    gone = on_proxies(rollout, [replace(one, alive=False), replace(other, alive=False)], 12, 105.0)
    assert (gone.state, gone.verdicts[-1].reason) == ("rolled_back", "every canary proxy disappeared")


def test_advance_before_the_stage_started_is_refused() -> None:
    """No verdict from proxies that did not apply the candidate."""
    with pytest.raises(ConflictError, match="has not started"):
        on_verdict(started(), verdict("advance"), FRONTENDS)


def test_the_way_through_three_stages_to_promotion() -> None:
    """Each advance widens the canaries and waits for them; the last one promotes."""
    rollout = started(Plan((5, 50, 100)))
    first = rollout.canary_proxies
    assert (len(first), rollout.canary_percent) == (1, 20.0)
    rollout = on_proxies(rollout, applied(rollout, FRONTENDS), 12, 105.0)
    rollout = on_verdict(rollout, verdict("advance"), FRONTENDS)
    assert (rollout.stage, rollout.stage_started_at, rollout.state) == (1, None, "canary")
    assert (rollout.canary_percent, rollout.canaries_since) == (100.0, 105.0)
    assert set(first) < set(rollout.canary_proxies)
    assert len(rollout.canary_proxies) == 2
    rollout = on_proxies(rollout, applied(rollout, FRONTENDS), 12, 115.0)
    rollout = on_verdict(rollout, verdict("advance", 1, 120.0), FRONTENDS)
    assert (rollout.state, rollout.stage, rollout.finished_at) == ("promoted", 2, 120.0)
    assert [v.decision for v in rollout.verdicts] == ["advance", "advance"]


def test_a_verdict_on_another_stage_is_refused() -> None:
    """A judge that looked at a former stage is told the current one."""
    with pytest.raises(ConflictError, match="is at stage 0, not 1"):
        on_verdict(started(), verdict("rollback", 1), FRONTENDS)


def test_approval_starts_a_waiting_rollout_with_a_fresh_deadline() -> None:
    """Until an operator says yes there are no canaries and no verdicts."""
    waiting = started(Plan(mode="approval", max_duration_s=60.0))
    assert (waiting.state, waiting.canary_proxies) == ("awaiting_approval", ())
    with pytest.raises(ConflictError, match="waits for an operator's approval"):
        on_verdict(waiting, verdict("advance"), FRONTENDS)
    approved = on_approve(waiting, FRONTENDS, 150.0, "ann", "looks fine")
    assert (approved.state, approved.deadline, len(approved.canary_proxies)) == ("canary", 210.0, 1)


def test_an_operator_promotes_whatever_the_stage() -> None:
    """Approval of a rollout with canaries promotes it at once."""
    promoted = on_approve(started(), FRONTENDS, 101.0, "ann", "now")
    assert (promoted.state, promoted.verdicts[-1].by) == ("promoted", "ann")


@pytest.mark.parametrize("mode", ["automatic", "approval"])
def test_silence_until_the_deadline_rolls_back(mode: Any) -> None:
    """An undecided or unapproved rollout ends at its deadline and not before."""
    rollout = started(Plan(mode=mode, max_duration_s=60.0))
    assert on_expiry(rollout, 159.9) is rollout
    expired = on_expiry(rollout, 160.0)
    assert (expired.state, expired.verdicts[-1].by) == ("rolled_back", "control")
    assert on_expiry(expired, 1e9) is expired


CARRIER = replace(POLICY, version=1)


class TestShadow:
    def test_nobody_is_a_canary_before_a_good_verdict(self) -> None:
        """A rollout that a policy can carry begins in shadow, holds there, and gets canaries by an advance."""
        rollout = started(carrier=CARRIER)
        assert (rollout.state, rollout.shadows, rollout.canary_proxies) == ("shadow", True, ())
        held = on_verdict(rollout, verdict("hold", shadow=True), FRONTENDS)
        assert (held.state, held.canary_proxies) == ("shadow", ())
        on = on_verdict(held, verdict("advance", shadow=True), FRONTENDS)
        assert (on.state, on.shadows, on.stage, len(on.canary_proxies)) == ("canary", False, 0, 1)

    def test_a_bad_verdict_ends_it(self) -> None:
        """Rolled back without a single canary."""
        ended = on_verdict(started(carrier=CARRIER), verdict("rollback", shadow=True), FRONTENDS)
        assert (ended.state, ended.canary_proxies, ended.finished_at) == ("rolled_back", (), 110.0)

    def test_verdicts_on_canaries_and_on_shadows_are_told_apart(self) -> None:
        """One that was made about the other is refused: it may come late and must not promote anything."""
        with pytest.raises(ConflictError, match="in its shadow stage and has no canaries"):
            on_verdict(started(carrier=CARRIER), verdict("advance"), FRONTENDS)
        with pytest.raises(ConflictError, match="has no shadow: it is canary"):
            on_verdict(started(), verdict("advance", shadow=True), FRONTENDS)

    def test_without_a_shadow_if_so_planned(self) -> None:
        """A plan may leave the stage out."""
        assert started(Plan(shadow=False), carrier=CARRIER).state == "canary"

    def test_while_it_waits_for_approval(self) -> None:
        """Shadow verdicts come in while an operator thinks: a bad one ends it, after a good one approval skips it."""
        waiting = started(Plan(mode="approval"), carrier=CARRIER)
        assert (waiting.state, waiting.shadows) == ("awaiting_approval", True)
        assert on_verdict(waiting, verdict("rollback", shadow=True), FRONTENDS).state == "rolled_back"
        good = on_verdict(waiting, verdict("advance", shadow=True), FRONTENDS)
        assert (good.state, good.canary_proxies) == ("awaiting_approval", ())
        assert on_approve(good, FRONTENDS, 150.0, "ann", "").state == "canary"
        assert on_approve(waiting, FRONTENDS, 150.0, "ann", "").state == "shadow"

    def test_an_operator_may_cut_it_short(self) -> None:
        """Approval of a rollout in shadow gives it its canaries, no more."""
        on = on_approve(started(carrier=CARRIER), FRONTENDS, 101.0, "ann", "now")
        assert (on.state, len(on.canary_proxies)) == ("canary", 1)

    def test_a_rejection_by_any_caller_ends_it(self) -> None:
        """Every proxy of the caller gets the shadow, so any may find that it cannot be applied; others do not count."""
        rollout = started(carrier=CARRIER)
        no: dict[str, Any] = {"status": "rejected", "answered_version": 11, "reason": "unknown field x"}
        assert on_proxies(rollout, [*FRONTENDS, proxy("c1", "catalog", **no)], 12, 105.0) is rollout
        ended = on_proxies(rollout, [*FRONTENDS, proxy("f9", **no)], 12, 105.0)
        assert (ended.state, "unknown field x" in ended.verdicts[-1].reason) == ("rolled_back", True)

    def test_repeated_good_verdicts_take_two_places(self) -> None:
        """A rollout may wait for hours for its approval."""
        waiting = started(Plan(mode="approval"), carrier=CARRIER)
        for n in range(500):
            waiting = on_verdict(waiting, verdict("advance", at=110.0 + n, shadow=True), FRONTENDS)
        assert [v.at for v in waiting.verdicts] == [110.0, 609.0]

    def test_silence_ends_it(self) -> None:
        """Without a judge the shadow ends at the deadline."""
        assert on_expiry(started(Plan(max_duration_s=60.0), carrier=CARRIER), 160.0).state == "rolled_back"


FINISHED: list[Callable[[Rollout], Rollout]] = [
    lambda r: on_rollback(r, 1.0, "ann", ""),
    lambda r: on_approve(r, FRONTENDS, 1.0, "ann", ""),
    lambda r: on_verdict(r, verdict("hold"), FRONTENDS),
]


@pytest.mark.parametrize("step", FINISHED)
def test_the_end_is_final(step: Callable[[Rollout], Rollout]) -> None:
    """A finished rollout refuses every further word."""
    for end in (on_rollback(started(), 105.0, "ann", ""), on_approve(started(), FRONTENDS, 105.0, "ann", "")):
        with pytest.raises(ConflictError, match="already"):
            step(end)


def test_a_run_of_holds_keeps_its_first_and_latest() -> None:
    """Hundreds of holds take two places; another judge or decision begins a new run."""
    rollout = started()
    for n in range(500):
        rollout = on_verdict(rollout, verdict("hold", at=110.0 + n), FRONTENDS)
    assert [v.at for v in rollout.verdicts] == [110.0, 609.0]
    for n in range(500):
        rollout = on_verdict(rollout, verdict("hold", at=700.0 + n, by=f"judge-{n % 2}"), FRONTENDS)
    assert len(rollout.verdicts) <= MAX_VERDICTS


@pytest.mark.parametrize(
    ("name", "service", "clashes"),
    [
        ("frontend.catalog", "cart", True),
        ("other", "catalog", True),
        ("other", "*", True),
        ("other", "cart", False),
    ],
)
def test_one_change_per_destination_service(name: str, service: str, clashes: bool) -> None:
    """A change of the same policy or to the same service clashes while the rollout is active, never after."""
    other = Policy(name, Match(service))
    assert started().conflicts_with(other) is clashes
    assert not on_rollback(started(), 105.0, "ann", "").conflicts_with(other)


class RolloutLife(RuleBasedStateMachine):
    """Any order of events keeps the rules at the top of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.proxies = [proxy(f"f{n}") for n in range(6)]
        self.now = 100.0
        self.revision = 10
        self.rollout = started(Plan((20, 50, 100)), self.proxies, CARRIER)
        self.former = self.rollout

    def step(self, change: Callable[[], Rollout]) -> None:
        self.now += 1.0
        self.former = self.rollout
        try:
            self.rollout = change()
        except ConflictError:
            return
        if self.rollout.canary_proxies != self.former.canary_proxies:
            self.revision += 1
            self.rollout = replace(self.rollout, stage_revision=self.revision)

    @rule(index=st.integers(0, 5), status=st.sampled_from(["applied", "applied", "applied", "rejected"]))
    def answer(self, index: int, status: Any) -> None:
        former = self.proxies[index]
        reached = self.revision if status == "applied" else former.snapshot_version
        self.proxies[index] = replace(former, status=status, answered_version=self.revision, snapshot_version=reached)
        self.step(lambda: on_proxies(self.rollout, self.proxies, self.revision, self.now))

    @rule(index=st.integers(0, 5))
    def vanish_or_return(self, index: int) -> None:
        self.proxies[index] = replace(self.proxies[index], alive=not self.proxies[index].alive)
        self.step(lambda: on_proxies(self.rollout, self.proxies, self.revision, self.now))

    @rule(
        decision=st.sampled_from(["advance", "advance", "hold", "rollback"]),
        stage=st.integers(0, 2),
        shadow=st.booleans(),
    )
    def judge(self, decision: Any, stage: int, shadow: bool) -> None:
        said = verdict(decision, stage, self.now, shadow=shadow)
        self.step(lambda: on_verdict(self.rollout, said, self.proxies))

    @precondition(lambda self: self.now > 120.0)
    @rule()
    def approve(self) -> None:
        self.step(lambda: on_approve(self.rollout, self.proxies, self.now, "ann", ""))

    @invariant()
    def the_rules_hold(self) -> None:
        before, after = self.former, self.rollout
        assert before.active or after == before
        assert set(before.canary_proxies) <= set(after.canary_proxies)
        assert after.stage >= before.stage
        assert (after.finished_at is None) == after.active
        assert not set(after.canary_proxies) & set(after.control_proxies)
        assert after.policy == before.policy
        assert not (after.shadows and after.canary_proxies)


TestRolloutLife = RolloutLife.TestCase
TestRolloutLife.settings = settings(UNTIMED, max_examples=40, stateful_step_count=25)
