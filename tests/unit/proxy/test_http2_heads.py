"""Heads of HTTP/2: what is passed on, what is refused."""

import pytest

from meshwise.proxy.errors import BadAnswer, BadRequest, ExpectationUnknown, ExtendedConnect, NotSupported
from meshwise.proxy.http2.codes import StreamFault
from meshwise.proxy.http2.heads import read_answer, read_request, read_trailers
from meshwise.proxy.http2.tables import Field

GET: list[Field] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/items?q=1"),
    (b":authority", b"Catalog:80"),
]
CALL: list[Field] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/shop.Catalog/Get"),
    (b":authority", b"catalog"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]


def changed(**pseudo: bytes | None) -> list[Field]:
    """``GET`` with pseudo-fields replaced or taken out."""
    values = {name[1:].decode(): value for name, value in GET}
    return [(b":" + name.encode(), value) for name, value in {**values, **pseudo}.items() if value is not None]


def test_what_is_passed_on() -> None:
    """Foreign fields go on in order; the trace, our own and gRPC's deadline are taken out and read."""
    head = read_request(
        [
            *CALL,
            (b"x-a", b"1"),
            (b"traceparent", b"00-aa-bb-01"),
            (b"tracestate", b"a=1"),
            (b"x-meshwise-source", b"evil"),
            (b"x-meshwise-deadline", b"900"),
            (b"x-meshwise-attempt", b"2"),
            (b"x_meshwise_source", b"worse"),
            (b"x-meshwise_attempt", b"3"),
            (b"grpc-timeout", b"1S"),
            (b"x-a", b"2"),
        ]
    )
    assert head.grpc
    assert [name for name, _ in head.fields] == [
        b":method", b":scheme", b":path", b":authority", b"content-type", b"te", b"x-a", b"x-a",
    ]  # fmt: skip
    assert (head.traceparent, head.tracestate) == (b"00-aa-bb-01", b"a=1")
    assert (head.source, head.deadline, head.attempt) == (b"evil", b"900", b"2")


def test_grpc_timeout_shortens_the_deadline() -> None:
    """The shorter of the two deadlines governs; without gRPC the field means nothing."""
    assert read_request([*CALL, (b"grpc-timeout", b"250m")]).deadline == b"250"
    assert read_request([*CALL, (b"grpc-timeout", b"2S"), (b"x-meshwise-deadline", b"900")]).deadline == b"900"
    assert read_request([*CALL, (b"grpc-timeout", b"2S"), (b"x-meshwise-deadline", b"x")]).deadline == b"2000"
    assert read_request([*GET, (b"grpc-timeout", b"250m")]).deadline == b""


@pytest.mark.parametrize("extra", [[(b"grpc-timeout", b"x")], [(b"grpc-timeout", b"1S"), (b"grpc-timeout", b"1S")]])
def test_malformed_grpc_timeout_is_refused(extra: list[Field]) -> None:
    """A deadline nobody can read is an error of the caller's, not no deadline."""
    with pytest.raises(BadRequest):
        read_request([*CALL, *extra])


def test_authority_is_host() -> None:
    """Host alone names the service too; both may be given when they agree."""
    assert read_request([*changed(authority=None), (b"host", b"catalog")]).authority == b"catalog"
    assert read_request([*GET, (b"host", b"catalog:80")]).authority == b"catalog:80"
    assert read_request(GET).target == b"/items?q=1"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(changed(path=b"/a b"), id="blank in path"),
        pytest.param(changed(path=b"/a\r\nx: y"), id="CRLF in path"),
        pytest.param(changed(path=b""), id="empty path"),
        pytest.param(changed(path=b"items"), id="path without slash"),
        pytest.param(changed(path=b"/a#b"), id="fragment"),
        pytest.param(changed(path=b"*"), id="star for GET"),
        pytest.param(changed(path=None), id="no path"),
        pytest.param(changed(method=b"GET / HTTP/1.1"), id="blank in method"),
        pytest.param(changed(method=None), id="no method"),
        pytest.param(changed(scheme=b"ht tp"), id="scheme"),
        pytest.param(changed(scheme=None), id="no scheme"),
        pytest.param([*GET, (b":path", b"/b")], id="two paths"),
        pytest.param([*GET, (b"x", b"y"), (b":authority", b"b")], id="pseudo after ordinary"),
        pytest.param([*changed(authority=None), (b"x", b"y"), (b":authority", b"b")], id="late authority"),
        pytest.param([*GET, (b":protocol", b"websocket")], id="protocol of a GET"),
        pytest.param([*GET, (b":status", b"200")], id="status in a request"),
        pytest.param([*GET, (b"host", b"other")], id="host differs"),
        pytest.param([*changed(authority=None), (b"host", b"a"), (b"host", b"b")], id="two hosts"),
        pytest.param([*GET, (b"transfer-encoding", b"chunked")], id="transfer-encoding"),
        pytest.param([*GET, (b"connection", b"close")], id="connection"),
        pytest.param([*GET, (b"upgrade", b"h2c")], id="upgrade"),
        pytest.param([*GET, (b"te", b"gzip")], id="te"),
        pytest.param([*GET, (b"X-A", b"b")], id="upper case"),
        pytest.param([*GET, (b"", b"b")], id="empty name"),
        pytest.param([*GET, (b"x:a", b"b")], id="colon in name"),
        pytest.param([*GET, (b"x-a", b"b\r\nc: d")], id="CRLF in value"),
        pytest.param([*GET, (b"x-a", b"b\0c")], id="NUL in value"),
        pytest.param([*GET, (b"x\0a", b"b")], id="NUL in name"),
        pytest.param([*GET, (b"x", b"\0"), (b"", b"y")], id="NULs that add up"),
        pytest.param([*GET, (b"x-a", b" b")], id="leading blank"),
        pytest.param([*GET, (b"x-a", b"b\t")], id="trailing tab"),
        pytest.param([*GET, (b"content-length", b"5"), (b"content-length", b"5")], id="two lengths"),
        pytest.param([*GET, (b"content-length", b"+0")], id="signed length"),
        pytest.param([*GET, (b"content-length", b"05")], id="leading zero"),
    ],
)
def test_malformed_requests_reset_their_stream(fields: list[Field]) -> None:
    """Whatever has not exactly one reading is no request."""
    with pytest.raises(StreamFault):
        read_request(fields)


@pytest.mark.parametrize("authority", [b"", b"u@a", b"a/b", b"a, b", b"a:99999", b"a:b", b"x" * 300, None])
def test_malformed_authority_is_refused(authority: bytes | None) -> None:
    """The authority has to be a host, with a port at most."""
    with pytest.raises(BadRequest):
        read_request(changed(authority=authority))


def test_tunnels_expectations_and_nul_are_refused() -> None:
    """What is not spoken here is answered with a status of its own."""
    with pytest.raises(NotSupported):
        read_request([(b":method", b"CONNECT"), (b":authority", b"a:1")])
    with pytest.raises(ExtendedConnect):
        read_request([*changed(method=b"CONNECT"), (b":protocol", b"websocket")])
    with pytest.raises(ExpectationUnknown):
        read_request([*GET, (b"expect", b"x")])
    with pytest.raises(BadRequest):
        read_request(changed(path=b"/%00"))


def test_answers() -> None:
    """Status and fields are passed on; a proxy's reason is taken out and kept."""
    answer = read_answer([(b":status", b"503"), (b"x-meshwise-error", b"connect"), (b"content-length", b"2")])
    assert (answer.status, answer.error, answer.declared) == (503, b"connect", 2)
    assert answer.fields == ((b":status", b"503"), (b"content-length", b"2"))
    assert read_answer([(b":status", b"200"), (b"grpc-status", b"5")]).grpc_status == 5


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b":status", b"99")],
        [(b":status", b"600")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b":status", b"200")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"200"), (b"content-length", b"x")],
        [(b":status", b"200"), (b"x", b"a\nb")],
    ],
)
def test_malformed_answers(fields: list[Field]) -> None:
    """What has not one reading as an answer is none."""
    with pytest.raises(BadAnswer):
        read_answer(fields)


def test_trailers() -> None:
    """Trailers are passed on but for what frames, routes or authorises, and what is ours."""
    fields = [(b"grpc-status", b"0"), (b"content-length", b"3"), (b"x-meshwise-error", b"x"), (b"x-a", b"b")]
    assert read_trailers(fields) == ((b"grpc-status", b"0"), (b"x-a", b"b"))
    with pytest.raises(StreamFault):
        read_trailers([(b":status", b"200")])
    with pytest.raises(StreamFault):
        read_trailers([(b"connection", b"close")])
