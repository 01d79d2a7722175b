"""Every message with two readings, sent to both doors of a real proxy: its answer, and that nothing was forwarded.

A class a test; each input goes over a connection of its own, with a second request right behind it.
"""

from typing import Any

import pytest

from meshwise.proxy.http2 import frames
from support.data_path import Upstream, client, inbound, outbound
from support.http2_peers import GET, raw_client

BEHIND = b"GET /admin HTTP/1.1\r\nHost: catalog\r\n\r\n"


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: catalog", body: bytes = b"") -> bytes:
    """A request with these fields."""
    return b"\r\n".join([line, *([host] if host else []), *fields]) + b"\r\n\r\n" + body


def post(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST with these fields."""
    return get(*fields, line=b"POST / HTTP/1.1", body=body)


def chunked(body: bytes) -> bytes:
    """A POST with this body in chunks."""
    return post(b"Transfer-Encoding: chunked", body=body)


CLASSES: dict[str, list[tuple[bytes, int]]] = {
    "length and chunks together": [
        (post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"), 400),
        (
            post(
                b"Transfer-Encoding: chunked",
                b"Content-Length: 4",
                body=b"1e\r\nGET /admin HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
            ),
            400,
        ),
    ],
    "odd codings": [
        (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=b"0\r\n\r\n"), 400),
        *(
            (post(field, body=b"0\r\n\r\n"), 400)
            for field in (
                b"Transfer-Encoding: xchunked",
                b"Transfer-Encoding: chunked, identity",
                b"Transfer-Encoding: chunked, chunked",
                b"Transfer-Encoding:",
                b"Transfer-Encoding : chunked",
                b"Transfer-Encoding: \x0bchunked",
                b"Transfer-Encoding:\r\n chunked",
            )
        ),
        (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
        (get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0", body=b"0\r\n\r\n"), 400),
    ],
    "odd lengths": [
        (post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"), 400),
        (post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400),
        *(
            (post(b"Content-Length: " + value, body=b"hello"), 400)
            for value in (b"5, 5", b"+5", b"-1", b"0x5", b"1_0", b"", b"010", b"1" + b"0" * 20, "٥".encode(), b"5\x0b")
        ),
    ],
    "odd chunks": [
        (chunked(body), 400)
        for body in (
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0_5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5;a=\n\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"FFFFFFFFFFFFFFFF\r\nhello",
            b"0" * 17 + b"5\r\nhello\r\n0\r\n\r\n",
            b"0" * 1000 + b"5\r\nhello\r\n0\r\n\r\n",
            b"5;" + b"x" * 1_000_000,
        )
    ],
    "line ends, folding, control bytes": [
        (b"GET / HTTP/1.1\nHost: catalog\n\n", 400),
        *(
            (get(field), 400)
            for field in (
                b"X: a\r\n b",
                b"X: a\rTE: chunked",
                b"X: a\0",
                b"X: a\x01",
                b": a",
                b"nocolon",
                "Ü: a".encode(),
                b"X : a",
            )
        ),
        (get(host=b" Host: catalog"), 400),
    ],
    "start lines": [
        *(
            (get(line=line), 400)
            for line in (
                b"GET  / HTTP/1.1",
                b"GET\t/ HTTP/1.1",
                b"GET /",
                b"GET / HTTP/1.1 ",
                b"GET / http/1.1",
                b" GET / HTTP/1.1",
            )
        ),
        (get(line=b"GET / HTTP/2.0"), 505),
        (get(line=b"GET / HTTP/1.2"), 505),
        (b"\r\n\r\n" + get(), 400),
    ],
    "hosts": [
        (get(host=b""), 400),
        (get(b"Host: catalog"), 400),
        *(
            (get(host=b"Host: " + value), 400)
            for value in (b"", b"u@a", b"a/b", b"a, b", b"a:x", b"a:99999", b"a:", b"x" * 300, b"[::1", b"a\xff")
        ),
    ],
    "targets": [
        (get(line=b"GET " + target + b" HTTP/1.1"), 400)
        for target in (
            b"*",
            b"/a#b",
            b"/a\\b",
            b"/%00",
            b"/\x80",
            b"a/b",
            b"https://catalog/",
            b"http://u@catalog/",
            b"http:///x",
        )
    ],
    "expectations": [(post(b"Expect: x", b"Content-Length: 0"), 417)],
    "upgrades": [(get(b"Upgrade: tls/1.0", b"Connection: upgrade"), 501)],
    "floods": [
        (get(*[b"X: y"] * 101), 431),
        (get(b"X: " + b"a" * 66_560), 431),
        (get(*[b"X: " + b"a" * 10] * 10_000), 431),
        (get(*[b"baggage: a=b"] * 1000), 431),
        (get(line=b"GET /" + b"a" * 65_536 + b" HTTP/1.1"), 414),
    ],
    "trailers": [
        (chunked(b"3\r\nabc\r\n0\r\nX : y\r\n\r\n"), 400),
        (chunked(b"3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n"), 400),
        (chunked(b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 21 + b"\r\n"), 400),
    ],
}


@pytest.mark.parametrize("side", ["outbound", "inbound"])
@pytest.mark.parametrize("name", CLASSES)
async def test_refused_closed_and_never_forwarded(name: str, side: str) -> None:
    """The stated answer, then the end; no complete request reaches the other side, least of all the one behind."""
    async with Upstream() as app:
        around = outbound({"catalog": [app]}) if side == "outbound" else inbound(app.port)
        async with around as mesh:
            for wire, status in CLASSES[name]:
                async with client(mesh.port) as one:
                    await one.send(wire + BEHIND)
                    received = await one.reader.read()
                assert received.startswith(b"HTTP/1.1 %d " % status), (wire[:200], received[:200])
                assert received.count(b"\r\ncontent-length: ") == 1, wire[:200]
                assert b"\r\nconnection: close\r\n" in received, wire[:200]
            assert not any(arrival.line.startswith("GET /admin") for arrival in app.arrivals)
            assert not any(record.outcome == "ok" for record in mesh.recorder.requests)


@pytest.mark.parametrize("side", ["outbound", "inbound"])
async def test_read_in_one_way_and_forwarded_in_one_form(side: str) -> None:
    """What is odd but has one reading arrives in the proxy's own form: no extension, one length, no folding."""
    wires = [
        (chunked(b"3;a=b\r\nabc\r\n0\r\n\r\n"), b"abc"),
        (post(b"Transfer-Encoding: Chunked", body=b"03\r\nabc\r\n0\r\n\r\n"), b"abc"),
        (post(b"Content-Length: 3 ", body=b"abc"), b"abc"),
        (get(line=b"POST http://catalog/x HTTP/1.1", host=b"Host: elsewhere"), b""),
        (b"\r\n" + get(), b""),
        (get(b"Upgrade: h2c", b"HTTP2-Settings: AAMA", b"Connection: Upgrade, HTTP2-Settings"), b""),
    ]
    async with Upstream() as app:
        around = outbound({"catalog": [app]}) if side == "outbound" else inbound(app.port)
        async with around as mesh:
            for wire, body in wires:
                async with client(mesh.port) as one:
                    await one.send(wire)
                    assert (await one.answer()).status == 200, wire
                arrival = app.arrivals[-1]
                assert arrival.body == body
                assert arrival.headers["host"] == "catalog"
                assert not {"upgrade", "http2-settings", "te", "keep-alive"} & arrival.headers.keys()
                assert ("transfer-encoding" in arrival.headers) + ("content-length" in arrival.headers) <= 1


@pytest.mark.parametrize("side", ["outbound", "inbound"])
@pytest.mark.parametrize("strict", [True, False])
async def test_paths_with_two_readings_are_refused_when_asked(side: str, strict: bool) -> None:
    """Forwarded byte for byte unless ``refuse_odd_paths`` is on: then 400 and counted, over HTTP/2 too."""
    paths = (b"/a/../b", b"/a/%2E%2e/b", b"/a/.", b"//a", b"/a%2Fb", b"/a%5cb", b"/a;b")
    async with Upstream() as app:
        settings: dict[str, Any] = {"refuse_odd_paths": strict}
        around = outbound({"catalog": [app]}, **settings) if side == "outbound" else inbound(app.port, **settings)
        async with around as mesh:
            for path in paths:
                assert (await mesh.request("GET", "catalog", path.decode())).status == (400 if strict else 200)
            assert (await mesh.request("GET", "catalog", "/a/.b/..c?/../")).status == 200
            expected = [] if strict else [path.decode() for path in paths]
            assert [arrival.line.split()[1] for arrival in app.arrivals] == [*expected, "/a/.b/..c?/../"]
            if strict:
                async with raw_client(mesh.port) as peer:
                    await peer.send(peer.head(1, (GET[0], GET[1], (b":path", b"/a/../b"), GET[3])))
                    fields = peer.fields(await peer.until(lambda frame: frame.kind == frames.HEADERS))
                assert (fields[b":status"], fields[b"x-meshwise-error"]) == (b"400", b"ambiguous_path")
                side_of = mesh.proxy.sides[-1]
                assert side_of.counts["ambiguous_path"] == len(paths) + 1
