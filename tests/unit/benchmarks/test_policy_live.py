from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Unmeasured, document, write
from benchmarks.live.report import figures, table
from benchmarks.live.scenarios import BAD, BREAKAGES, exposed
from benchmarks.policy.live import KEYS, live_figures

from meshwise.contracts.policy import parse_policy

FARED = {"requests": 400, "failed": 4, "success": 0.99, "p50_s": 0.02, "p99_s": 0.2}
RUN = {"before": 1.0, "during": 0.2, "last_30_s": 0.0, "recovered_s": None, "attempts_per_request": 2.5}


def rows(**changes: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        "slow tail": {"promote_s": 80.0, "client": {"start": FARED, "before": FARED, "during": FARED}},
        "sick replica": {"promote_s": 70.0, "client": {}},
        "bad timeout": {"ended_s": 12.0, "rollback_windows": 0.2, "exposed_percent": 0.0, "client": {}},
        "left-over fault": {"ended_s": 30.0, "rollback_windows": 0.5, "exposed_percent": 4.9, "client": {}},
        "rehearsal": {
            "triggers": [
                {"trigger": "error burst", "strength": 0.3, "predicted": 0.77, "measured": 0.75, "requests": 800,
                 "error": 0.027},
            ]
        },
        "metastable": {"guards off": RUN, "guards on": {**RUN, "last_30_s": 1.0, "recovered_s": 4}},
    }  # fmt: skip
    return {**found, **changes}


def values(found: dict[str, Figure | Unmeasured]) -> dict[str, float]:
    return {key: one.value for key, one in found.items() if isinstance(one, Figure)}


def test_the_worst_scenario_gives_each_figure() -> None:
    """Promotion, rollback and exposure are those of the worst scenario, each with its target."""
    found = figures(rows())
    assert values(found) == {
        "live_promote_s": 80.0,
        "live_rollback_windows": 0.5,
        "live_exposed_percent": 4.9,
        "rehearsal_goodput_error": 0.027,
        "metastable_recovered_s": 4.0,
    }
    assert all(one.met for one in found.values() if isinstance(one, Figure))


def test_nothing_is_invented() -> None:
    """What was not run, never came, or shows nothing is unmeasured and says why."""
    assert all(isinstance(one, Unmeasured) for one in figures({}).values())
    never = figures(rows(**{"slow tail": {"promote_s": None}}))["live_promote_s"]
    assert isinstance(never, Unmeasured)
    assert "slow tail" in never.reason
    tame = figures(rows(metastable={"guards off": {**RUN, "recovered_s": 3}, "guards on": RUN}))
    assert isinstance(tame["metastable_recovered_s"], Unmeasured)


def test_the_table_has_every_phase() -> None:
    """Phases of the client's record, ends of rollouts, triggers and both runs of the trap; not the warm-up."""
    text = table(rows())
    for said in ("| slow tail | before | 400 | 99.00% | 200 ms |", "| left-over fault | – | 30.0 s | 4.9 % |", "never"):
        assert said in text
    assert "| start |" not in text


def test_the_suite_reads_them(tmp_path: Path) -> None:
    """The policy suite takes its live figures from such a run, and has none without."""
    file = tmp_path / "live.json"
    write(file, document(figures(rows()), rows().values()))
    assert values(live_figures(file)) == {
        "live_promote_s": 80.0, "live_rollback_windows": 0.5, "live_exposed_percent": 4.9
    }  # fmt: skip
    write(file, document(figures({}), []))
    for found in (live_figures(None), live_figures(file)):
        assert list(found) == list(KEYS)
        assert all(isinstance(one, Unmeasured) and one.reason for one in found.values())


def test_exposure() -> None:
    """Nobody without canaries; else the candidate's share of what both arms counted."""
    arms = {"canary": {"requests": 5}, "control": {"requests": 95}}
    rollout = {"canary_proxies": ["a"], "verdicts": [{"evidence": arms}, {"evidence": None}]}
    assert exposed(rollout) == 5.0
    assert exposed({**rollout, "canary_proxies": []}) == 0.0
    assert exposed({**rollout, "verdicts": []}) is None


def test_what_scenarios_start_with_is_valid() -> None:
    """Every policy of a scenario is a policy."""
    for make in BAD.values():
        parse_policy(make())
    for breakage in BREAKAGES.values():
        for policy in breakage.start:
            parse_policy(dict(policy))
