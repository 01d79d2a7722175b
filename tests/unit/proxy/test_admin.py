import asyncio
import json
from typing import Any

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.admin import MAX_CONNECTIONS, AdminPages, AdminServer
from meshwise.proxy.net.http_client import HttpClient
from meshwise.proxy.telemetry.recorder import RingRecorder
from support.proxy_records import attempt, request


class View:
    """A proxy's state, fixed."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.drained = 0

    def ready(self) -> list[str]:
        """Say what is missing."""
        return self.reasons

    def config_dump(self) -> dict[str, Any]:
        """Show something JSON has no form for, too."""
        return {"snapshot": {"version": 4}, "path": object}

    def clusters(self) -> dict[str, Any]:
        """Show one endpoint."""
        return {"catalog": {"endpoints": [{"id": "catalog-1", "ejected": True, "reason": "5 failures"}]}}

    def stats(self) -> dict[str, Any]:
        """Show nested numbers."""
        return {"snapshot_version": 4, "pool": {"idle-connections": 2, "ratio": 0.5, "name": "x"}}

    def drain(self) -> None:
        """Remember."""
        self.drained += 1


def test_readiness_says_why_not() -> None:
    """Not ready is 503 with the reasons under ?verbose; ready is 200."""
    view = View()
    pages = AdminPages(view)
    assert (pages.reply("GET", "/readyz").status, pages.reply("GET", "/livez").body) == (200, b"ok\n")
    view.reasons = ["no snapshot yet"]
    assert pages.reply("GET", "/readyz").status == 503
    assert b"no snapshot yet" not in pages.reply("GET", "/readyz").body
    assert b"[-] no snapshot yet" in pages.reply("GET", "/readyz?verbose").body
    assert pages.reply("GET", "/livez").status == 200


def test_unknown_pages_and_methods_are_explained() -> None:
    """404 lists the pages, 405 names the method in Allow."""
    pages = AdminPages(View())
    missing = pages.reply("GET", "/nothing")
    assert missing.status == 404
    for name in ("/livez", "/readyz", "/metrics", "/config_dump", "/clusters", "/stats", "POST /drain"):
        assert name.encode() in missing.body
    assert (pages.reply("GET", "/drain").status, pages.reply("GET", "/drain").allow) == (405, "POST")
    assert (pages.reply("POST", "/stats").status, pages.reply("PUT", "/livez").allow) == (405, "GET, HEAD")


def test_drain_is_for_operators_not_for_web_pages() -> None:
    """POST /drain drains; the same from a page in a browser does not."""
    view = View()
    pages = AdminPages(view)
    assert pages.reply("POST", "/drain", from_page=True).status == 403
    assert view.drained == 0
    assert pages.reply("POST", "/drain").status == 202
    assert view.drained == 1


def test_a_page_that_fails_is_503() -> None:
    """A defect in a view never takes the listener down."""
    view = View()
    view.stats = lambda: 1 / 0  # type: ignore[assignment, return-value]
    assert AdminPages(view).reply("GET", "/stats").status == 503


def test_metrics_text_holds_the_recorder_the_stats_and_the_process() -> None:
    """Prometheus's own parser reads the page and finds the counts."""
    parser = pytest.importorskip("prometheus_client.parser")
    recorder = RingRecorder("frontend")
    recorder.attempt(attempt(ordinal=2, retry_denied="budget", destination='a"\\\nb'))
    recorder.request(request(outcome="timeout"))
    recorder.active("client", "cart", 3)
    recorder.ejected("cart", "cart-1")
    recorder.lose("traces", 4)
    reply = AdminPages(View(), recorder).reply("GET", "/metrics")
    assert reply.content_type.startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
    side = (("destination", "catalog"), ("outcome", "timeout"), ("side", "server"))
    assert samples["meshwise_requests_total", side] == 1
    assert samples["meshwise_request_seconds_total", side] == 0.005
    assert samples["meshwise_attempts_total", (("destination", 'a"\\\nb'), ("outcome", "ok"))] == 1
    assert samples["meshwise_retries_total", (("destination", 'a"\\\nb'),)] == 1
    assert samples["meshwise_retries_denied_total", (("destination", 'a"\\\nb'), ("reason", "budget"))] == 1
    assert samples["meshwise_outlier_ejections_total", (("destination", "cart"),)] == 1
    assert samples["meshwise_requests_active", (("destination", "cart"), ("side", "client"))] == 3
    assert samples["meshwise_telemetry_dropped_total", (("signal", "traces"),)] == 4
    assert samples["meshwise_telemetry_ring_records", (("signal", "traces"),)] == 2
    assert samples["meshwise_proxy_snapshot_version", ()] == 4
    assert samples["meshwise_proxy_pool_idle_connections", ()] == 2
    assert samples["process_resident_memory_bytes", ()] > 1_000_000
    assert samples["process_open_fds", ()] > 0


async def test_the_pages_over_a_socket() -> None:
    """Real requests on one kept connection get their pages; HEAD gets no body; JSON is JSON."""
    server = AdminServer("127.0.0.1", 0, View())
    client = HttpClient(f"http://127.0.0.1:{await server.start()}")
    try:
        assert (await client.request("GET", "/livez")).body == b"ok\n"
        clusters = await client.request("GET", "/clusters")
        assert clusters.headers["content-type"] == "application/json"
        assert json.loads(clusters.body)["catalog"]["endpoints"][0]["reason"] == "5 failures"
        assert json.loads((await client.request("GET", "/config_dump")).body)["snapshot"]["version"] == 4
        assert (await client.request("POST", "/drain", headers={"origin": "http://evil"})).status == 403
        assert (await client.request("POST", "/drain")).status == 202
        assert (await client.request("DELETE", "/drain")).headers["allow"] == "POST"
        assert (await client.request("GET", "/metrics")).status == 200
    finally:
        await client.close()
        await server.stop()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nx: " + b"x" * 100_000, b"431"),
        (b"POST /drain HTTP/1.1\r\ncontent-length: 900000\r\n\r\n" + b"x" * 80_000, b"413"),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", b"200"),
        (b"GET /livez HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"200"),
    ],
)
async def test_odd_requests_are_answered_and_closed(sent: bytes, status: bytes) -> None:
    """What is no plain request gets one answer and the end of the connection."""
    server = AdminServer("127.0.0.1", 0, View())
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await server.stop()
    assert answer.split(b" ")[1] == status
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not (sent.startswith(b"HEAD") and answer.endswith(b"ok\n"))


async def test_connections_are_bounded() -> None:
    """One connection too many is told so; the others keep working."""
    server = AdminServer("127.0.0.1", 0, View())
    port = await server.start()
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert b"503" in await asyncio.wait_for(reader.read(), 5)
        writer.close()
        reader, writer = held[0]
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 5)
    finally:
        for _, writer in held:
            writer.close()
        await server.stop()


async def test_a_taken_port_is_one_clear_error() -> None:
    """The second listener on a port is refused with the remedy."""
    server = AdminServer("127.0.0.1", 0, View())
    port = await server.start()
    try:
        with pytest.raises(ConfigError, match="in use"):
            await AdminServer("127.0.0.1", port, View()).start()
    finally:
        await server.stop()
