from dataclasses import replace
from pathlib import Path

import pytest

from meshwise.cli.app import execute
from support.analytics import serving_proposals
from support.findings import proposal

PROPOSED = replace(proposal(), id="p1")
REFUSED = replace(PROPOSED, id="p2", status="refused", policy="", sentence="too little data")


def export(*arguments: str) -> int:
    with serving_proposals([PROPOSED, REFUSED]) as url:
        return execute(["policy", "export", *arguments, "--analytics-url", url])


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("dialect", "kind"), [("envoy", "static_resources:"), ("istio", "kind: VirtualService")])
def test_a_proposal_in_another_dialect(dialect: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The proposal that is named is printed in the words of the mesh that is named."""
    assert export("--proposal", "p1", "--dialect", dialect) == 0
    out = capsys.readouterr().out
    assert kind in out
    assert "recommendation" in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--proposal", "p3"), "there is no proposal 'p3'; those with a policy are: p1"),
        (("--proposal", "p2"), "proposal p2 proposes no policy: too little data"),
        (("--proposal", "p1", "--dialect", "nginx"), "'nginx' is no dialect; write one of envoy, istio"),
        (("frontend.recommendation", "--proposal", "p1"), "name one policy in force, or one --proposal, or one --file"),
    ],
)
def test_what_cannot_be_exported(arguments: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong and what there is instead."""
    assert export(*arguments) != 0
    told = capsys.readouterr()
    assert told.out == ""
    assert problem in told.err
