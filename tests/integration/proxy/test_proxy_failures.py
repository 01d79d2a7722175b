"""What a real proxy does when upstreams, callers, time or the proxy itself give out."""

import asyncio
import json
import signal
import socket
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.data_path import OK, Arrival, Upstream, client, inbound, outbound, say, snapshot, until
from support.processes import Process

BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


def policy(**sections: Any) -> dict[str, Any]:
    """A policy for ``catalog`` without waits between attempts, and without chance in the choice of endpoints."""
    retry = {"backoff": {"base": "0ms", "max": "0ms"}, **sections.pop("retry", {})}
    return {
        "name": "catalog",
        "match": {"service": "catalog"},
        "version": 7,
        "retry": retry,
        "balance": {"algorithm": "round_robin"},
        **sections,
    }


def dead_port() -> int:
    """A port that refuses connections: bound, but nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def hang(_: Arrival, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


async def reset(_: Arrival, writer: asyncio.StreamWriter) -> None:
    """Cut the connection with a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await asyncio.sleep(3600)


async def test_answer_503_is_retried_elsewhere() -> None:
    """A status the policy names is retried at another endpoint, and both attempts say so."""
    rule = policy(retry={"max": 1, "on": {"codes": [503]}})
    async with Upstream(say(BUSY)) as bad, Upstream() as good, outbound({"catalog": [bad, good]}, rule) as mesh:
        for _ in range(8):
            assert (await mesh.request("GET", "catalog")).status == 200
        assert bad.arrivals
        first = next(record for record in mesh.recorder.attempts if record.outcome == "error")
        second = next(r for r in mesh.recorder.attempts if r.request_id == first.request_id and r.ordinal == 2)
        assert (first.final, first.status, first.endpoint) == (False, 503, "catalog-0")
        assert (second.final, second.retry_reason, second.endpoint) == (True, "503", "catalog-1")
        assert first.trace.trace_id == second.trace.trace_id
        assert first.trace.span_id != second.trace.span_id
        assert {record.policy_version for record in mesh.recorder.requests} == {7}
        retried = good.arrivals[[a.headers["x-meshwise-attempt"] for a in good.arrivals].index("2")]
        assert retried.headers["traceparent"].split("-")[2] == second.trace.span_id.hex()


async def test_last_real_answer_goes_to_the_caller() -> None:
    """When no further retry is allowed the caller gets the upstream's own 503, body and all."""
    rule = policy(retry={"max": 2, "on": {"codes": [503]}})
    async with Upstream(say(BUSY)) as bad, outbound({"catalog": [bad]}, rule) as mesh:
        answer = await mesh.request("GET", "catalog")
        assert (answer.status, answer.body) == (503, b"busy")
        assert "x-meshwise-error" not in answer.headers
        assert [r.retry_denied for r in mesh.recorder.attempts] == ["", "", "max"]
        assert mesh.outcomes() == ["error"]
        assert mesh.recorder.requests[0].attempts == 3


async def test_refused_connection_is_retried_even_for_post() -> None:
    """A POST whose connection was refused never reached the application and is sent elsewhere, with its body."""
    async with Upstream() as good, outbound({"catalog": [dead_port(), good]}, policy()) as mesh:
        for _ in range(8):
            assert (await mesh.request("POST", "catalog", body=b"order")).status == 200
        assert {arrival.body for arrival in good.arrivals} == {b"order"}
        assert "connect" in mesh.attempt_outcomes()
        assert mesh.outcomes() == ["ok"] * 8


async def test_refused_connection_without_retry_is_503() -> None:
    """With retries off a refused connection is answered 503 with the reason connect."""
    async with outbound({"catalog": [dead_port()]}, policy(retry={"max": 0})) as mesh:
        answer = await mesh.request("GET", "catalog")
        assert (answer.status, answer.headers["x-meshwise-error"]) == (503, "connect")
        assert mesh.outcomes() == ["connect"]
        assert mesh.attempt_outcomes() == ["connect"]


async def test_post_is_never_sent_twice() -> None:
    """A POST that was sent is not repeated after a reset, a timeout or a 503, whatever the policy wants."""
    on = {"connect": True, "reset": True, "timeout": True, "codes": [503]}
    rule = policy(retry={"max": 2, "on": on}, timeout={"request": "2s", "attempt": "60ms"})
    for handler, status in ((reset, 502), (hang, 504), (say(BUSY), 503)):
        async with Upstream(handler) as app, outbound({"catalog": [app]}, rule) as mesh:
            assert (await mesh.request("POST", "catalog", body=b"pay")).status == status
            assert len(app.arrivals) == 1
            assert [record.retry_denied for record in mesh.recorder.attempts] == ["method"]


async def test_post_with_idempotency_key_is_repeated() -> None:
    """The header that the policy names makes a POST repeatable; its body is sent again in full."""
    rule = policy(retry={"max": 1, "on": {"reset": True}, "idempotency_header": "Idempotency-Key"})
    calls = 0

    async def once(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await (reset(arrival, writer) if calls == 1 else say(OK)(arrival, writer))

    async with Upstream(once) as app, outbound({"catalog": [app]}, rule) as mesh:
        answer = await mesh.request("POST", "catalog", "/", "idempotency-key: 1", body=b"pay" * 1000)
        assert answer.status == 200
        assert [arrival.body for arrival in app.arrivals] == [b"pay" * 1000] * 2


async def test_large_body_is_not_repeated() -> None:
    """A body beyond the replay buffer is forwarded, but the retry is denied and says why."""
    rule = policy(retry={"max": 1, "on": {"codes": [503]}})
    async with Upstream(say(BUSY)) as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("PUT", "catalog", body=bytes(100_000))).status == 503
        assert [record.retry_denied for record in mesh.recorder.attempts] == ["body_too_large"]
        assert mesh.proxy.outbound.replay_memory.used == 0


async def test_why_nothing_was_retried_is_told_to_the_caller() -> None:
    """A bad answer that is passed on carries the reason, and an answer of the proxy's own names it in its text."""
    rule = policy(retry={"max": 1, "on": {"codes": [503], "reset": True}})
    async with Upstream(say(BUSY)) as app, outbound({"catalog": [app]}, rule) as mesh, client(mesh.port) as one:
        answer = await one.request("PUT", "catalog", body=bytes(100_000))
        assert (answer.status, answer.headers["x-meshwise-not-retried"]) == (503, "body_too_large")
        assert (await one.request("POST", "catalog")).headers["x-meshwise-not-retried"] == "method"
    async with Upstream(reset) as app, outbound({"catalog": [app]}, rule) as mesh:
        assert b"not retried: method" in (await mesh.request("POST", "catalog", body=b"pay")).body
    async with Upstream() as app, outbound({"catalog": [app]}, rule) as mesh:
        assert "x-meshwise-not-retried" not in (await mesh.request("GET", "catalog")).headers


async def test_retry_after_is_waited_for() -> None:
    """The wait that a 429 or 503 names replaces the back-off; one that does not fit the deadline is a denial."""
    wait = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\ncontent-length: 0\r\n\r\n"
    rule = policy(retry={"max": 1, "on": {"codes": [429]}}, timeout={"request": "5s"})
    async with Upstream(say(wait, OK)) as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 200
        first, second = mesh.recorder.attempts
        assert second.start_ns - first.end_ns >= 0.99e9
    hasty = policy(retry={"max": 1, "on": {"codes": [429]}}, timeout={"request": "500ms"})
    async with Upstream(say(wait)) as app, outbound({"catalog": [app]}, hasty) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 429
        assert [record.retry_denied for record in mesh.recorder.attempts] == ["deadline"]


async def test_attempts_tell_whether_the_breaker_was_open() -> None:
    """An attempt that began with the last request the breaker lets in says so."""
    async with Upstream() as app:
        for most, state in ((2, "closed"), (1, "open")):
            async with outbound({"catalog": [app]}, policy(breaker={"max_requests": most})) as mesh:
                await mesh.request("GET", "catalog")
                assert [record.breaker_state for record in mesh.recorder.attempts] == [state]


async def test_attempt_timeout_is_retried_and_recorded() -> None:
    """An attempt that is too slow is cut off and made again elsewhere, within the request's deadline."""
    rule = policy(
        timeout={"request": "2s", "attempt": "100ms"}, retry={"max": 2, "on": {"timeout": True}, "methods": ["GET"]}
    )
    async with Upstream(hang) as slow, Upstream() as good, outbound({"catalog": [slow, good]}, rule) as mesh:
        for _ in range(6):
            assert (await mesh.request("GET", "catalog")).status == 200
        assert slow.arrivals
        cut = [record for record in mesh.recorder.attempts if record.outcome == "timeout"]
        assert {record.timeout_attempt_ms for record in cut} == {100}
        assert all(record.end_ns - record.start_ns >= 0.1e9 for record in cut)
        assert mesh.outcomes() == ["ok"] * 6
        again = next(a for a in good.arrivals if a.headers["x-meshwise-attempt"] == "2")
        assert int(again.headers["x-meshwise-deadline"]) <= 1_901


async def test_request_timeout_is_504() -> None:
    """When the request's time is up the caller gets 504, and the attempt's connection is closed."""
    rule = policy(timeout={"request": "80ms"}, retry={"max": 0})
    async with Upstream(hang) as app, outbound({"catalog": [app]}, rule) as mesh, client(mesh.port) as one:
        answer = await one.request("GET", "catalog")
        assert (answer.status, answer.headers["x-meshwise-error"]) == (504, "request_timeout")
        assert (mesh.outcomes(), mesh.attempt_outcomes()) == (["timeout"], ["timeout"])
        assert mesh.recorder.requests[0].status == 504
        assert (await one.request("GET", "nobody")).status == 404, "the caller's connection goes on"


async def test_deadline_shrinks_at_every_hop() -> None:
    """The callee gets what is left, an application may shrink it further, and the inbound side enforces it."""
    rule = policy(timeout={"request": "1s"}, retry={"max": 0})
    async with Upstream(hang) as app, inbound(app.port) as side, outbound({"catalog": [side.port]}, rule) as mesh:
        began = time.monotonic()
        answer = await mesh.request("GET", "catalog", "/", "x-meshwise-deadline: 120")
        assert answer.status == 504
        assert time.monotonic() - began < 0.9
        assert int(app.arrivals[0].headers["x-meshwise-deadline"]) <= 120
        assert mesh.outcomes() == ["timeout"]
        await side.quiet()
        assert side.outcomes()[0] in ("timeout", "cancelled")


async def test_other_proxys_reason_is_understood() -> None:
    """A dead application behind its proxy counts as connect, so that even a POST may go to another instance."""
    async with (
        Upstream() as app,
        inbound(dead_port()) as dead,
        inbound(app.port) as live,
        outbound({"catalog": [dead.port, live.port]}, policy()) as mesh,
    ):
        for _ in range(8):
            assert (await mesh.request("POST", "catalog", body=b"order")).status == 200
        assert "connect" in mesh.attempt_outcomes()
        assert set(dead.outcomes()) == {"connect"}
        assert len(app.arrivals) == 8


async def test_retry_budget_limits_the_extra_load() -> None:
    """With everything failing, attempts stay within the budget, and the denial is recorded."""
    budget = {"percent": 20, "interval": "60s", "min_per_second": 0}
    rule = policy(retry={"max": 1, "on": {"codes": [503]}, "budget": budget})
    async with Upstream(say(BUSY)) as app, outbound({"catalog": [app]}, rule) as mesh, client(mesh.port) as one:
        for _ in range(100):
            assert (await one.request("GET", "catalog")).status == 503
        assert len(app.arrivals) == 120
        denied = Counter(record.retry_denied for record in mesh.recorder.attempts)
        assert (denied["budget"], denied["max"]) == (80, 20)


async def test_back_off_that_does_not_fit_is_denied() -> None:
    """A retry whose back-off would outlast the deadline is not made, and the answer at hand is given."""
    rule = policy(timeout={"request": "20ms"})
    rule["retry"] = {"max": 1, "on": {"codes": [503]}, "backoff": {"base": "60s", "max": "300s"}}
    async with Upstream(say(BUSY)) as app, outbound({"catalog": [app]}, rule) as mesh:
        # Full jitter may draw almost nothing, but three times below 20 ms of a minute is one in 27 thousand million.
        for _ in range(3):
            await mesh.request("GET", "catalog")
        assert "deadline" in [record.retry_denied for record in mesh.recorder.attempts]


async def test_caller_that_leaves_cancels_the_attempt() -> None:
    """When the caller goes away the upstream connection closes at once and both records say cancelled."""
    async with Upstream(hang) as app, outbound({"catalog": [app]}) as mesh:
        async with client(mesh.port) as one:
            await one.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
            await until(lambda: app.arrivals)
        await mesh.quiet()
        assert (mesh.outcomes(), mesh.attempt_outcomes()) == (["cancelled"], ["cancelled"])
        assert mesh.proxy.clusters()["catalog"]["connections"] == 0


async def test_cancel_travels_through_both_proxies() -> None:
    """A caller that leaves is noticed at the far application's side as well."""
    async with Upstream(hang) as app, inbound(app.port) as side, outbound({"catalog": [side.port]}) as mesh:
        async with client(mesh.port) as one:
            await one.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
            await until(lambda: app.arrivals)
        await mesh.quiet()
        await side.quiet()
        assert (mesh.outcomes(), side.outcomes()) == (["cancelled"], ["cancelled"])


async def test_breaker_answers_at_once() -> None:
    """Requests over the breaker's limits are refused with 503 overflow and recorded without an attempt."""
    rule = policy(breaker={"max_connections": 1, "max_pending": 1, "max_requests": 3}, retry={"max": 0})
    go = asyncio.Event()

    async def wait(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    async with Upstream(wait) as app, outbound({"catalog": [app]}, rule) as mesh:
        tasks = [asyncio.create_task(mesh.request("GET", "catalog")) for _ in range(6)]
        await until(lambda: len(mesh.recorder.requests) == 4)
        go.set()
        statuses = Counter([answer.status for answer in await asyncio.gather(*tasks)])
        assert statuses == {200: 2, 503: 4}
        assert app.connections == 1
        assert Counter(mesh.outcomes()) == {"rejected": 4, "ok": 2}
        assert len(mesh.recorder.attempts) == 2


async def test_failing_endpoint_is_ejected() -> None:
    """Five failures in a row rest an endpoint; the ejection is reported once and traffic goes elsewhere."""
    rule = policy(retry={"max": 0})
    async with Upstream(say(BUSY)) as bad, Upstream() as good, outbound({"catalog": [bad, good]}, rule) as mesh:
        for _ in range(30):
            await mesh.request("GET", "catalog")
        assert len(bad.arrivals) == 5
        assert mesh.recorder.ejections == [("catalog", "catalog-0")]
        first, second = mesh.proxy.clusters()["catalog"]["endpoints"]
        assert (first["ejected"], first["reason"]) == (True, "5 failures in a row")
        assert (second["ejected"], second["reason"]) == (False, "")


async def test_stale_connection_is_replaced_for_safe_methods() -> None:
    """A kept connection that the upstream closed costs a GET nothing: the same attempt goes over a fresh one."""
    served: Counter[int] = Counter()

    async def once_each(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        served[arrival.connection] += 1
        if served[arrival.connection] == 1:
            writer.write(OK)
        else:
            await reset(arrival, writer)

    async with Upstream(once_each) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        for _ in range(4):
            assert (await one.request("GET", "catalog")).status == 200
        assert mesh.attempt_outcomes() == ["ok"] * 4
        assert mesh.proxy.stats()["outbound"]["events"] == {"stale_connection": 3}


async def test_slow_head_is_408_and_idle_connection_closes() -> None:
    """A head that does not come in time is answered 408; a connection without requests is closed silently."""
    async with Upstream() as app, outbound({"catalog": [app]}, head_timeout_s=0.1, keep_alive_s=0.15) as mesh:
        async with client(mesh.port) as one:
            await one.send(b"GET / HTTP/1.1\r\nhost: ca")
            assert (await one.reader.read()).startswith(b"HTTP/1.1 408 ")
        async with client(mesh.port) as one:
            assert await one.reader.read() == b""
        async with client(mesh.port) as one:
            assert (await one.request("GET", "catalog")).status == 200
            assert await one.reader.read() == b""


async def test_a_caller_that_never_reads_is_given_up() -> None:
    """An answer that its caller does not take keeps the connection no longer than a gap in a body may last."""
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 24000\r\n\r\n" + b"x" * 24_000
    async with (
        Upstream(say(large)) as app,
        outbound({"catalog": [app]}, keep_alive_s=0.1, body_gap_s=0.2) as mesh,
    ):
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        ours.connect(("127.0.0.1", mesh.port))
        await until(lambda: mesh.proxy.outbound.connections)
        (connection,) = mesh.proxy.outbound.connections
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)  # type: ignore[attr-defined]
        ours.sendall(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
        await until(lambda: mesh.outcomes() == ["ok"])
        assert connection in mesh.proxy.outbound.connections
        await until(lambda: not mesh.proxy.outbound.connections)
        ours.close()


async def test_body_that_stops_coming_is_408() -> None:
    """An upload that stalls is answered 408 and counts neither for nor against anybody."""
    async with Upstream() as app, outbound({"catalog": [app]}, body_gap_s=0.1) as mesh, client(mesh.port) as one:
        await one.send(b"POST / HTTP/1.1\r\nhost: catalog\r\ncontent-length: 10\r\n\r\nabc")
        assert (await one.answer("POST")).status == 408
        await mesh.quiet()
        assert mesh.outcomes() == ["cancelled"]


async def test_every_request_is_counted_once() -> None:
    """Whatever becomes of a request, it is recorded exactly once, and nothing stays counted as under way."""
    kinds = (say(OK), say(BUSY), reset, hang)

    async def mixed(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        await kinds[int(arrival.line.split()[1][1:]) % 4](arrival, writer)

    rule = policy(
        timeout={"request": "400ms", "attempt": "60ms"},
        retry={"max": 2, "on": {"reset": True, "timeout": True, "codes": [503]}},
    )
    async with Upstream(mixed) as app, outbound({"catalog": [app]}, rule) as mesh:

        async def one_caller(number: int) -> None:
            async with client(mesh.port) as one:
                for turn in range(6):
                    path = f"/{number + turn}"
                    if number % 5 == 0 and turn == 5:
                        await one.send(b"GET %b HTTP/1.1\r\nhost: catalog\r\n\r\n" % path.encode())
                        await asyncio.sleep(0.03)  # arrived; now leave without waiting for the answer
                        return
                    await one.request("GET" if turn % 2 else "POST", "catalog", path)

        await asyncio.gather(*(one_caller(number) for number in range(20)))
        await mesh.quiet()
        assert len(mesh.recorder.requests) == 120
        assert sum(record.attempts for record in mesh.recorder.requests) == len(mesh.recorder.attempts)
        spans = {record.trace.span_id.hex() for record in mesh.recorder.attempts}
        assert len(spans) == len(mesh.recorder.attempts)
        assert {arrival.headers["traceparent"].split("-")[2] for arrival in app.arrivals} <= spans
        finals = Counter(record.request_id for record in mesh.recorder.attempts if record.final)
        assert set(finals.values()) == {1}
        # Whoever leaves between two attempts has no final one.
        assert 120 - mesh.outcomes().count("cancelled") <= len(finals) <= 120
        assert mesh.recorder.in_flight == {("client", "catalog"): 0}
        assert mesh.proxy.clusters()["catalog"]["requests"] == 0


async def test_drain_in_process_cuts_off_what_is_too_slow() -> None:
    """A request that outlasts the drain is cut off, and still recorded once, as reset."""
    async with (
        Upstream(hang) as app,
        outbound({"catalog": [app]}, drain_timeout_s=0.1) as mesh,
        client(mesh.port) as one,
    ):
        await one.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
        await until(lambda: app.arrivals)
        await mesh.proxy.stop()
        assert mesh.outcomes() == ["reset"]
        assert mesh.proxy.ready() == ["draining"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_drains_without_losing_a_request(tmp_path: Path, number: int) -> None:
    """Under a signal a proxy process finishes what it took, tells keep-alive callers to go, and exits 0."""

    async def slowly(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with Upstream(slowly) as app:
        (tmp_path / "snapshot.json").write_text(json.dumps(snapshot({"catalog": [app.port]}).to_document()))
        settings = {
            "service": "frontend",
            "outbound_port": 0,
            "admin_port": 0,
            "snapshot_file": str(tmp_path / "snapshot.json"),
            "drain_delay_s": 0.2,
        }
        (tmp_path / "proxy.json").write_text(json.dumps(settings))
        process = Process([sys.executable, "-m", "meshwise.proxy", str(tmp_path / "proxy.json")], tmp_path / "run")
        try:
            port = 0
            while not port:
                await asyncio.sleep(0.02)
                assert process.popen.poll() is None, process.stderr
                logged = [json.loads(line) for line in process.stderr.splitlines() if line.endswith("}")]
                port = next((e["port"] for e in logged if e.get("listener") == "outbound"), 0)
            answers = 0

            async def caller() -> None:
                nonlocal answers
                try:
                    while True:
                        async with client(port) as one:
                            closing = False
                            while not closing:
                                answer = await one.request("GET", "catalog")
                                assert answer.status == 200
                                answers += 1
                                closing = answer.headers.get("connection") == "close"
                except ConnectionError:
                    return  # refused, or closed without a byte: if it was taken all the same, the counts differ

            callers = [asyncio.create_task(caller()) for _ in range(8)]
            await until(lambda: answers >= 16)
            process.popen.send_signal(number)
            await asyncio.gather(*callers)
            assert await asyncio.to_thread(process.popen.wait, 10) == 0
            assert answers == len(app.arrivals)
            assert process.stdout == ""
        finally:
            if process.popen.poll() is None:
                process.popen.kill()
            await asyncio.to_thread(process.popen.wait)
