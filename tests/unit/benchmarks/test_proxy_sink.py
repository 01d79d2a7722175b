"""The sink counts what exporters say."""

from benchmarks.proxy.sink import spans_in

from meshwise.proxy.telemetry.otlp import Encoder
from meshwise.proxy.telemetry.wire import nested


def test_spans_are_counted() -> None:
    """Every span of an export counts once, across scopes and resources."""
    encoder = Encoder({"service.name": "frontend"}, "1")
    spans = [nested(b"\x12", b"\x0a\x01a")] * 3
    assert spans_in(encoder.envelope(spans)) == 3
    assert spans_in(encoder.envelope(spans) + encoder.envelope(spans[:1])) == 4


def test_nothing_is_counted() -> None:
    """An export without spans counts none."""
    assert spans_in(Encoder({"service.name": "frontend"}, "1").envelope([])) == 0
