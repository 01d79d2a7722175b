import json
from dataclasses import replace

from meshwise.contracts.policy import Match, Policy
from meshwise.control.rollout_rows import rollout_from_row, rollout_to_row
from meshwise.control.rollouts import Plan, Rollout, Verdict

ROLLOUT = Rollout(
    id="ro-1",
    policy=Policy("a.b", Match("b", "a", "/x/{id}", ("GET",)), version=3),
    baseline=None,
    plan=Plan((10, 50, 100), "approval", 60.0),
    state="canary",
    stage=1,
    canary_proxies=("a-1",),
    control_proxies=("a-2", "a-3"),
    created_at=1.5,
    deadline=61.5,
    created_by="ann",
    reason="why",
    evidence={"p99": 0.25, "list": [1, None]},
    proposal_id="p-1",
    stage_revision=7,
    stage_started_at=2.5,
    verdicts=(Verdict(3.0, 0, "advance", "good", {"n": 300}, "analytics"), Verdict(4.0, 1, "hold", "", None, "x")),
)


def test_a_rollout_survives_its_row() -> None:
    """Writing a rollout as JSON text and reading it gives an equal one."""
    base = Policy("a.b", Match("b", "a"), version=2)
    shadowed = replace(ROLLOUT, state="shadow", carrier=base, verdicts=(replace(ROLLOUT.verdicts[0], shadow=True),))
    for rollout in (ROLLOUT, replace(ROLLOUT, baseline=base, finished_at=9.0), shadowed):
        assert rollout_from_row(json.loads(json.dumps(rollout_to_row(rollout)))) == rollout


def test_a_row_of_before_there_were_shadows_is_read() -> None:
    """A rollout stored by an earlier version goes on with its canaries."""
    row = json.loads(json.dumps(rollout_to_row(ROLLOUT)))
    del row["carrier"], row["plan"]["shadow"]
    for verdict in row["verdicts"]:
        del verdict["shadow"]
    assert rollout_from_row(row) == replace(ROLLOUT, plan=replace(ROLLOUT.plan, shadow=False))
