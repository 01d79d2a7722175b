from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store.serving import CERTIFICATE, Access, Door, host_name, is_loopback

HERE = Door("control", "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)]
)
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    """Names are not looked up."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("host", "name"), [("LocalHost:80", "localhost"), ("[::1]:80", "[::1]"), ("[::1", ""), ("", ""), ("a.b", "a.b")]
)
def test_the_name_of_a_host_header_comes_without_its_port(host: str, name: str) -> None:
    """Lower case, an IPv6 address with its brackets, nothing when it is broken."""
    assert host_name(host) == name


def test_a_server_that_others_reach_needs_tls_and_a_token(tmp_path: Path) -> None:
    """Without either it refuses to start and names the settings; half of a TLS pair is refused anywhere."""
    pem = tmp_path / "x.pem"
    pem.write_text("")
    for door in (
        Door("control", "0.0.0.0", 0),
        Door("control", "0.0.0.0", 0, token="t"),
        Door("control", "0.0.0.0", 0, tls_cert=pem, tls_key=pem),
        Door("control", "127.0.0.1", 0, tls_cert=pem),
        Door("control", "0.0.0.0", 0, token="t", tls_cert=pem, tls_key=pem),
    ):
        with pytest.raises(ConfigError, match=r"control\.tls_"):
            door.check()
    HERE.check()


def test_a_taken_port_is_one_line_with_the_remedy() -> None:
    """The room, the address and the setting to change are named."""
    with HERE.listen() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"control cannot listen on 127\.0\.0\.1:{port} .*set control\.port"):
            Door("control", "127.0.0.1", port).listen()


def test_port_zero_takes_a_free_one() -> None:
    """The socket listens on a port of the system's choice."""
    with HERE.listen() as listener:
        assert listener.family == socket.AF_INET
        assert listener.proto == socket.IPPROTO_TCP  # without it every answer waits 40 ms
        assert listener.getsockname()[1] > 0


def _status(door: Door, path: str = "/v1/x", *, certificate: object = None, **headers: str) -> int:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {}

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": raw, CERTIFICATE: certificate}
    asyncio.run(Access(app, door)(scope, receive, send))
    return int(sent[0]["status"])


def test_a_foreign_host_is_refused_on_loopback_only() -> None:
    """A name rebound to this machine is refused; names in allowed_hosts pass; off loopback the token guards."""
    assert _status(HERE, host="127.0.0.1:80") == _status(HERE, host="localhost") == 200
    assert _status(HERE, host="evil.test") == _status(HERE) == 400
    assert _status(Door("c", "127.0.0.1", 0, allowed_hosts=("Mesh.test",)), host="mesh.test") == 200
    assert _status(Door("c", "0.0.0.0", 0, token="t"), host="x", authorization="Bearer t") == 200


def test_a_page_of_another_site_is_refused() -> None:
    """An Origin must be the server's own address."""
    assert _status(HERE, host="localhost:80", origin="http://localhost:80") == 200
    assert _status(HERE, host="localhost:80", origin="http://evil.test") == 403
    assert _status(HERE, host="localhost:80", origin="null") == 403


def test_the_token_is_asked_of_everything_but_probes() -> None:
    """Missing and wrong tokens are 401, probes answer without."""
    door = Door("c", "127.0.0.1", 0, token="secret")
    assert _status(door, host="localhost", authorization="Bearer secret") == 200
    assert _status(door, host="localhost") == _status(door, host="localhost", authorization="Bearer wrong") == 401
    assert _status(door, host="localhost", authorization="Bearer \xff") == 401
    assert _status(door, path="/livez", host="localhost") == 200


def test_a_client_certificate_lets_in_as_the_token_does(tmp_path: Path) -> None:
    """Either is enough, a wrong token is refused with one; an authority that cannot be used is refused at the start."""
    door = Door("c", "0.0.0.0", 0, tls_client_ca=tmp_path / "ca.pem")
    person = {"subjectAltName": (("DNS", "desk"),)}
    assert _status(door, host="x", certificate=person) == 200
    assert _status(door, host="x") == _status(door, host="x", certificate=person, authorization="Bearer no") == 401
    with pytest.raises(ConfigError, match=r"c\.tls_client_ca needs TLS"):
        Door("c", "127.0.0.1", 0, tls_client_ca=tmp_path / "ca.pem").check()


def test_what_is_for_proxies_opens_nothing_else() -> None:
    """The limited token and a certificate that names a service pass below the limited paths; open paths ask nothing."""
    door = Door(
        "c", "0.0.0.0", 0, token="all", limited_token="some", limited_paths=("/v1/proxies",), open_paths=("/v1/join",)
    )
    service = {"subjectAltName": (("URI", "spiffe://mesh.local/cart"),)}
    for known in ({"authorization": "Bearer some"}, {"certificate": service}):
        assert _status(door, "/v1/proxies/a/acks", host="x", **known) == _status(door, "/v1/proxies", host="x", **known)
        assert _status(door, "/v1/proxies", host="x", **known) == 200
        assert (
            _status(door, "/v1/proxiesx", host="x", **known) == _status(door, "/v1/policies", host="x", **known) == 403
        )
    assert _status(door, "/v1/policies", host="x", authorization="Bearer all") == 200
    assert (_status(door, "/v1/join", host="x"), _status(door, "/v1/proxies", host="x")) == (200, 401)
