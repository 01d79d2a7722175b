"""Connections relayed as they are: plain TCP, TLS by the name its client gives, Unix sockets, IPv6."""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshwise.contracts.snapshot import Endpoint, Snapshot
from support.data_path import OK, Upstream, client, inbound, outbound, until


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak first, echo what comes, and end when the other side does."""
    writer.write(b"hello")
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def serve(path: str | None = None, tls: ssl.SSLContext | None = None) -> tuple[asyncio.Server, int]:
    """Serve ``greet``; return the server and its port."""
    if path is not None:
        return await asyncio.start_unix_server(greet, path), 0
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls)
    return server, server.sockets[0].getsockname()[1]


async def test_a_tcp_service_over_two_proxies() -> None:
    """A protocol in which the server speaks first passes both proxies, and is recorded on both sides."""
    server, port = await serve()
    async with (
        inbound(port, app_protocol="tcp") as near,
        outbound({"db": [near.port]}, tcp_services={"db": 0}) as far,
        client(far.proxy.tcp_ports["db"]) as one,
    ):
        assert await one.reader.readexactly(5) == b"hello"
        await one.send(b"\x00\x16\xff" * 50_000)
        assert await one.reader.readexactly(150_000) == b"\x00\x16\xff" * 50_000
        one.writer.write_eof()
        assert await one.reader.read() == b""
        await until(lambda: not far.proxy.stats()["outbound"]["tunnels"])
        await until(lambda: not near.proxy.stats()["inbound"]["tunnels"])
        assert far.outcomes() == near.outcomes() == ["ok"]
        assert far.recorder.attempts[0].endpoint == "db-0"
    server.close()


async def test_a_tcp_service_that_is_not_there_is_a_reset() -> None:
    """Without an endpoint, or without the service, the connection breaks off; no HTTP is said, and it is recorded."""
    async with Upstream() as gone:
        port = gone.port
    async with outbound({"db": [port]}, tcp_services={"db": 0, "other": 0}) as mesh:
        for service in ("db", "other"):
            async with client(mesh.proxy.tcp_ports[service]) as one:
                with contextlib.suppress(ConnectionResetError):
                    assert not await one.reader.read()
        assert mesh.outcomes() == ["connect"]
        assert mesh.proxy.stats()["outbound"]["events"]["no_route"] == 1


def contexts(name: str, directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server that proves to be ``name``, and a client that trusts it alone."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    pem += made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path = directory / f"{name}.pem"
    path.write_bytes(pem)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(path)
    client.load_verify_locations(path)
    return server, client


async def test_tls_is_relayed_by_the_name_its_client_gives(tmp_path: Path) -> None:
    """A TLS connection reaches the service it names, whole and unopened; another name, or none, breaks off."""
    server_side, client_side = contexts("catalog", tmp_path)
    server, port = await serve(tls=server_side)
    async with outbound({"catalog": [port]}) as mesh:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", mesh.port, ssl=client_side, server_hostname="catalog"
        )
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"x" * 100_000)
        assert await reader.readexactly(100_000) == b"x" * 100_000
        writer.close()
        for name in ("nobody", "127.0.0.1"):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await asyncio.open_connection("127.0.0.1", mesh.port, ssl=client_side, server_hostname=name)
        await until(lambda: not mesh.proxy.stats()["outbound"]["tunnels"])
        assert mesh.outcomes() == ["ok"]
        events = mesh.proxy.stats()["outbound"]["events"]
        assert (events["no_route"], events["tls_without_name"]) == (1, 1)
    server.close()


async def test_a_hello_that_stops_coming_times_out() -> None:
    """Half a ClientHello is not waited for longer than a request's head."""
    async with outbound({}, head_timeout_s=0.1) as mesh, client(mesh.port) as one:
        await one.send(b"\x16\x03\x01\x02\x00")
        with contextlib.suppress(ConnectionError):
            assert not await one.reader.read()
        assert mesh.proxy.stats()["outbound"]["events"]["slow_request"] == 1
        await until(lambda: not mesh.proxy.outbound.connections)


async def test_an_application_on_a_unix_socket(tmp_path: Path) -> None:
    """Requests reach an application that listens on a Unix socket, and are recorded as any other."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    path = tmp_path / "app.sock"
    async with inbound(None, app_socket=path) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 503
        server = await asyncio.start_unix_server(answer, path)
        assert (await mesh.request("GET", "catalog")).body == b"ok"
        assert mesh.outcomes() == ["connect", "ok"]
        server.close()


async def test_ipv6_on_both_sides() -> None:
    """The proxy listens on, and reaches, addresses of IPv6."""
    server = await asyncio.start_server(greet, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    async with outbound({}, host="::1", tcp_services={"db": 0}) as mesh:
        mesh.proxy.apply(Snapshot(2, "frontend", {"db": (Endpoint("db-0", "::1", port),)}, ()))
        reader, writer = await asyncio.open_connection("::1", mesh.proxy.tcp_ports["db"])
        assert await reader.readexactly(5) == b"hello"
        writer.close()
    server.close()
