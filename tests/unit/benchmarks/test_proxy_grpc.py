import json
from pathlib import Path

import pytest
from benchmarks.figures import Figure
from benchmarks.proxy import grpc, peers
from benchmarks.proxy.load import LoadError
from benchmarks.proxy.peers import Backing, Launch
from benchmarks.proxy.report import figures

PRINTED = """
finished in 2.00s, 10910.50 req/s, 1.97MB/s
requests: 21821 total, 21853 started, 21821 done, 21821 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 21821 2xx, 0 3xx, 0 4xx, 0 5xx
                     min         max         mean         sd        +/- sd
time for request:       15us      6.84ms      2.54ms       288us    98.98%
"""


def test_what_h2load_prints_is_read() -> None:
    """Rate, mean and number of calls are taken, the mean in microseconds."""
    called = grpc.read_h2load(PRINTED)
    assert (called.rps, called.mean_us, called.count) == (10910.5, 2540.0, 21821)


@pytest.mark.parametrize(
    "printed",
    [
        "",
        PRINTED.replace("0 failed", "3 failed"),
        PRINTED.replace("21821 succeeded", "21820 succeeded"),
        PRINTED.replace("21821 done, 21821 succeeded", "0 done, 0 succeeded"),
    ],
)
def test_calls_that_fail_are_no_figure(printed: str) -> None:
    """Without figures, with a failure, or without any call there is nothing to report."""
    with pytest.raises(LoadError):
        grpc.read_h2load(printed)


def test_envoy_speaks_http2_to_the_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy is told the same as elsewhere, and HTTP/2 for the endpoint alone."""
    monkeypatch.setattr(peers, "PEERS", tmp_path)
    (tmp_path / "envoy").touch()
    launch = grpc.envoy(Backing(tmp_path, 8080, 4318))
    assert isinstance(launch, Launch)
    written = json.loads((tmp_path / "envoy_grpc.json").read_text())
    catalog, sink = written["static_resources"]["clusters"]
    assert "typed_extension_protocol_options" in catalog
    assert "typed_extension_protocol_options" not in sink


def test_figure_is_the_ratio_of_the_rounds() -> None:
    """The figure is ours by Envoy's; a round of ours without its spans does not count."""

    def row(proxy: str, rps: int, spans: int) -> dict[str, object]:
        return {"measurement": "grpc", "proxy": proxy, "rps": rps, "requests": 100, "spans": spans}

    found = figures([row("meshwise", 50, 100), row("envoy", 100, 0)], {})["grpc_rps_vs_envoy"]
    assert isinstance(found, Figure)
    assert found.value == 0.5
    assert not isinstance(figures([row("meshwise", 50, 10), row("envoy", 100, 0)], {})["grpc_rps_vs_envoy"], Figure)
