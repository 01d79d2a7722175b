"""Policies: what is proposed and why, what is being tried, what is in force; approve, roll back, undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import Dash, html
from dash.development.base_component import Component

from meshwise.contracts.errors import MeshwiseError
from meshwise.contracts.rows import ProposalFinding
from meshwise.dashboard.actions import NOTICE, connect_actions
from meshwise.dashboard.components.blocks import card, notice, table
from meshwise.dashboard.components.policy_cards import (
    policy_row,
    render_proposal,
    render_rollout,
)
from meshwise.dashboard.control import Control, PolicyView, ProxyView, RolloutView
from meshwise.dashboard.page import Page, digests, live
from meshwise.dashboard.queries import Queries

MOST_SHOWN = 20
ANNOUNCED: dict[str, Any] = {"aria-live": "polite"}


class Ids:
    """Ids of this page's parts."""

    PROPOSALS = "policies-proposals"
    ROLLOUTS = "policies-rollouts"
    IN_FORCE = "policies-in-force"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Policies"),
            *digests(Ids.PROPOSALS, Ids.ROLLOUTS, Ids.IN_FORCE),
            html.Div(id=NOTICE, **ANNOUNCED),
            card("Proposals", html.Div(id=Ids.PROPOSALS), class_name="wide"),
            card("Rollouts", html.Div(id=Ids.ROLLOUTS), class_name="wide"),
            card("In force", html.Div(id=Ids.IN_FORCE), class_name="wide"),
        ]
    )


def render_proposals(proposals: Sequence[ProposalFinding], rollouts: Sequence[RolloutView]) -> Component:
    """Return the open proposals with their evidence; those that refused or changed nothing are told in a line."""
    busy = {str(rollout.policy.get("match", {}).get("service", "")) for rollout in rollouts if rollout.active}
    open_ones = [row for row in proposals if row.status in ("proposed", "submitted", "export_only")][:MOST_SHOWN]
    parts: list[Any] = [render_proposal(row, can_submit=row.destination not in busy) for row in open_ones]
    if not parts:
        parts.append(
            html.P("Nothing to propose: no change would be worth its risk on what was measured.", className="note")
        )
    refused = [row for row in proposals if row.status == "refused"][:MOST_SHOWN]
    if refused:
        lines = [html.Li(f"{row.source} → {row.destination}: {row.sentence}"[:300]) for row in refused]
        parts.append(html.Details([html.Summary(f"{len(refused)} refused, with the reason"), html.Ul(lines)]))
    return html.Div(parts)


def render_rollouts(rollouts: Sequence[RolloutView]) -> Component:
    """Return the newest rollouts, those under way first."""
    shown = sorted(rollouts, key=lambda rollout: not rollout.active)[:MOST_SHOWN]
    if not shown:
        return html.P("No policy has been tried yet.", className="note")
    return html.Div([render_rollout(rollout) for rollout in shown])


def render_in_force(policies: Sequence[PolicyView], proxies: Sequence[ProxyView]) -> Component:
    """Return a row per policy with how many proxies run its version."""
    rows = [policy_row(policy, proxies) for policy in sorted(policies, key=lambda policy: policy.name)]
    head = ["policy", "version", "request", "attempt", "retries", "budget", "on proxies", "by", ""]
    return table("Policies in force", head, rows, numeric=(1, 2, 3, 4, 5))


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store and to control, and the buttons to their actions."""

    def proposals() -> Component:
        try:
            rollouts = control.rollouts()
        except MeshwiseError as error:
            return html.Div([notice(str(error), "bad"), render_proposals(queries.proposals(), ())])
        return render_proposals(queries.proposals(), rollouts)

    live(app, Ids.PROPOSALS, "children", lambda _: proposals())
    live(app, Ids.ROLLOUTS, "children", lambda _: render_rollouts(control.rollouts()))
    live(app, Ids.IN_FORCE, "children", lambda _: render_in_force(control.policies(), control.proxies()))
    connect_actions(app, queries, control)


PAGE = Page("/policies", "Policies", layout, register)
