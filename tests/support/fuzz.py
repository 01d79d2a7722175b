"""Requests gone wrong, without end, through both doors of a real collector.

    PYTHONPATH=.:tests python -m support.fuzz [--seconds 600] [--seed N]

Sound requests of every signal, in protobuf and in JSON, are mutated a few times each. Whatever comes of it, the answer
is one that OTLP knows, what was acknowledged is in the spool and decodes, and the process lives. The first case that
breaks this is printed in hex.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from meshwise.collector.otlp_json import to_protobuf
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.spool import segment
from support.collector import Collector, running_collector
from support.otlp import logs, sums, traces

RESPONSES: Final[Mapping[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceResponse,
    Signal.METRICS: ExportMetricsServiceResponse,
    Signal.LOGS: ExportLogsServiceResponse,
}
METHOD: Final = DOORS[Signal.TRACES].grpc_method
HTTP_ANSWERS: Final = {200, 400, 413, 415}
GRPC_ANSWERS: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
CODINGS: Final = ("", "", "", "gzip", "zstd", "identity", "br", "gzip, gzip")
WORDS: Final = (b"\x0a\x00" * 50, b"\xff" * 10, b"\x1f\x8b\x08", b"\x0b\x0c", b"\x12\x02\x12\x00" * 20)
JSON_WORDS: Final = (
    b"[" * 200,
    b'{"a":' * 70,
    b"1e999",
    b"NaN",
    b'"\\ud800"',
    b"null",
    b'"traceId":"00",',
    b"\xc3\x28",
    b"-",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One request to send."""

    signal: Signal
    json: bool
    body: bytes
    draw: random.Random


def seeds(draw: random.Random, signal: Signal) -> Message:
    """A sound request of a few items, as rich as they get."""
    most = range(draw.randrange(4))
    if signal is Signal.METRICS:
        return points(draw)
    if signal is Signal.LOGS:
        records = logs(["text" * draw.randrange(50) for _ in most])
        for record in records.resource_logs[0].scope_logs[0].log_records:
            record.attributes.add(key="bytes").value.bytes_value = draw.randbytes(5)
        return records
    request = traces(most, attributes={"key": "v" * draw.randrange(200)})
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.events.add(name="event").attributes.add(key="list").value.array_value.values.add().int_value = -1
        span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8)
        span.attributes.add(key="map").value.kvlist_value.values.add(key="a").value.double_value = 0.5
    return request


def points(draw: random.Random) -> ExportMetricsServiceRequest:
    """A metric of each kind."""
    request = sums(range(draw.randrange(4)))
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    at = {"start_time_unix_nano": time.time_ns() - 10**9, "time_unix_nano": time.time_ns()}
    metrics.add(name="g").gauge.data_points.add(**at, as_double=draw.uniform(-1.0, 1.0))
    point = metrics.add(name="h").histogram.data_points.add(**at, count=3, sum=0.5, explicit_bounds=[0.1, 1.0])
    point.bucket_counts.extend([1, 2, 0])
    wide = metrics.add(name="e").exponential_histogram.data_points.add(**at, count=2, scale=3)
    wide.positive.bucket_counts.extend([1, 1])
    metrics.add(name="s").summary.data_points.add(**at, count=1).quantile_values.add(quantile=0.5, value=1.0)
    return request


def mutate(body: bytes, draw: random.Random, words: Sequence[bytes] = WORDS) -> bytes:
    """Change ``body`` in one to six places; ``words`` are put in now and then."""
    data = bytearray(body)
    for _ in range(draw.randrange(1, 7)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
            case 1:
                del data[at : at + draw.randrange(1, 20)]
            case 2:
                data[at:at] = draw.randbytes(draw.randrange(1, 20))
            case 3:
                data[at:at] = data[at : at + draw.randrange(1, 200)]
            case 4:
                del data[at:]
            case 5 if data:
                data[at % len(data)] = draw.choice((0x00, 0x7F, 0x80, 0xFF, 0x0A, 0x12))
            case _:
                data[at:at] = draw.choice(words)
    return bytes(data)


class Door:
    """One way in; ``send`` returns how many items were acknowledged, and the answer's name."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def send(self, case: Case) -> tuple[int, str]:
        """Send one request."""
        raise NotImplementedError


class HttpDoor(Door):
    """OTLP/HTTP."""

    def send(self, case: Case) -> tuple[int, str]:
        """Send one request, at times under a coding it does not have."""
        connection = http.client.HTTPConnection("127.0.0.1", self.collector.http_port, timeout=20.0)
        kind = "application/json" if case.json else "application/x-protobuf"
        try:
            headers = {"content-type": kind, "content-encoding": case.draw.choice(CODINGS)}
            kept = {name: value for name, value in headers.items() if value}
            connection.request("POST", DOORS[case.signal].path, case.body, kept)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status in HTTP_ANSWERS, f"{answer.status} {content!r}"
        name = f"json {answer.status}" if case.json else str(answer.status)
        return (taken(case, content) if answer.status == 200 else 0), name


class GrpcDoor(Door):
    """OTLP/gRPC."""

    def __init__(self, collector: Collector) -> None:
        super().__init__(collector)
        self._channel = grpc.insecure_channel(collector.grpc_address)

    def send(self, case: Case) -> tuple[int, str]:
        """Send one message, at times compressed."""
        packing = case.draw.choice((None, grpc.Compression.Gzip))
        call = self._channel.unary_unary(DOORS[case.signal].grpc_method, bytes, bytes)
        content, code = b"", grpc.StatusCode.OK
        try:
            content = call(case.body, timeout=20.0, compression=packing)
        except grpc.RpcError as error:
            code = error.code()
        assert code in GRPC_ANSWERS, code
        return (taken(case, content) if code is grpc.StatusCode.OK else 0), code.name


def taken(case: Case, answer: bytes) -> int:
    """Items of a request that an answer of success acknowledges."""
    body = to_protobuf(case.body, DOORS[case.signal].request) if case.json else case.body
    told: Any = RESPONSES[case.signal]()
    json_format.Parse(answer, told) if case.json else told.ParseFromString(answer)
    rejected = sum(value for field, value in told.partial_success.ListFields() if field.name.startswith("rejected"))
    return items_in(case.signal, body) - int(rejected)


def items_in(signal: Signal, body: bytes) -> int:
    """Spans, data points or log records that a request holds."""
    request: Any = DOORS[signal].request.FromString(body)
    if signal is Signal.TRACES:
        return sum(len(scope.spans) for group in request.resource_spans for scope in group.scope_spans)
    if signal is Signal.LOGS:
        return sum(len(scope.log_records) for group in request.resource_logs for scope in group.scope_logs)
    metrics = (one for group in request.resource_metrics for scope in group.scope_metrics for one in scope.metrics)
    return sum(len(getattr(one, kind).data_points) for one in metrics if (kind := one.WhichOneof("data")))


def cases(seed: int) -> Iterator[Case]:
    """Mutated requests without end, those of even numbers in JSON as well; the same for the same seed."""
    draw = random.Random(seed)
    for number in itertools.count():
        signal = draw.choice(list(Signal))
        request = seeds(draw, signal)
        json = not number % 2 and draw.random() < 0.4
        if json:
            text = json_format.MessageToJson(request, indent=None).encode()
            yield Case(signal, json, mutate(text, draw, JSON_WORDS), draw)
        else:
            yield Case(signal, json, mutate(request.SerializeToString(), draw), draw)


def fuzz(collector: Collector, seed: int, go_on: Callable[[int], bool]) -> Counter[str]:
    """Send cases through both doors in turn while ``go_on(number)``; returns how often each answer came.

    The store must be away, so that what was acknowledged can be counted in the spool at the end.
    """
    answers: Counter[str] = Counter()
    acknowledged: Counter[Signal] = Counter()
    doors = (HttpDoor(collector), GrpcDoor(collector))
    for number, case in enumerate(cases(seed)):
        if not go_on(number):
            break
        try:
            items, answer = doors[number % 2].send(case)
        except Exception as error:
            error.add_note(f"seed {seed}, case {number}: {case.signal} {case.body.hex()}")
            raise
        acknowledged[case.signal] += items
        answers[answer] += 1
    assert collector.process.popen.poll() is None
    collector.process.terminate()
    for signal in Signal:
        files = (path.read_bytes() for path in collector.segments() if path.name.startswith(signal.value))
        records = [record for data in files for record in segment.decode(data).records]
        in_spool = sum(items_in(signal, bytes(record.payload)) for record in records)
        assert in_spool == sum(record.items for record in records) == acknowledged[signal], signal
    return answers


def main() -> None:
    """Fuzz for as long as asked."""
    parser = argparse.ArgumentParser(prog="python -m support.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    with running_collector("http://127.0.0.1:1/meshwise", drain_s=0.0) as collector:
        answers = fuzz(collector, given.seed, lambda _: time.monotonic() < until)
    sys.stdout.write(f"seed {given.seed}: {dict(answers)}\n")


if __name__ == "__main__":
    main()
