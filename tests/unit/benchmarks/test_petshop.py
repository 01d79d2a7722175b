import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.petshop import DataError, graph, recordings, table, undisturbed
from benchmarks.rca import main, measure

from meshwise.analytics.cause.table import Metric, Symptom

NODES = ("site", "search", "list")
START = 1_700_000_000


def metrics(rows: int, start: int, slow: range = range(0)) -> str:
    """A metrics file in the data set's layout: the site waits for its search, and the list goes its own way."""
    columns = [
        (node, *kind)
        for kind in (("latency", "Average"), ("availability", "Average"), ("requests", "Sum"))
        for node in NODES
    ]
    noise = np.random.default_rng(rows)
    lines = [",".join(("microservice", *(c[0] for c in columns))), ",".join(("metric", *(c[1] for c in columns)))]
    lines += [",".join(("statistic", *(c[2] for c in columns))), "unix_timestamp" + "," * len(columns)]
    for i in range(rows):
        extra = 0.2 if i in slow else 0.0
        latency = [0.1 + extra, 0.01 + extra, 0.05]
        cells = [f"{value + 0.001 * noise.random():.6f}" for value in latency] + ["100.0"] * 3 + ["500", "500", ""]
        lines.append(",".join([f"{start + 300 * i}.0", *cells]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    scenario = tmp_path / "low_traffic"
    issue = scenario / "train" / "issue_0"
    issue.mkdir(parents=True)
    (scenario / "noissue").mkdir()
    (scenario / "noissue" / "metrics.csv").write_text(metrics(60, START + 10_000_000))
    (scenario / "graph.csv").write_text(",site,search,list\nsite,0.0,1.0,1.0\nsearch,0.0,0.0,0.0\nlist,0.0,0.0,0.0\n")
    (issue / "metrics.csv").write_text(metrics(5, START, slow=range(2, 4)))
    target = {"node": "site", "metric": "latency", "agg": "Average", "timestamp": START + 500}
    (issue / "target.json").write_text(json.dumps({"target": target, "root_cause": {"node": "search", "metric": None}}))
    return tmp_path


def test_recordings(data: Path) -> None:
    """A recording carries its split, group, symptom, time, cause, graph and the quiet recording beside it."""
    (one,) = recordings(data)
    assert (one.name, one.split, one.group, one.cause) == (
        "low_traffic/train/issue_0",
        "train",
        "latency_low",
        "search",
    )
    assert (one.symptom, one.at) == (Symptom("site", Metric.LATENCY), START + 500)
    assert one.graph.callees("site") == ("list", "search")
    assert one.history is not None
    assert len(one.history.times) == 60
    assert list(undisturbed(data)) == ["low"]


def test_table(data: Path) -> None:
    """Availability in percent becomes a share of failures, an empty cell a missing value, a header no bucket."""
    found = table(data / "low_traffic" / "train" / "issue_0" / "metrics.csv")
    assert len(found.times) == 5
    assert found.of("site", Metric.ERRORS).tolist() == [0.0] * 5
    assert np.isnan(found.of("list", Metric.REQUESTS)).all()


def test_unreadable(data: Path) -> None:
    """A broken file is named in one line, without a traceback of the parser."""
    broken = data / "low_traffic" / "graph.csv"
    broken.write_text(",a\na,x\n")
    with pytest.raises(DataError, match=r"graph\.csv cannot be read as a graph"):
        graph(broken)
    assert main([str(data)]) == 1


def test_measure(data: Path) -> None:
    """The fault that was written into the files is found, also with a wrong time, and groups without data are null."""
    content = measure(data, quick=True)
    figures = content["figures"]
    assert figures["top1_latency_low"] == {
        "value": 1.0, "unit": "share", "spread": pytest.approx((0.2065, 1.0), abs=1e-3), "target": 0.75, "met": True,
    }  # fmt: skip
    assert figures["shifted_top1_latency_low"]["value"] == 1.0
    assert figures["specificity_latency_low"]["target"] is None
    assert figures["top1_availability_temporal"] is None
    assert content["context"]["unmeasured"]["top1_availability_temporal"] == "no recording of this group"
    by_method = {row["method"]: row for row in content["rows"] if row["group"] == "latency_low"}
    assert figures["planted_top1_latency"]["value"] == 1.0
    assert figures["live_top1_latency_low"]["value"] == 1.0
    assert by_method["random"]["top1"] == pytest.approx(1 / 3)
    assert by_method["meshwise"]["top1"] == 1.0


def test_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a table, writes the figures and exits with 0."""
    out = tmp_path / "figures.json"
    assert main([str(data), "--quick", "--shift", "60", "--json", str(out)]) == 0
    assert "latency_low" in capsys.readouterr().out
    assert json.loads(out.read_text())["context"]["shift_s"] == 60.0


def test_missing_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the data the command says so in one line and exits with 1."""
    assert main([str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
