import json
import re
import subprocess
from pathlib import Path

import pytest
from benchmarks.figures import Figure, Unmeasured, document, wilson, write


def test_document(tmp_path: Path) -> None:
    """A figure tells its target and whether it was met; what was not measured is null with a reason, never a number."""
    figures: dict[str, Figure | Unmeasured] = {
        "good": Figure(0.8, "share", (0.5, 0.9), 0.75),
        "bad": Figure(0.7, "share", (0.5, 0.9), 0.75),
        "reported": Figure(0.1, "share", (0.0, 0.2)),
        "absent": Unmeasured("no data"),
    }
    write(tmp_path / "out.json", document(figures, [{"n": 1}], quick=True))
    read = json.loads((tmp_path / "out.json").read_text())
    assert read["figures"]["good"] == {
        "value": 0.8, "unit": "share", "spread": [0.5, 0.9], "target": 0.75, "met": True,
    }  # fmt: skip
    assert read["figures"]["bad"]["met"] is False
    assert read["figures"]["reported"]["met"] is None
    assert read["figures"]["absent"] is None
    assert read["context"]["unmeasured"] == {"absent": "no data"}
    assert {"cpu", "cores", "versions", "command", "commit"} <= set(read["context"])
    assert read["rows"] == [{"n": 1}]


def test_one_command_gives_all() -> None:
    """`make figures` runs the real loop with default settings, the suite that takes its figures over, and the judge."""
    root = Path(__file__).resolve().parents[3]
    said = subprocess.run(["make", "-n", "figures"], cwd=root, capture_output=True, text=True, check=True).stdout
    live, policy, judge = re.findall(r"benchmarks\.(\w+)(.*)", said)
    assert (live[0], policy[0], judge[0]) == ("live", "policy", "judge")
    assert "--defaults" in live[1]
    (written,) = re.findall(r"--json (\S+)", live[1])
    assert f"--live {written} " in policy[1]
    assert all("--json " in arguments for _, arguments in (live, policy, judge))


def test_no_nan(tmp_path: Path) -> None:
    """A number that JSON cannot say is refused rather than written as NaN."""
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path / "out.json", {"value": float("nan")})


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(4, 4, 0.5101, 1.0), (0, 10, 0.0, 0.2775), (0, 0, 0.0, 1.0)]
)
def test_wilson(hits: int, total: int, low: float, high: float) -> None:
    """The interval agrees with published values, and knows nothing without trials."""
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-4)
