from pathlib import Path

import pytest

from meshwise.cli.app import execute

EXAMPLE = Path(__file__).parents[3] / "examples/slo/checkout.yaml"


def test_good_documents_say_what_they_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """The example is good, and each of its objectives is one line."""
    assert execute(["slo", "check", str(EXAMPLE)]) == 0
    out = capsys.readouterr().out
    assert "checkout-answers: availability of checkout, 0.995" in out
    assert out.endswith("9 documents are good\n")


def test_every_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two wrong documents in two files are two lines on standard error, and the status is 1."""
    (tmp_path / "a.yaml").write_text("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec: {}\n")
    (tmp_path / "b.json").write_text('[{"apiVersion": "openslo/v2"}]')
    assert execute(["slo", "check", str(tmp_path / "a.yaml"), str(tmp_path / "b.json")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "meshwise: [1].apiVersion: 'openslo/v2' is not understood; write openslo/v1",
        "meshwise: SLO/a.spec.service: is required",
    ]


def test_rules_that_can_never_fire_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A low target that silences built-in rules is said, not hidden."""
    file = tmp_path / "a.yaml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8").replace("target: 0.995", "target: 0.9"))
    assert execute(["slo", "check", str(file)]) == 0
    assert "too low a target to ever burn 13.44x, left to the slower rules" in capsys.readouterr().out


def test_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty file is no set of good documents."""
    (tmp_path / "a.yaml").write_text("---\n")
    assert execute(["slo", "check", str(tmp_path / "a.yaml")]) == 1
    assert "holds no document" in capsys.readouterr().err
