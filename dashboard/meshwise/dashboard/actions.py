"""Buttons that change the mesh. Each asks first, says what happened, and acts on what the server knows.

A browser sends only a verb and a name: the policy of a proposal is read from the store again, never taken from a page.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from dash import ALL, Dash, Input, Output, ctx, dcc, html, no_update
from dash.development.base_component import Component

from meshwise.contracts.errors import MeshwiseError
from meshwise.dashboard.components.blocks import notice
from meshwise.dashboard.control import Control, RefusedError
from meshwise.dashboard.queries import Queries

NOTICE = "action-notice"
KIND = "action"
SUBMIT, APPROVE, ROLL_BACK, UNDO = "submit", "approve", "roll_back", "undo"


def button(verb: str, target: str, words: str, question: str, tone: str = "") -> Component:
    """Return a button that asks ``question`` and then takes the action ``verb`` on ``target``."""
    return dcc.ConfirmDialogProvider(
        html.Button(words, className=f"button {tone}".strip(), type="button"),
        id={"type": KIND, "verb": verb, "target": target},
        message=question,
    )


def act(verb: str, target: str, queries: Queries, control: Control) -> str:
    """Take one action and return one line that says what happened.

    Raises:
        MeshwiseError: the action was refused, or control or the store did not answer.
    """
    if verb == SUBMIT:
        proposal = next((row for row in queries.proposals() if row.id == target), None)
        if proposal is None or proposal.status not in ("proposed", "submitted"):
            raise RefusedError("this proposal is no longer open; look at the newest one")
        evidence = json.loads(proposal.evidence)
        control.submit(json.loads(proposal.policy), proposal.sentence, evidence, proposal.id)
        return f"{proposal.source} → {proposal.destination}: the proposed policy is tried now, first in shadow."
    if verb == APPROVE:
        control.approve(target)
        return f"Rollout {target} is approved."
    if verb == ROLL_BACK:
        control.roll_back(target)
        return f"Rollout {target} is rolled back."
    if verb == UNDO:
        control.undo(target)
        return f"{target} is back on its previous version."
    raise RefusedError("this action is not known")


def connect_actions(app: Dash, queries: Queries, control: Control) -> None:
    """Connect every button made by ``button`` to its action."""

    @app.callback(
        Output(NOTICE, "children"),
        Input({"type": KIND, "verb": ALL, "target": ALL}, "submit_n_clicks"),
        prevent_initial_call=True,
    )
    async def pressed(_clicks: list[int | None]) -> Any:
        """A part that is drawn anew also triggers this, but with no click."""
        if not isinstance(ctx.triggered_id, dict) or not ctx.triggered[0]["value"]:
            return no_update
        verb, target = str(ctx.triggered_id.get("verb")), str(ctx.triggered_id.get("target"))
        try:
            return notice(await asyncio.to_thread(act, verb, target, queries, control), "good")
        except MeshwiseError as error:
            return notice(str(error), "bad")
