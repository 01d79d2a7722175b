"""``meshwise policy``: the policies in force, and changes to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from meshwise.cli.commands.options import OPERATOR_PANEL, AnalyticsUrl, Config, ControlUrl, Json, Reason
from meshwise.cli.control_api import JsonApi, open_analytics, open_control, segment
from meshwise.cli.mesh import open_mesh
from meshwise.cli.tables import table
from meshwise.cli.yaml_file import read_yaml
from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.policy import changed_fields, parse_policy

Name = Annotated[str, typer.Argument(help="Name of the policy.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``policy``."""
    group = typer.Typer(no_args_is_help=True, help="List, show, apply and undo traffic policies.")
    group.command("list", help="The policies in force.")(list_policies)
    group.command("show", help="One policy in full, with its versions.")(show)
    group.command("apply", help="Put the policies of a YAML or JSON file in force everywhere.")(apply)
    group.command("rehearse", help="Whether the mesh would come back with a policy when something breaks.")(rehearse)
    group.command("export", help="A policy or a proposal in the words of Envoy or Istio.")(export)
    group.command("undo", help="Go back to the version before.")(undo)
    app.add_typer(group, name="policy", rich_help_panel=OPERATOR_PANEL)


def list_policies(config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print the policies in force."""
    entries = open_control(config, control_url).get("/v1/policies")["policies"]
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    rows = [
        (
            policy["name"],
            str(policy["version"]),
            policy["timeout"]["request"],
            policy["timeout"].get("attempt", "-"),
            str(policy["retry"]["max"]),
            entry["created_by"],
            policy.get("reason", ""),
        )
        for entry in entries
        for policy in (entry["policy"],)
    ]
    typer.echo(table(("NAME", "VERSION", "REQUEST", "ATTEMPT", "RETRIES", "BY", "REASON"), rows))


def show(name: Name, config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print one policy in force and its history."""
    versions = open_control(config, control_url).get(f"/v1/policies/{segment(name)}/versions")["versions"]
    if as_json:
        typer.echo(json.dumps(versions, indent=2))
        return
    latest = versions[0]["policy"]
    typer.echo(
        yaml.safe_dump(latest, sort_keys=False).rstrip() if latest else f"{name} was removed; the defaults govern"
    )
    rows = [(str(one["version"]), one["created_at"], one["created_by"], one["reason"]) for one in versions]
    typer.echo("\n" + table(("VERSION", "AT", "BY", "REASON"), rows))


def apply(
    file: Annotated[Path, typer.Argument(help="One policy, or a list of them.", metavar="FILE")],
    config: Config = None,
    control_url: ControlUrl = None,
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Put the policies of a file in force; a file with a mistake changes nothing."""
    documents = _documents(file)
    control = open_control(config, control_url)
    current = {entry["policy"]["name"]: entry["policy"] for entry in control.get("/v1/policies")["policies"]}
    for document in documents:
        policy = parse_policy(document)
        before = current.get(policy.name, {})
        changes = [
            change for change in changed_fields(before, policy.to_document()) if change[0] not in {"version", "reason"}
        ]
        for path, old, new in changes if before else ():
            typer.echo(f"{policy.name}: {path}: {old} -> {new}")
        if dry_run:
            typer.echo(f"{policy.name}: {'would change' if changes else 'unchanged'}")
            continue
        answer = control.put(
            f"/v1/policies/{policy.name}",
            {
                "policy": document,
                "reason": reason or policy.reason or f"applied from {file.name}",
                **({"base_version": before["version"]} if before else {}),
            },
        )
        typer.echo(f"{policy.name}: version {answer['policy']['version']} is in force")


def rehearse(
    file: Annotated[Path, typer.Argument(help="The policy to try.", metavar="FILE")],
    config: Config = None,
    control_url: ControlUrl = None,
    seconds: Annotated[int, typer.Option(min=30, metavar="N", help="How far back to learn the mesh from.")] = 900,
    as_json: Json = False,
) -> None:
    """Simulate the mesh of the last minutes under faults, with the policy of a file and with the one in force."""
    documents = _documents(file)
    if len(documents) > 1:
        raise ConfigError(f"{file}: holds {len(documents)} policies; rehearse one at a time")
    mesh = open_mesh(config, control_url)
    try:
        found = mesh.rehearse(documents[0], seconds)
    except ValueError as error:
        raise ConfigError(f"{file}: cannot be rehearsed: {error}") from None
    finally:
        mesh.close()
    if as_json:
        typer.echo(json.dumps([one.to_document() for one in found], indent=2))
        return
    if not len(found):
        raise ConfigError(f"{file}: no edge that the policy matches had traffic in the last {seconds} s")
    rows = [
        (
            f"{one.source} → {one.destination}",
            under.trigger.kind,
            name,
            "never" if played.run.recovered_s is None else f"{played.run.recovered_s:.0f} s",
            f"{played.run.before:.1%} → {played.run.during:.1%} → {played.run.after:.1%}",
            "-" if played.limit is None else f"{'≥ ' if played.at_least else ''}{played.limit:g} ×",
        )
        for one in found
        for under in one.compared
        for name, played in (("in force", under.current), ("tried", under.proposed))
    ]
    typer.echo(table(("EDGE", "TRIGGER", "POLICY", "BACK AFTER", "GOODPUT", "RECOVERS UP TO"), rows))
    for objection in dict.fromkeys(one.objection for one in found if one.objection):
        typer.echo(f"\nwould not be proposed: {objection}")


def export(
    name: Annotated[str, typer.Argument(help="Name of a policy in force.", metavar="[NAME]")] = "",
    dialect: Annotated[str, typer.Option("--dialect", metavar="DIALECT", help="envoy or istio.")] = "envoy",
    *,
    proposal: Annotated[str, typer.Option("--proposal", metavar="ID", help="A proposal instead.")] = "",
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="A policy document instead.")] = None,
    config: Config = None,
    control_url: ControlUrl = None,
    analytics_url: AnalyticsUrl = None,
) -> None:
    """Print a policy as another mesh would have it; what that mesh has no word for is said in comments."""
    from meshwise.control.dialects import DIALECTS

    if dialect not in DIALECTS:
        raise ConfigError(f"{dialect!r} is no dialect; write one of {', '.join(DIALECTS)}")
    if sum(map(bool, (name, proposal, file))) != 1:
        raise ConfigError("name one policy in force, or one --proposal, or one --file")
    if file is not None:
        documents = _documents(file)
    elif proposal:
        documents = [_proposed(open_analytics(config, analytics_url).get("/v1/proposals")["proposals"], proposal)]
    else:
        versions = open_control(config, control_url).get(f"/v1/policies/{segment(name)}/versions")["versions"]
        if not versions[0]["policy"]:
            raise ConfigError(f"{name} was removed; there is nothing to export")
        documents = [versions[0]["policy"]]
    texts = [DIALECTS[dialect](parse_policy(document)).to_yaml() for document in documents]
    typer.echo("---\n".join(texts), nl=False)


def _proposed(found: list[dict[str, Any]], proposal_id: str) -> dict[str, Any]:
    match = next((one for one in found if one["id"] == proposal_id), None)
    if match is None:
        known = ", ".join(one["id"] for one in found if one["policy"]) or "none"
        raise ConfigError(f"there is no proposal {proposal_id!r}; those with a policy are: {known}")
    if not match["policy"]:
        raise ConfigError(f"proposal {proposal_id} proposes no policy: {match['sentence']}")
    document = match["policy"]
    return dict(json.loads(document) if isinstance(document, str) else document)


def undo(name: Name, config: Config = None, control_url: ControlUrl = None, reason: Reason = "undone by hand") -> None:
    """Give a policy the content of its version before."""
    control: JsonApi = open_control(config, control_url)
    answer = control.post(f"/v1/policies/{segment(name)}/undo", {"reason": reason})
    policy = answer.get("policy")
    typer.echo(
        f"{name}: version {policy['version']} is in force" if policy else f"{name}: removed, the defaults govern"
    )


def _documents(file: Path) -> list[dict[str, Any]]:
    document = read_yaml(file)
    documents: list[Any] = document if isinstance(document, list) else [document]
    if not documents:
        raise ConfigError(f"{file}: holds no policy")
    for position, item in enumerate(documents):
        try:
            parse_policy(item)
        except DocumentError as error:
            at = f"{file}[{position}]" if len(documents) > 1 else str(file)
            raise ConfigError(f"{at}: {error}") from None
    return documents
