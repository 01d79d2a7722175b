"""Tokens and client certificates at both doors of a real collector, down to what a real store then holds."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from clickhouse_connect.driver.client import Client

from meshwise.collector.signals import DOORS, Signal
from meshwise.store.client import connect
from support.collector import Collector, running_collector
from support.identity import Pki, lenient
from support.otlp import sums, traces
from support.processes import free_port
from support.store import Store, running_store

A, B, MESH = "token-of-tenant-a-0123", "token-of-tenant-b-4567", "token-of-the-mesh-89ab"
TENANTS = [{"name": "a", "token": A}, {"name": "b", "token": B, "attributes": {"deployment.environment.name": "test"}}]
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    with connect(store.url) as one:
        yield one


def post(url: str, body: bytes, headers: dict[str, str], context: ssl.SSLContext | None = None) -> int:
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def export(channel: grpc.Channel, body: bytes, token: str = "") -> grpc.StatusCode:
    call = channel.unary_unary(DOORS[Signal.TRACES].grpc_method, bytes, bytes)
    try:
        call(body, timeout=10.0, metadata=(("authorization", f"Bearer {token}"),) if token else ())
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_a_tenant_cannot_speak_for_another(store: Store, client: Client) -> None:
    """Whatever a request claims, over HTTP, JSON and gRPC, the store holds it under the tenant of its token."""
    with running_collector(store.url, tenants=TENANTS, token=MESH) as collector:
        claim = traces([1], service="one")
        claim.resource_spans[0].resource.attributes.add(key="meshwise.tenant").value.string_value = "b"
        assert post(f"{collector.url}/v1/traces", claim.SerializeToString(), PROTOBUF) == 401
        authorized = {**PROTOBUF, "authorization": f"Bearer {A}"}
        assert post(f"{collector.url}/v1/traces", claim.SerializeToString(), authorized) == 200
        document = {
            "resourceSpans": [
                {
                    "resource": {"attributes": [{"key": "meshwise.tenant", "value": {"stringValue": "a"}}]},
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "traceId": "02" * 16,
                                    "spanId": "02" * 8,
                                    "name": "json",
                                    "startTimeUnixNano": str(time.time_ns()),
                                    "endTimeUnixNano": str(time.time_ns() + 1),
                                }
                            ]
                        }
                    ],
                }
            ]
        }
        headers = {"content-type": "application/json", "authorization": f"Bearer {B}"}
        assert post(f"{collector.url}/v1/traces", json.dumps(document).encode(), headers) == 200
        with grpc.insecure_channel(collector.grpc_address) as channel:
            assert export(channel, claim.SerializeToString()) is grpc.StatusCode.UNAUTHENTICATED
            assert export(channel, claim.SerializeToString(), A) is grpc.StatusCode.OK
            assert export(channel, traces([9], service="mesh").SerializeToString(), MESH) is grpc.StatusCode.OK
        forged = sums([1], service="one", name="meshwise.requests")
        forged.resource_metrics[0].scope_metrics[0].scope.name = "meshwise.proxy"
        assert post(f"{collector.url}/v1/metrics", forged.SerializeToString(), authorized) == 200
        mesh = {"authorization": f"Bearer {MESH}"}
        for page, headers, status in (("metrics", authorized, 401), ("metrics", mesh, 200), ("livez", {}, 200)):
            request = urllib.request.Request(f"{collector.url}/{page}", headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    found = answer.status
            except urllib.error.HTTPError as error:
                with error:
                    found = error.code
            assert found == status, (page, headers)
    rows = client.query(
        "SELECT ResourceAttributes['meshwise.tenant'], ResourceAttributes['deployment.environment.name'], count() "
        "FROM otel_traces GROUP BY ALL ORDER BY ALL"
    ).result_rows
    assert rows == [("", "", 1), ("a", "", 2), ("b", "test", 1)]
    assert client.command("SELECT count() FROM otel_metrics_sum") == 0


def details_of(error: Any) -> Any:
    return [(key, value) for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]


def test_a_tenant_beyond_its_rate_waits_alone() -> None:
    """429 with Retry-After, RESOURCE_EXHAUSTED with RetryInfo, counted under its name; another tenant is taken."""
    limits: dict[str, Any] = {"tenant_requests_per_s": 0.05, "tenant_burst_s": 40.0}
    body = traces([1]).SerializeToString()
    with running_collector(
        f"http://127.0.0.1:{free_port()}/meshwise", tenants=TENANTS, token=MESH, drain_s=0, **limits
    ) as collector:
        url, a, b = f"{collector.url}/v1/traces", {"authorization": f"Bearer {A}"}, {"authorization": f"Bearer {B}"}
        assert [post(url, body, {**PROTOBUF, **a}) for _ in range(3)] == [200, 200, 429]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, body, {**PROTOBUF, **a}), timeout=10)
        with refused.value as answer:
            assert 15 <= int(answer.headers["retry-after"]) <= 20
        with grpc.insecure_channel(collector.grpc_address) as channel:
            call = channel.unary_unary(DOORS[Signal.TRACES].grpc_method, bytes, bytes)
            with pytest.raises(grpc.RpcError) as error:
                call(body, timeout=10.0, metadata=(("authorization", f"Bearer {A}"),))
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert any(b"google.rpc.RetryInfo" in value for _, value in details_of(error.value))
        assert post(url, body, {**PROTOBUF, **b}) == 200
        page = urllib.request.Request(f"{collector.url}/status", headers={"authorization": f"Bearer {MESH}"})
        with urllib.request.urlopen(page, timeout=10) as answer:
            tenants = json.load(answer)["tenants"]
    assert tenants == {
        "a": {"accepted": 2, "rejected": 0, "refused": 3},
        "b": {"accepted": 1, "rejected": 0, "refused": 0},
    }


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def secure(pki: Pki) -> Iterator[Collector]:
    """A collector that takes client certificates of the authority alone; its own names the host ``catalog``."""
    server = pki.forged()
    authority = pki.directory / "authority.pem"
    authority.write_text(pki.authority.bundle)
    files: dict[str, Any] = {"tls_cert": str(server), "tls_key": str(server), "tls_client_ca": str(authority)}
    with running_collector(
        f"http://127.0.0.1:{free_port()}/meshwise", scheme="https", allowed_hosts=["catalog"], drain_s=0, **files
    ) as running:
        yield running


def test_tls_and_a_token_are_enough_at_both_doors(pki: Pki) -> None:
    """Without an authority for clients nobody is asked for a certificate, and the token decides."""
    server = str(pki.forged())
    files: dict[str, Any] = {"tls_cert": server, "tls_key": server, "token": MESH, "drain_s": 0}
    body = traces([1]).SerializeToString()
    names = (("grpc.ssl_target_name_override", "catalog"),)
    credentials = grpc.ssl_channel_credentials(pki.authority.bundle.encode())
    with running_collector(f"http://127.0.0.1:{free_port()}/meshwise", scheme="https", **files) as collector:
        url = f"https://127.0.0.1:{collector.http_port}/v1/traces"
        assert post(url, body, PROTOBUF, lenient(None)) == 401
        assert post(url, body, {**PROTOBUF, "authorization": f"Bearer {MESH}"}, lenient(None)) == 200
        with grpc.secure_channel(collector.grpc_address, credentials, names) as channel:
            assert export(channel, body) is grpc.StatusCode.UNAUTHENTICATED
            assert export(channel, body, MESH) is grpc.StatusCode.OK
        with grpc.insecure_channel(collector.grpc_address) as channel:
            assert export(channel, body, MESH) is grpc.StatusCode.UNAVAILABLE


def test_http_asks_for_a_certificate_of_the_mesh(secure: Collector, pki: Pki, tmp_path: Path) -> None:
    """Probes need none; telemetry needs one, and a service's speaks for that service alone."""
    url = f"https://127.0.0.1:{secure.http_port}"
    with urllib.request.urlopen(f"{url}/livez", timeout=10, context=lenient(None)) as answer:
        assert answer.status == 200
    cart = traces([1, 2], service="cart").SerializeToString()
    assert post(f"{url}/v1/traces", cart, PROTOBUF, lenient(None)) == 401
    assert post(f"{url}/v1/traces", cart, PROTOBUF, pki.client(pki.identity("cart"))) == 200
    other = Pki(tmp_path)
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        post(f"{url}/v1/traces", cart, PROTOBUF, other.client(other.identity("cart")))
    request = urllib.request.Request(
        f"{url}/v1/traces", traces([3], service="bank").SerializeToString(), {**PROTOBUF, "accept": "*/*"}
    )
    with urllib.request.urlopen(request, timeout=10, context=pki.client(pki.identity("cart"))) as answer:
        assert b"may speak for" in answer.read()


def test_grpc_asks_for_a_certificate_of_the_mesh(secure: Collector, pki: Pki) -> None:
    """Without one there is no connection; with one, a service speaks for itself."""
    names = (("grpc.ssl_target_name_override", "catalog"),)
    authority = pki.authority.bundle.encode()
    body = traces([1], service="cart").SerializeToString()
    with grpc.secure_channel(secure.grpc_address, grpc.ssl_channel_credentials(authority), names) as channel:
        assert export(channel, body) is grpc.StatusCode.UNAVAILABLE
    pair = pki.file(pki.identity("cart")).read_bytes()
    credentials = grpc.ssl_channel_credentials(authority, pair, pair)
    with grpc.secure_channel(secure.grpc_address, credentials, names) as channel:
        assert export(channel, body) is grpc.StatusCode.OK
