"""What must hold after the demo: pure functions of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meshwise.cli.demo.documents import BAD, TUNED
from meshwise.cli.demo.topology import EDGES

Report = Mapping[str, Any]
Outcome = tuple[bool, str]

FAULTY: Final = ("frontend", "recommendation")
"""The edge that the scenario breaks."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold; ``detail`` says what was found, whether it held or not."""

    name: str
    passed: bool
    detail: str


def run_checks(report: Report) -> list[Check]:
    """Return every check, in the order of the story; one that cannot be looked at has failed."""
    found = []
    for name, look in CHECKS.items():
        try:
            passed, detail = look(report)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            passed, detail = False, f"the report does not say ({type(error).__name__}: {error})"
        found.append(Check(name, passed, detail))
    return found


def map_is_complete(report: Report) -> Outcome:
    """Every edge of the shop is on the map, and no other."""
    wanted, got = set(EDGES), {(edge["source"], edge["destination"]) for edge in report["edges"]}
    if wanted == got:
        return True, f"{len(got)} edges, each one of the shop's"
    missing, extra = sorted(wanted - got), sorted(got - wanted)
    return False, f"missing {_names(missing)}; not of the shop {_names(extra)}"


def callers_agree(report: Report) -> Outcome:
    """Per edge, the map's requests are exactly those that the caller counted."""
    rows = report["counts"]["edges"]
    wrong = [
        f"{row['source']}→{row['destination']} map {row['map']}, caller {row['caller']}"
        for row in rows
        if row["map"] != row["caller"]
    ]
    total = sum(row["caller"] for row in rows)
    return (not wrong and total > 0), "; ".join(wrong) or f"{total} requests over {len(rows)} edges, none more or less"


def callees_agree(report: Report) -> Outcome:
    """Per service, the requests its proxies saw arrive are exactly those that the application received.

    Only a request whose caller hung up may be missing at the application: it may have ended on the way there.
    """
    rows = report["counts"]["services"]
    wrong = [
        f"{row['service']} map {row['map']} ({row['cancelled']} cancelled), received {row['received']}"
        for row in rows
        if not row["map"] - row["cancelled"] <= row["received"] <= row["map"]
    ]
    total = sum(row["received"] for row in rows)
    short = sum(row["map"] for row in rows) - total
    ended = f"; {short} more were cut off by their caller before they got there" if short else ""
    return (not wrong and total > 0), "; ".join(wrong) or f"{total} requests at {len(rows)} services{ended}"


def anomaly_is_flagged(report: Report) -> Outcome:
    """The broken edge was flagged while the fault was on, and not before it."""
    fault_at = report["phases"]["fault"]
    flagged = [row for row in report["anomalies"] if (row["source"], row["destination"]) == FAULTY]
    if not flagged:
        others = sorted({f"{row['source']}→{row['destination']}" for row in report["anomalies"]})
        return False, f"never flagged; flagged were {', '.join(others) or 'none'}"
    first = min(flagged, key=lambda row: str(row["computed_at"]))
    after = datetime.fromisoformat(first["computed_at"]).timestamp() - fault_at
    return after > 0, f"{after:.1f} s after the fault began: {first['reason']}"


def origin_ranks_first(report: Report) -> Outcome:
    """The alert that was delivered names the broken edge as its likely cause."""
    texts = [
        str(text)
        for delivery in report["deliveries"]
        for alert in delivery["document"].get("alerts", [])
        if alert.get("status") == "firing"
        for text in alert.get("annotations", {}).values()
    ]
    source, destination = FAULTY
    named = [text for text in texts if source in text and destination in text]
    return bool(named), (named or texts or ["no alert was delivered"])[0]


def alert_was_delivered(report: Report) -> Outcome:
    """An alert of an objective fired, and the receiver got it, signed."""
    firing = [alert for alert in report["alerts"] if alert["state"] == "firing"]
    told = [alert for alert in firing if alert["deliveries"] > 0]
    unsigned = sum(not delivery["signed"] for delivery in report["deliveries"])
    if told and not unsigned:
        worst = min(told, key=lambda alert: (alert["severity"] != "page", str(alert["at"])))
        return True, f"{worst['service']} {worst['objective']} ({worst['severity']}): {worst['summary']}"
    return False, f"{len(firing)} fired, {len(told)} of them delivered, {unsigned} deliveries wrongly signed"


def proposal_has_evidence(report: Report) -> Outcome:
    """A policy for the broken edge was proposed, with the samples it rests on."""
    proposed = [
        row
        for row in report["proposals"]
        if (row["source"], row["destination"]) == FAULTY and row["status"] in {"proposed", "submitted"}
    ]
    if not proposed:
        said = [row["sentence"] for row in report["proposals"] if (row["source"], row["destination"]) == FAULTY]
        return False, f"none; the last word was: {said[-1] if said else 'nothing'}"
    first = proposed[0]
    return bool(first["samples"] and first["evidence"]), f"{first['samples']} attempts: {first['sentence']}"


def shadow_came_first(report: Report) -> Outcome:
    """Before any proxy obeyed the candidate, every caller's proxy had judged it on live traffic."""
    rollout = report["rollout"]
    if rollout is None:
        return False, f"there was no rollout of {TUNED}"
    told = [verdict for verdict in rollout["verdicts"] if verdict["shadow"]]
    if not told:
        return False, "no verdict is about a shadow"
    last = told[-1]
    return last["decision"] == "advance" and len(last["evidence"]["proxies"]) == 4, str(last["reason"])


def canary_came_first(report: Report) -> Outcome:
    """The candidate was applied by the canary proxies first, by the others only after its promotion."""
    rollout = report["rollout"]
    if rollout is None:
        return False, f"there was no rollout of {TUNED}"
    canaries = set(rollout["canary_proxies"])
    times = {row["proxy"]: row["at"] for row in rollout["applied"]}
    first, later = canaries & set(times), set(times) - canaries
    if rollout["state"] != "promoted":
        return False, f"it ended as {rollout['state']}: {_last_reason(rollout)}"
    if not first or not later:
        return False, f"applied by {', '.join(sorted(times)) or 'nobody'}; canaries {', '.join(sorted(canaries))}"
    gap = min(times[proxy] for proxy in later) - max(times[proxy] for proxy in first)
    return gap > 0, f"{', '.join(sorted(first))} first, {len(later)} others {gap:.1f} s later; {_last_reason(rollout)}"


def everyone_follows(report: Report) -> Outcome:
    """After the promotion every proxy of the caller applied the new policy."""
    rollout = report["rollout"]
    if rollout is None:
        return False, f"there was no rollout of {TUNED}"
    applied = {row["proxy"] for row in rollout["applied"]}
    wanted = {f"frontend-{number}" for number in range(1, 5)}
    return wanted <= applied, f"{len(wanted & applied)} of {len(wanted)} applied version {rollout['policy']['version']}"


def client_is_better_off(report: Report) -> Outcome:
    """By the load generator's own record, more requests succeed under the new policy than did under the old."""
    old, new = report["client"]["fault_old_policy"], report["client"]["fault_new_policy"]
    before = report["client"]["before_fault"]
    if old["success"] is None or new["success"] is None:
        return False, "a phase has no requests"
    detail = (
        f"success {before['success']:.2%} before the fault, {old['success']:.2%} under the old policy, "
        f"{new['success']:.2%} under the new one ({old['requests']} and {new['requests']} requests)"
    )
    return new["success"] > old["success"], detail


def bad_policy_is_taken_back(report: Report) -> Outcome:
    """The policy that was bad on purpose was found out in shadow: ended by itself before any proxy obeyed it."""
    rollout = report["bad_rollout"]
    if rollout is None:
        return False, f"there was no rollout of {BAD}"
    by = [verdict for verdict in rollout["verdicts"] if verdict["decision"] == "rollback"]
    touched = {row["proxy"] for row in rollout["applied"]}
    passed = rollout["state"] == "rolled_back" and bool(by) and by[-1]["shadow"] and not touched
    return passed, f"{rollout['state']}, touched {', '.join(sorted(touched)) or 'nobody'}; {_last_reason(rollout)}"


def nothing_paid_twice(report: Report) -> Outcome:
    """No payment was executed twice, whatever was retried around it."""
    payments = report["payments"]
    detail = f"{payments['total']} payments for {payments['keys']} keys, {payments['duplicates']} executed twice"
    return payments["duplicates"] == 0 and payments["total"] == payments["keys"] > 0, detail


def script_was_followed(report: Report) -> Outcome:
    """Every step of the scenario was reached in its time."""
    return not report["missed"], "; ".join(report["missed"]) or "every step was reached in its time"


def _last_reason(rollout: Mapping[str, Any]) -> str:
    verdicts = rollout["verdicts"]
    return str(verdicts[-1]["reason"]) if verdicts else "no verdict"


def _names(edges: list[tuple[str, str]]) -> str:
    return ", ".join(f"{source}→{destination}" for source, destination in edges) or "none"


CHECKS: Final[Mapping[str, Callable[[Report], Outcome]]] = {
    "the map shows every edge and no other": map_is_complete,
    "the map counts what the callers counted": callers_agree,
    "the map counts what the services received": callees_agree,
    "the broken edge is flagged": anomaly_is_flagged,
    "an alert fired and was delivered": alert_was_delivered,
    "the alert names the broken edge": origin_ranks_first,
    "a policy was proposed with evidence": proposal_has_evidence,
    "the candidate was judged in shadow": shadow_came_first,
    "canary proxies went first": canary_came_first,
    "then every proxy followed": everyone_follows,
    "the client is better off": client_is_better_off,
    "the bad policy was ended in shadow": bad_policy_is_taken_back,
    "no payment was executed twice": nothing_paid_twice,
    "the script was followed": script_was_followed,
}
