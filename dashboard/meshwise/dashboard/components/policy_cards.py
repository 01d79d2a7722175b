"""A proposal, a rollout and a policy as cards: the sentence first, then the evidence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import changed_fields, parse_policy
from meshwise.contracts.rows import ProposalFinding
from meshwise.dashboard.actions import APPROVE, ROLL_BACK, SUBMIT, UNDO, button
from meshwise.dashboard.components import figures, text
from meshwise.dashboard.components.blocks import badge, table
from meshwise.dashboard.control import PolicyView, ProxyView, RolloutView

STATE_TONES = {
    "shadow": "warn",
    "canary": "warn",
    "awaiting_approval": "warn",
    "promoted": "good",
    "rolled_back": "bad",
}
SHADOW_SHARES = (("timed_out", "cut off"), ("retried", "repeated"), ("denied", "denied a retry"))
UNCHANGING = frozenset({"version", "reason", "name"})


def render_proposal(row: ProposalFinding, *, can_submit: bool) -> Component:
    """Return one proposal: sentence, difference, curve and prediction, and the button that starts its rollout."""
    evidence = load_object(row.evidence)
    policy, current = load_object(row.policy), load_object(row.current)
    curve = [point for point in evidence.get("curve", ()) if isinstance(point, Mapping)]
    parts: list[Any] = [
        html.H3([f"{text.label(row.source)} → {text.label(row.destination)} ", badge(row.status.replace("_", " "))]),
        html.P(row.sentence[:600]),
        render_difference(current, policy),
    ]
    parts.append(render_predictions(evidence))
    if curve:
        figure = figures.curve_figure(curve, _attempt_s(policy))
        parts.append(dcc.Graph(figure=figure, config={"displayModeBar": False}))
    hedges = [one for one in evidence.get("refinements") or () if isinstance(one, Mapping) and one.get("hedge_delay_s")]
    if hedges:
        figure = figures.hedge_figure(hedges, _hedge_s(policy))
        parts.append(dcc.Graph(figure=figure, config={"displayModeBar": False}))
    for key, title in (("assumptions", "What this assumes"), ("would_change_mind", "What would change its mind")):
        if lines := [html.Li(str(item)[:300]) for item in evidence.get(key) or ()]:
            parts.append(html.Details([html.Summary(title), html.Ul(lines)]))
    parts.append(
        html.P(f"Measured on {text.count(row.samples)} attempts, {text.clock(row.created_at)} UTC.", className="note")
    )
    if row.status == "export_only":
        command = f"meshwise policy export --proposal {row.id} --dialect istio"
        parts.append(html.P(["No proxy could try it; carry it over by ", html.Code(command)], className="note"))
    if row.status == "proposed" and can_submit:
        question = f"Try this policy on a share of the {row.source} proxies?"
        parts.append(button(SUBMIT, row.id, "Start rollout", question, "primary"))
    return html.Article(parts, className="item")


def render_predictions(evidence: Mapping[str, Any]) -> Component:
    """Return what replay predicts for the policy in force, the proposed one and the runner-up, with intervals."""
    rows = []
    for key, name in (("current", "now"), ("chosen", "proposed"), ("runner_up", "runner-up")):
        candidate = evidence.get(key)
        replay = candidate.get("replay") if isinstance(candidate, Mapping) else None
        if isinstance(replay, Mapping):
            rows.append(
                [
                    name,
                    _estimate(replay.get("success"), text.share),
                    _estimate(replay.get("p99"), text.seconds),
                    _estimate(replay.get("attempts_per_request"), lambda value: f"{value:.3f}"),
                ]
            )
    return table("Prediction", ["policy", "success", "p99", "attempts per request"], rows, numeric=(1, 2, 3))


def render_difference(current: Mapping[str, Any], proposed: Mapping[str, Any]) -> Component:
    """Return the fields in which two policy documents differ."""
    rows = [
        [html.Code(path), _value(before), _value(after)]
        for path, before, after in changed_fields(current, proposed)
        if path not in UNCHANGING
    ]
    return table("Difference", ["field", "now", "proposed"], rows)


def render_rollout(rollout: RolloutView) -> Component:
    """Return one rollout: its stage, its proxies, its verdicts and, while it runs, the buttons to end it."""
    stage = f"stage {min(rollout.stage + 1, len(rollout.stages) or 1)} of {len(rollout.stages) or 1}"
    share = f" ({rollout.canary_percent:g} % of its requests)" if rollout.canary_percent < 100.0 else ""
    if rollout.shadows:
        stage = "in shadow: proxies say what the candidate would do, and obey the policy in force"
    verdicts = [
        [
            text.label(str(verdict.get("at", ""))[11:19]),
            "shadow" if verdict.get("shadow") else "canary" if rollout.canaries else text.NOTHING,
            badge(str(verdict.get("decision", "")), _decision_tone(verdict.get("decision"))),
            text.label(str(verdict.get("reason", "")), 240),
        ]
        for verdict in rollout.verdicts[-8:]
    ]
    parts: list[Any] = [
        html.H3(
            [f"{rollout.policy_name} ", badge(rollout.state.replace("_", " "), STATE_TONES.get(rollout.state, ""))]
        ),
        html.P(rollout.reason[:600]),
        html.P(
            f"{stage}; canaries: {', '.join(rollout.canaries) or 'none yet'}{share}; "
            f"compared with: {', '.join(rollout.controls) or '–'}",
            className="note",
        ),
        html.Details([html.Summary("Difference"), render_difference(rollout.baseline, rollout.policy)]),
        *render_shadow(rollout),
        table("Verdicts", ["at (UTC)", "of", "decision", "why"], verdicts),
    ]
    if rollout.active:
        words = {"awaiting_approval": "Approve", "shadow": "Start canary now"}.get(rollout.state, "Promote now")
        parts.append(
            html.Div(
                [
                    button(APPROVE, rollout.id, words, f"{words}: {rollout.policy_name}?", "primary"),
                    button(
                        ROLL_BACK, rollout.id, "Roll back", f"Roll {rollout.policy_name} back on every proxy?", "danger"
                    ),
                ],
                className="buttons",
            )
        )
    return html.Article(parts, className="item")


def render_shadow(rollout: RolloutView) -> list[Component]:
    """Return what proxies said the candidate would do, beside what the replay promised; nothing without a shadow."""
    told = [verdict for verdict in rollout.verdicts if verdict.get("shadow")]
    evidence = told[-1].get("evidence") if told else None
    if not isinstance(evidence, Mapping) or not isinstance(evidence.get("shares"), Mapping):
        return []
    shares, success = evidence["shares"], evidence.get("success")
    predicted = evidence.get("predicted")
    promised = predicted.get("success") if isinstance(predicted, Mapping) else None
    seen = success if isinstance(success, Mapping) else {}
    rows = [[name, _estimate(shares.get(key), text.share)] for key, name in SHADOW_SHARES]
    rows += [
        ["answered well, in force", _share(seen.get("in_force"))],
        ["answered well, candidate", _share(seen.get("candidate"))],
        ["promised by the replay", _estimate(promised, text.share)],
    ]
    return [table("Shadow: what the candidate would have done", ["share of attempts", ""], rows, numeric=(1,))]


def policy_row(policy: PolicyView, proxies: Sequence[ProxyView]) -> list[Any]:
    """Return the cells of one policy in force; its version is counted over the proxies that know the policy."""
    document = policy.document
    timeout, retry = document.get("timeout", {}), document.get("retry", {})
    version = document.get("version", 0)
    holders = [proxy for proxy in proxies if proxy.alive and policy.name in proxy.policies]
    current = sum(proxy.policies[policy.name] == version for proxy in holders)
    return [
        policy.name,
        str(version),
        timeout.get("request", text.NOTHING),
        timeout.get("attempt", text.NOTHING),
        str(retry.get("max", text.NOTHING)),
        f"{retry.get('budget', {}).get('percent', 0):g} %",
        f"{current} of {len(holders)}" if holders else text.NOTHING,
        policy.created_by,
        button(UNDO, policy.name, "Undo", f"Put the previous version of {policy.name} back in force?")
        if version
        else "",
    ]


def load_object(document: str) -> dict[str, Any]:
    """Return a JSON object; anything else reads as empty, since a page must not fail over one finding."""
    try:
        value = json.loads(document)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _estimate(estimate: object, shown: Callable[[float], str]) -> str:
    value = estimate.get("value") if isinstance(estimate, Mapping) else None
    if not isinstance(estimate, Mapping) or not isinstance(value, int | float):
        return text.NOTHING
    low, high = estimate.get("low"), estimate.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return shown(value)
    return f"{shown(value)} ({shown(low)} … {shown(high)})"


def _share(value: object) -> str:
    return text.share(value) if isinstance(value, int | float) else text.NOTHING


def _attempt_s(policy: Mapping[str, Any]) -> float | None:
    try:
        return parse_policy(policy).timeout.attempt
    except DocumentError:
        return None


def _hedge_s(policy: Mapping[str, Any]) -> float | None:
    try:
        hedge = parse_policy(policy).hedge
    except DocumentError:
        return None
    return None if hedge is None else hedge.delay


def _decision_tone(decision: object) -> str:
    return {"advance": "good", "promote": "good", "rollback": "bad"}.get(str(decision), "")


def _value(value: object) -> str:
    if value is None:
        return text.NOTHING
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
