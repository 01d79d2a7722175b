import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshwise.collector import wire
from meshwise.collector.errors import RefusedError
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.stamp import stamp
from meshwise.collector.tenancy import MESH, Sender
from meshwise.collector.validate import Limits, Verdict, validate
from support.otlp import logs, sums, traces

LIMITS = Limits()
TENANT = Sender("a", (("meshwise.tenant", "a"), ("zone", "z1")), frozenset({"cart", "pay"}), proxies=False)


def stamped(signal: Signal, body: bytes, sender: Sender = TENANT) -> tuple[Verdict, Any]:
    """The verdict, and the request that would be spooled."""
    verdict = stamp(signal, validate(signal, body, LIMITS), sender, LIMITS)
    return verdict, DOORS[signal].request.FromString(verdict.body)


def attributes(group: Any) -> list[tuple[str, str]]:
    return [(one.key, one.value.string_value) for one in group.resource.attributes]


@pytest.mark.parametrize(
    ("signal", "request_", "groups"),
    [
        (Signal.TRACES, traces(range(3), service="cart"), "resource_spans"),
        (Signal.METRICS, sums(range(3), service="cart"), "resource_metrics"),
        (Signal.LOGS, logs("abc", service="cart"), "resource_logs"),
    ],
)
def test_stamps_replace_what_the_sender_says(signal: Signal, request_: Any, groups: str) -> None:
    """In every signal a claimed tenant is dropped, the token's attributes are there, and the items are as they came."""
    (group,) = getattr(request_, groups)
    group.resource.attributes.add(key="meshwise.tenant").value.string_value = "b"
    group.resource.attributes.add(key="region").value.string_value = "r1"
    group.schema_url = "https://example.org/schema"
    verdict, left = stamped(signal, request_.SerializeToString())
    (found,) = getattr(left, groups)
    assert attributes(found) == [("service.name", "cart"), ("region", "r1"), ("meshwise.tenant", "a"), ("zone", "z1")]
    assert found.schema_url == group.schema_url
    del found.resource.attributes[:]
    del group.resource.attributes[:]
    assert found == group
    assert (verdict.accepted, verdict.rejected, verdict.message) == (3, 0, "")


def test_the_mesh_itself_is_not_touched() -> None:
    """Requests of the mesh's own token keep every byte."""
    body = traces(range(3)).SerializeToString()
    verdict = validate(Signal.TRACES, body, LIMITS)
    assert stamp(Signal.TRACES, verdict, MESH, LIMITS) is verdict


def test_odd_bytes_cannot_smuggle_a_tenant() -> None:
    """A resource or a key given twice, and unknown fields, are gone: only one reading is left."""
    request = traces([1], service="cart")
    group = request.resource_spans[0]
    key_twice = wire.length_field(1, b"meshwise.tenant") + wire.length_field(1, b"x")
    for pair in (key_twice, wire.length_field(1, b"x") + wire.length_field(1, b"meshwise.tenant")):
        attribute = wire.length_field(1, pair + wire.length_field(2, wire.length_field(1, b"b")))
        resource = wire.length_field(1, attribute)
        inner = group.SerializeToString() + resource + wire.length_field(999, b"meshwise.tenant b")
        body = wire.length_field(1, inner) + wire.length_field(999, b"meshwise.tenant b")
        verdict, left = stamped(Signal.TRACES, body)
        assert verdict.accepted == 1
        assert verdict.body == left.SerializeToString()
        assert verdict.body.count(b"meshwise.tenant") == 1
        assert ("meshwise.tenant", "a") in attributes(left.resource_spans[0])


def test_speaking_for_another_service_is_rejected() -> None:
    """Items under a foreign service name are cut out and told in partial success; the sender's own are kept."""
    request = traces([1, 2], service="cart")
    request.MergeFrom(traces([3, 4, 5], service="bank"))
    twice = traces([6], service="cart")
    twice.resource_spans[0].resource.attributes.add(key="service.name").value.string_value = "bank"
    request.MergeFrom(twice)
    verdict, left = stamped(Signal.TRACES, request.SerializeToString())
    assert (verdict.accepted, verdict.rejected) == (3, 3)
    assert "3 spans rejected: service.name 'bank'" in verdict.message
    assert b"bank" not in verdict.body
    assert [len(group.scope_spans[0].spans) for group in left.resource_spans] == [2, 1]


def test_a_sender_of_one_service_need_not_name_it() -> None:
    """Whoever may speak for one service alone is taken for it when it names none."""
    request = traces([1])
    del request.resource_spans[0].resource.attributes[:]
    _, left = stamped(Signal.TRACES, request.SerializeToString(), Sender("mesh", (), frozenset({"cart"})))
    assert attributes(left.resource_spans[0]) == [("service.name", "cart")]
    verdict, _ = stamped(Signal.TRACES, request.SerializeToString())
    assert verdict.rejected == 1


def test_only_proxies_report_as_proxies() -> None:
    """Counts that move policies are not taken from whom the operator did not name a proxy."""
    request = sums([1, 2], service="cart")
    request.resource_metrics[0].scope_metrics[0].scope.name = "meshwise.proxy"
    own = sums([3], service="cart")
    own.resource_metrics[0].resource.attributes.add(key="note").value.string_value = "meshwise.proxy"
    request.MergeFrom(own)
    verdict, _ = stamped(Signal.METRICS, request.SerializeToString())
    assert (verdict.accepted, verdict.rejected) == (1, 2)
    assert "may not report as a proxy" in verdict.message
    proxy = Sender("a", (), frozenset({"cart"}), proxies=True)
    assert stamped(Signal.METRICS, request.SerializeToString(), proxy)[0].accepted == 3


@pytest.mark.parametrize(
    ("side", "source", "destination", "accepted"),
    [
        ("client", "cart", "bank", 2),
        ("server", "bank", "cart", 2),
        ("client", "bank", "cart", 0),
        ("server", "cart", "bank", 0),
        ("client", None, None, 2),
    ],
)
def test_a_proxy_reports_the_calls_of_its_own_service(
    side: str, source: str | None, destination: str | None, accepted: int
) -> None:
    """A caller's proxy counts calls from its service, a callee's calls to it; whatever else it tells is rejected."""
    proxy = Sender("mesh", (), frozenset({"cart"}), proxies=True)
    told = {"meshwise.side": side, "meshwise.source": source, "meshwise.destination": destination}
    points = sums([1, 2], service="cart")
    points.resource_metrics[0].scope_metrics[0].scope.name = "meshwise.proxy"
    spans = traces([1, 2], service="cart")
    spans.resource_spans[0].scope_spans[0].scope.name = "meshwise.proxy"
    point = points.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[1]
    span = spans.resource_spans[0].scope_spans[0].spans[1]
    span.kind = Span.SPAN_KIND_CLIENT if side == "client" else Span.SPAN_KIND_SERVER
    for key, value in told.items():
        if value is not None:
            point.attributes.add(key=key).value.string_value = value
            if key != "meshwise.side":
                span.attributes.add(key=key).value.string_value = value
    assert stamped(Signal.METRICS, points.SerializeToString(), proxy)[0].accepted == accepted
    assert stamped(Signal.TRACES, spans.SerializeToString(), proxy)[0].accepted == accepted


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_bytes_the_answer_is_a_verdict_or_a_refusal(noise: bytes) -> None:
    """Bytes that the validator let through never break the stamp, and what comes out is a request again."""
    body = traces([1], service="cart").SerializeToString() + noise
    with contextlib.suppress(RefusedError):
        verdict = stamp(Signal.TRACES, validate(Signal.TRACES, body, LIMITS), TENANT, LIMITS)
        DOORS[Signal.TRACES].request.FromString(verdict.body)
        assert verdict.accepted + verdict.rejected >= 1
