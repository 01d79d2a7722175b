"""``meshwise rollout``: canary rollouts under way, and the operator's word on them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL, Config, ControlUrl, Json, Reason
from meshwise.cli.control_api import open_control, segment
from meshwise.cli.mesh import open_mesh
from meshwise.cli.tables import table
from meshwise.contracts.errors import MeshwiseError

Id = Annotated[str, typer.Argument(help="Id of the rollout.", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``rollout``."""
    group = typer.Typer(no_args_is_help=True, help="List, show, approve and roll back canary rollouts.")
    group.command("list", help="Every rollout, the newest first.")(list_rollouts)
    group.command("show", help="One rollout with its proxies and verdicts.")(show)
    group.command("explain", help="Why a rollout went as it did, its verdicts reached again.")(explain)
    group.command("approve", help="Let a waiting rollout begin, or go on to the next state.")(approve)
    group.command("rollback", help="Take a rollout back at once.")(rollback)
    app.add_typer(group, name="rollout", rich_help_panel=OPERATOR_PANEL)


def list_rollouts(config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print every rollout."""
    rollouts = open_control(config, control_url).get("/v1/rollouts")["rollouts"]
    if as_json:
        typer.echo(json.dumps(rollouts, indent=2))
        return
    rows = [(r["id"], r["policy_name"], r["state"], _stage(r), r["created_at"], r["reason"]) for r in rollouts]
    typer.echo(table(("ID", "POLICY", "STATE", "STAGE", "CREATED", "REASON"), rows))


def show(rollout_id: Id, config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print one rollout."""
    rollout = open_control(config, control_url).get(f"/v1/rollouts/{segment(rollout_id)}")
    if as_json:
        typer.echo(json.dumps(rollout, indent=2))
        return
    typer.echo(f"{rollout['policy_name']}: {rollout['state']}, stage {_stage(rollout)}")
    typer.echo(f"reason   {rollout['reason']}")
    typer.echo(f"canary   {', '.join(rollout['canary_proxies']) or '-'}{_share(rollout)}")
    typer.echo(f"control  {', '.join(rollout['control_proxies']) or '-'}")
    rows = [
        (v["at"], "shadow" if v.get("shadow") else str(v["stage"]), v["decision"], v["by"], v["reason"])
        for v in rollout["verdicts"]
    ]
    typer.echo("\n" + table(("AT", "STAGE", "DECISION", "BY", "REASON"), rows))


def explain(rollout_id: Id, config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print what a rollout rested on, and reach each of its verdicts again from the stored counts.

    The proposal behind it is made again too, from the store, which keeps the attempts for days.
    """
    from meshwise.analytics.rollout.explain import explain as judged_again
    from meshwise.analytics.rollout.explain import proposal_lines

    rollout = open_control(config, control_url).get(f"/v1/rollouts/{segment(rollout_id)}")
    verdicts = judged_again(rollout)
    if as_json:
        typer.echo(json.dumps([{**asdict(one), "holds": one.holds} for one in verdicts], indent=2))
        return
    typer.echo(
        f"{rollout['policy_name']}: {rollout['state']}, stage {_stage(rollout)}, begun by {rollout['created_by']}"
    )
    typer.echo(f"reason    {rollout['reason']}")
    for line in proposal_lines(rollout.get("evidence")):
        typer.echo(line)
    if rollout.get("proposal_id"):
        typer.echo(f"made again: {_made_again(rollout, config, control_url)}")
    told = {True: "yes", False: "no", None: "-"}
    rows = [(v.at, "shadow" if v.shadow else str(v.stage), v.decision, told[v.holds], v.by, v.reason) for v in verdicts]
    typer.echo("\n" + table(("AT", "STAGE", "DECISION", "REACHED AGAIN", "BY", "REASON"), rows))
    if any(one.holds is False for one in verdicts):
        raise MeshwiseError("a verdict is not what its stored counts give: the evidence or the judge has changed since")


def approve(rollout_id: Id, config: Config = None, control_url: ControlUrl = None, reason: Reason = "") -> None:
    """Let a waiting rollout begin, one in shadow have its canaries, one with canaries be promoted."""
    _say(open_control(config, control_url).post(f"/v1/rollouts/{segment(rollout_id)}/approve", {"reason": reason}))


def rollback(rollout_id: Id, config: Config = None, control_url: ControlUrl = None, reason: Reason = "") -> None:
    """Take a rollout back."""
    _say(open_control(config, control_url).post(f"/v1/rollouts/{segment(rollout_id)}/rollback", {"reason": reason}))


def _made_again(rollout: dict[str, Any], config: Path | None, control_url: str | None) -> str:
    """Say whether the proposal comes out again of the attempts in the store, or why that cannot be told."""
    try:
        mesh = open_mesh(config, control_url)
        try:
            return mesh.propose_again(rollout).text
        finally:
            mesh.close()
    except (MeshwiseError, ValueError) as error:
        return f"this cannot be told: {error}"


def _share(rollout: dict[str, Any]) -> str:
    percent = rollout.get("canary_percent", 100.0)
    return f" ({percent:g} % of its requests)" if rollout["canary_proxies"] and percent < 100.0 else ""


def _say(rollout: dict[str, Any]) -> None:
    typer.echo(f"{rollout['id']}: {rollout['policy_name']} is {rollout['state']}")


def _stage(rollout: dict[str, Any]) -> str:
    if rollout.get("shadows"):
        return "shadow"
    stages = rollout["stages"]
    at = min(rollout["stage"], len(stages) - 1)
    return f"{at + 1} of {len(stages)} ({stages[at]} %)"
