import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.pipeline import Lane, Pipeline
from meshwise.collector.receivers.grpc import GrpcReceiver, KeepAlive, build_server
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.spool.backlog import Backlog
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.collector.tenancy import Senders
from meshwise.collector.turns import Patience, Turns
from meshwise.proxy.http2 import frames
from support.http2_peers import raw_client
from support.otlp import traces

LIMIT = 100_000
PATIENCE = Patience(whole=20.0)


class KeepingWriter:
    """A spool of one list."""

    opened_at = None

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, int]] = []

    async def append(self, payload: bytes, items: int) -> None:
        self.kept.append((payload, items))


class Bench:
    """A gRPC server on a free port over a recording spool."""

    def __init__(
        self,
        token: str = "",
        limit: int = LIMIT,
        patience: Patience = PATIENCE,
        turns: int = 8,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        settings = CollectorSettings(data_dir=Path("unused"), max_body_bytes=limit, token=token)
        self.writer = KeepingWriter()
        self.space = SpoolSpace(1000, 0, 3.0)
        lanes = {signal: Lane(self.writer, Backlog()) for signal in Signal}  # type: ignore[arg-type]
        self.metrics = CollectorMetrics()
        self.pipeline = Pipeline(settings, lanes, self.space, self.metrics)
        self.turns = Turns(turns, patience, 3.0)
        receiver = GrpcReceiver(self.pipeline, Senders(settings), self.turns)
        self.server = build_server(receiver, limit, keep_alive)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def export(
        self, body: bytes, signal: Signal = Signal.TRACES, compression: grpc.Compression | None = None, token: str = ""
    ) -> bytes:
        call = self.channel.unary_unary(DOORS[signal].grpc_method, bytes, bytes)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        answer: bytes = await call(body, compression=compression, metadata=metadata, timeout=20.0)
        return answer

    async def refusal(self, body: bytes, **options: object) -> tuple[grpc.StatusCode, Status | None]:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.export(body, **options)  # type: ignore[arg-type]
        found = grpc.aio.Metadata(*(error.value.trailing_metadata() or ()))  # type: ignore[arg-type]
        details = found.get("grpc-status-details-bin")
        return error.value.code(), None if details is None else Status.FromString(details)

    async def stop(self) -> None:
        await self.channel.close(None)
        await self.server.stop(None)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.server.start()
    yield made
    await made.stop()


async def test_bytes_go_to_the_spool_as_they_came(bench: Bench) -> None:
    """A sound request is answered with an empty success, plain and gzip alike."""
    body = traces(range(100)).SerializeToString()
    assert await bench.export(body) == b""
    assert await bench.export(body, compression=grpc.Compression.Gzip) == b""
    assert bench.writer.kept == [(body, 100)] * 2


async def test_partial_success_is_an_ok_answer(bench: Bench) -> None:
    """Rejected spans are counted in the answer, the call itself succeeds."""
    request = traces([1, 2])
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
    answer = ExportTraceServiceResponse.FromString(await bench.export(request.SerializeToString()))
    assert answer.partial_success.rejected_spans == 1


def wait_told(refusal: tuple[grpc.StatusCode, Status | None]) -> int:
    """Seconds that a refusal which may be tried again says to wait."""
    code, status = refusal
    info = RetryInfo()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert status is not None
    assert status.details[0].Unpack(info)
    return int(info.retry_delay.seconds)


async def test_mistakes_are_final(bench: Bench) -> None:
    """Broken bytes are INVALID_ARGUMENT with a Status, without a hint to try again."""
    code, status = await bench.refusal(b"\x0a\xff")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status is not None
    assert (status.code, len(status.details)) == (3, 0)


async def test_a_bomb_is_stopped_at_the_limit(bench: Bench) -> None:
    """Gzip that unpacks beyond the limit, and a plain body beyond it, are RESOURCE_EXHAUSTED without RetryInfo."""
    for compression, size in ((grpc.Compression.Gzip, 20_000_000), (None, LIMIT + 1), (None, 2 * LIMIT)):
        code, status = await bench.refusal(bytes(size), compression=compression)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert status is None or not status.details
    body = b"\x1f\x8b" + gzip.compress(b"x", mtime=0)[2:-4]
    assert (await bench.refusal(body))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert bench.writer.kept == []


async def test_unknown_codings_and_methods_are_unimplemented(bench: Bench) -> None:
    """What we do not speak is said so by the protocol's own code."""
    body = traces(range(100)).SerializeToString()
    assert (await bench.refusal(body, compression=grpc.Compression.Deflate))[0] is grpc.StatusCode.UNIMPLEMENTED
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Import"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await bench.channel.unary_unary(method, bytes, bytes)(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_pressure_is_unavailable_with_a_time_to_wait(bench: Bench) -> None:
    """A full spool answers UNAVAILABLE with RetryInfo."""
    bench.space.add(900)
    assert wait_told(await bench.refusal(traces([1]).SerializeToString())) == 3


async def test_a_collector_that_stops_sends_senders_elsewhere(bench: Bench) -> None:
    """From the moment it is told to stop, a call is UNAVAILABLE with RetryInfo, before its message is read."""
    bench.pipeline.drain()
    assert wait_told(await bench.refusal(traces([1]).SerializeToString())) == 5
    assert await silent(bench) is grpc.StatusCode.UNAVAILABLE
    assert bench.writer.kept == []


async def test_a_fault_of_ours_is_retryable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a defect answers UNAVAILABLE with RetryInfo and is counted, so that the sender keeps the data."""

    async def broken(payload: bytes, items: int) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(bench.writer, "append", broken)
    assert wait_told(await bench.refusal(traces([1]).SerializeToString())) == 1
    assert bench.metrics.refused.labels("traces", "fault")._value.get() == 1
    monkeypatch.undo()
    assert await bench.export(traces([1]).SerializeToString()) == b""


async def test_the_limit_is_ours_and_not_the_librarys() -> None:
    """A request beyond the 4 MiB that gRPC libraries default to is taken, plain and packed; one beyond ours is not."""
    bench = Bench(limit=8 * 1024 * 1024)
    await bench.server.start()
    body = traces(range(60), attributes={"k": "v" * 100_000}).SerializeToString()
    assert len(body) > 5 * 1024 * 1024
    assert await bench.export(body) == b""
    assert await bench.export(body, compression=grpc.Compression.Gzip) == b""
    assert [items for _, items in bench.writer.kept] == [60, 60]
    assert (await bench.refusal(body + body))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await bench.refusal(body + body, compression=grpc.Compression.Gzip))[0] is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    await bench.stop()


async def test_a_token_is_required_when_configured() -> None:
    """Only the bearer of the token may send."""
    bench = Bench(token="secret")
    await bench.server.start()
    body = traces([1]).SerializeToString()
    assert (await bench.refusal(body))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert (await bench.refusal(body, token="wrong"))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert await bench.export(body, token="secret") == b""
    await bench.stop()


async def silent(bench: Bench) -> grpc.StatusCode:
    """Begin a call, send no message, and return how it ends."""
    call: Any = bench.channel.stream_unary(DOORS[Signal.TRACES].grpc_method, bytes, bytes)
    call = call(timeout=20.0)
    code: grpc.StatusCode = await call.code()
    return code


async def test_a_message_nobody_may_send_is_not_waited_for() -> None:
    """Who calls and whether there is room is decided before a byte of the message is read."""
    bench = Bench(token="secret")
    await bench.server.start()
    assert await silent(bench) is grpc.StatusCode.UNAUTHENTICATED
    await bench.stop()


async def test_a_message_that_does_not_come_is_given_up() -> None:
    """A sender that begins a call and falls silent does not hold it for ever."""
    bench = Bench(patience=Patience(whole=0.05))
    await bench.server.start()
    assert await silent(bench) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await bench.export(traces([1]).SerializeToString()) == b""
    await bench.stop()


async def test_messages_that_do_not_come_hold_nobody_up() -> None:
    """With every turn taken by senders that are silent, another's message is taken, and they are told to come back."""
    bench = Bench(patience=Patience(whole=20.0, moment=0.01), turns=2)
    await bench.server.start()
    silence = [asyncio.create_task(silent(bench)) for _ in range(6)]
    while bench.turns.under_way < 2:  # noqa: ASYNC110 - the calls are on their way through the library
        await asyncio.sleep(0.005)
    for _ in range(3):
        assert await bench.export(traces([1]).SerializeToString()) == b""
    ended, others = await asyncio.wait(silence, return_when=asyncio.FIRST_COMPLETED)
    assert {one.result() for one in ended} == {grpc.StatusCode.UNAVAILABLE}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await bench.stop()


async def test_clients_may_ping_between_calls() -> None:
    """A connection with nothing to say stays, as often as clients ask whether it lives; what asks more is ended."""
    lively = KeepAlive(least_s=0.02)
    assert await pings_survived(lively, 8)
    assert not await pings_survived(KeepAlive(), 8)
    given = dict(KeepAlive().options())
    assert given["grpc.keepalive_permit_without_calls"] == 1
    assert given["grpc.http2.min_ping_interval_without_data_ms"] <= 10_000


async def pings_survived(keep_alive: KeepAlive, pings: int) -> bool:
    """Tell whether the connection of a client that pings every 50 ms, without a call, lasts for so many answers."""
    bench = Bench(keep_alive=keep_alive)
    await bench.server.start()
    async with raw_client(bench.port) as peer:
        for number in range(pings):
            await peer.send(frames.frame(frames.PING, 0, 0, number.to_bytes(8, "big")))
            while not peer.ended and len([one for one in peer.frames if one.kind == frames.PING]) <= number:
                await peer.more()
            await asyncio.sleep(0.05)
        survived = not peer.ended and not any(one.kind == frames.GOAWAY for one in peer.frames)
    await bench.stop()
    return survived


async def test_a_client_that_is_gone_is_noticed() -> None:
    """A connection on which nobody answers is pinged, then closed."""
    bench = Bench(keep_alive=KeepAlive(idle_s=0.05, answer_s=0.05))
    await bench.server.start()
    async with raw_client(bench.port) as peer, asyncio.timeout(20.0):
        found = await peer.to_the_end()
        assert any(one.kind == frames.PING for one in found)
    await bench.stop()
