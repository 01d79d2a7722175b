import asyncio
import json
from typing import Any

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.admin import MAX_CONNECTIONS, AdminPages, AdminServer, ProcessView
from meshwise.proxy.admin.tap import MAX_TAPS, Filter, Tap
from meshwise.proxy.net.http_client import HttpClient
from meshwise.proxy.telemetry.exposition import Family, process_families, recorder_families, stats_families
from meshwise.proxy.telemetry.recorder import RingRecorder
from support.data_path import until
from support.proxy_records import attempt, request


class View:
    """A proxy's state, fixed, with a real recorder behind its counters and its tap."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.drained = 0
        self.recorder = RingRecorder("frontend")
        self.inner = ProcessView(self, self.recorder, self.begin_drain)  # type: ignore[arg-type]
        self.tap = self.inner.tap
        self.levels = ["info"]

    async def ready(self) -> list[str]:
        """Say what is missing."""
        return self.reasons

    async def config_dump(self) -> dict[str, Any]:
        """Show something JSON has no form for, too."""
        return {"snapshot": {"version": 4}, "path": object}

    async def clusters(self) -> dict[str, Any]:
        """Show one endpoint."""
        return {
            "catalog": {
                "endpoints": [
                    {"id": "catalog-1", "ejected": True, "reason": "5 failures"},
                    {"id": "c2", "ejected": False},
                ]
            }
        }

    async def stats(self) -> dict[str, Any]:
        """Show nested numbers."""
        return {"snapshot_version": 4, "pool": {"idle-connections": 2, "ratio": 0.5, "name": "x"}}

    async def families(self) -> list[Family]:
        """The recorder's, the statistics', the process's."""
        return [*recorder_families(self.recorder), *stats_families(await self.stats()), *process_families()]

    def log_level(self) -> str:
        """The level set last."""
        return self.levels[-1]

    def set_log_level(self, level: str) -> None:
        """Remember."""
        self.levels.append(level)

    def drain(self) -> None:
        """Remember."""
        self.inner.drain()

    def begin_drain(self) -> None:
        """Remember."""
        self.drained += 1


async def test_readiness_says_why_not() -> None:
    """Not ready is 503 with the reasons under ?verbose; ready is 200."""
    view = View()
    pages = AdminPages(view)
    assert ((await pages.reply("GET", "/readyz")).status, (await pages.reply("GET", "/livez")).body) == (200, b"ok\n")
    view.reasons = ["no snapshot yet"]
    assert (await pages.reply("GET", "/readyz")).status == 503
    assert b"no snapshot yet" not in (await pages.reply("GET", "/readyz")).body
    assert b"[-] no snapshot yet" in (await pages.reply("GET", "/readyz?verbose")).body
    assert (await pages.reply("GET", "/livez")).status == 200


async def test_unknown_pages_and_methods_are_explained() -> None:
    """404 lists the pages, 405 names the method in Allow."""
    pages = AdminPages(View())
    missing = await pages.reply("GET", "/nothing")
    assert missing.status == 404
    for name in ("/livez", "/readyz", "/metrics", "/config_dump", "/clusters", "/stats", "POST /drain"):
        assert name.encode() in missing.body
    assert ((await pages.reply("GET", "/drain")).status, (await pages.reply("GET", "/drain")).allow) == (405, "POST")
    assert ((await pages.reply("POST", "/stats")).status, (await pages.reply("PUT", "/livez")).allow) == (
        405,
        "GET, HEAD",
    )


async def test_drain_is_for_operators_not_for_web_pages() -> None:
    """POST /drain drains; the same from a page in a browser does not."""
    view = View()
    pages = AdminPages(view)
    assert (await pages.reply("POST", "/drain", from_page=True)).status == 403
    assert view.drained == 0
    assert (await pages.reply("POST", "/drain")).status == 202
    assert view.drained == 1


async def test_a_page_that_fails_is_503() -> None:
    """A defect in a view never takes the listener down."""
    view = View()
    view.stats = lambda: 1 / 0  # type: ignore[assignment, return-value]
    assert (await AdminPages(view).reply("GET", "/stats")).status == 503


async def test_metrics_text_holds_the_recorder_the_stats_and_the_process() -> None:
    """Prometheus's own parser reads the page and finds the counts."""
    parser = pytest.importorskip("prometheus_client.parser")
    view = View()
    recorder = view.recorder
    recorder.attempt(attempt(ordinal=2, retry_denied="budget", destination='a"\\\nb'))
    recorder.request(request(outcome="timeout"))
    recorder.active("client", "cart", 3)
    recorder.ejected("cart", "cart-1")
    recorder.lose("traces", 4)
    reply = await AdminPages(view).reply("GET", "/metrics")
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


async def test_endpoints_are_one_flat_list() -> None:
    """Every endpoint with its cluster, narrowed to one cluster, or to those that rest, with the reason."""
    pages = AdminPages(View())
    everybody = json.loads((await pages.reply("GET", "/endpoints")).body)["endpoints"]
    assert [(one["cluster"], one["id"]) for one in everybody] == [("catalog", "catalog-1"), ("catalog", "c2")]
    resting = json.loads((await pages.reply("GET", "/endpoints?ejected")).body)["endpoints"]
    assert [(one["id"], one["reason"]) for one in resting] == [("catalog-1", "5 failures")]
    assert json.loads((await pages.reply("GET", "/endpoints?cluster=other")).body)["endpoints"] == []


async def test_counters_are_the_metrics_as_json() -> None:
    """Each metric by name, its labels and value in one object."""
    view = View()
    view.recorder.request(request(outcome="timeout"))
    counters = json.loads((await AdminPages(view).reply("GET", "/counters")).body)
    assert counters["meshwise_requests_total"] == [
        {"side": "server", "destination": "catalog", "outcome": "timeout", "value": 1}
    ]


async def test_the_log_level_is_read_and_set() -> None:
    """GET tells it, POST changes it, an unknown one is refused with the list."""
    view = View()
    pages = AdminPages(view)
    assert (await pages.reply("GET", "/log_level")).body == b"info\n"
    assert (await pages.reply("POST", "/log_level?level=debug")).body == b"debug\n"
    refused = await pages.reply("POST", "/log_level?level=loud")
    assert (refused.status, b"warning" in refused.body) == (400, True)
    assert (await pages.reply("POST", "/log_level?level=info", from_page=True)).status == 403
    assert view.levels == ["info", "debug"]


async def test_a_tap_shows_what_fits_and_says_how_many() -> None:
    """Filtered requests come line by line while they finish; the last line counts them; nothing is left open."""
    view = View()
    server = AdminServer("127.0.0.1", 0, view)
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /tap?outcome=timeout&path=/a&status=5xx&limit=2 HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"x-ndjson" in head
        await asyncio.sleep(0)
        for path, status, outcome in (
            ("/a/1", 504, "timeout"),
            ("/b", 504, "timeout"),
            ("/a/2", 200, "timeout"),
            ("/a/3", 504, "ok"),
            ("/a/4", 504, "timeout"),
            ("/a/5", 504, "timeout"),
        ):
            view.recorder.request(request(path=path, status=status, outcome=outcome))
        lines = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 5)).splitlines()]
        assert [line["path"] for line in lines[:-1]] == ["/a/1", "/a/4"]
        assert lines[0]["duration_ms"] == 5.0
        assert lines[-1] == {"seen": 3, "sent": 2, "dropped": 0}
    finally:
        writer.close()
        await server.stop()
    view.recorder.request(request())  # nobody looks on any more
    assert view.inner.taps._open == []


async def test_a_tap_ends_with_its_reader_and_its_time() -> None:
    """A reader that leaves closes the tap; a quiet one ends after its seconds."""
    view = View()
    server = AdminServer("127.0.0.1", 0, view)
    port = await server.start()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /tap HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: view.inner.taps._open)
        writer.close()
        await until(lambda: not view.inner.taps._open)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /tap?seconds=0.05 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b'{"seen":0,"sent":0,"dropped":0}\n')
        writer.close()
    finally:
        await server.stop()


async def test_taps_are_bounded() -> None:
    """A reader that is too slow loses requests, counted; one tap too many is refused; a wrong filter is explained."""
    view = View()
    pages = AdminPages(view)
    tap = Tap(Filter(), room=3)
    for _ in range(5):
        tap.offer(request())
    assert (tap.seen, tap.dropped, len(await tap.take())) == (5, 2, 3)
    assert (await pages.reply("GET", "/tap")).status == 200
    held = [view.inner.taps.open(Filter()) for _ in range(MAX_TAPS)]
    assert (await pages.reply("GET", "/tap")).status == 429
    view.inner.taps.close(held[0])
    assert (await pages.reply("GET", "/tap")).status == 200  # and nobody having begun it, it holds no place
    assert len(view.inner.taps._open) == MAX_TAPS - 1
    for query, name in (
        ("status=abc", b"status"),
        ("nope=1", b"nope"),
        ("limit=-1", b"limit"),
        ("seconds=1e9", b"sec"),
    ):
        refused = await pages.reply("GET", f"/tap?{query}")
        assert (refused.status, name in refused.body) == (400, True)
