"""What the load generators print, and what of it counts."""

import pytest
from benchmarks.proxy.load import LoadError, Saturated, Steady, read_log, read_wrk

WRK = """Running 3s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.33ms  410.00us   9.10ms   89.01%
  Latency Distribution
     50%  812.00us
     75%    2.41ms
     90%    2.66ms
     99%    4.13ms
  39640 requests in 3.00s, 10.21MB read
Requests/sec:  13213.41
Transfer/sec:      3.40MB
"""


def test_wrk() -> None:
    """Rate and quantiles are read in microseconds, whatever unit each is printed in."""
    assert read_wrk(WRK) == Saturated(13213.41, 812.0, 4130.0)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 3\n", "  Socket errors: connect 0, read 1, write 0, timeout 0\n"]
)
def test_wrk_with_failures(line: str) -> None:
    """A rate with failed requests in it is no figure."""
    with pytest.raises(LoadError, match="answered well"):
        read_wrk(WRK + line)


def test_wrk_without_figures() -> None:
    """Output without a rate is an error, not zero."""
    with pytest.raises(LoadError, match="no figures"):
        read_wrk("unable to connect")


def test_log() -> None:
    """The quantiles of the log are of all its requests, in whatever order they ended."""
    rows = [f"{1_000_000 + n}\t200\t{n}" for n in range(100, 0, -1)]
    assert read_log("\n".join(rows)) == Steady(51.0, 100.0, 100)


@pytest.mark.parametrize("text", ["", "1\t200\t5\n2\t503\t9\n", "1\t-1\t5\n"])
def test_log_with_failures(text: str) -> None:
    """An empty log or a failed request spoils the measurement."""
    with pytest.raises(LoadError):
        read_log(text)
