"""Requests gone wrong, without end, through both doors of a real collector.

    PYTHONPATH=.:tests python -m support.fuzz [--seconds 600] [--seed N]

Sound requests are mutated a few times each. Whatever comes of it, the answer is one that OTLP knows, what was
acknowledged is in the spool and decodes, and the process lives. The first case that breaks this is printed in hex.
"""

from __future__ import annotations

import argparse
import http.client
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from meshwise.collector.spool import segment
from support.collector import Collector, running_collector
from support.otlp import traces

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HTTP_ANSWERS: Final = {200, 400, 413, 415}
GRPC_ANSWERS: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
CODINGS: Final = ("", "", "", "gzip", "zstd", "identity", "br", "gzip, gzip")


def seeds(draw: random.Random) -> bytes:
    """A sound request of a few spans, as rich as spans get."""
    request = traces(range(draw.randrange(4)), attributes={"key": "v" * draw.randrange(200)})
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.events.add(name="event").attributes.add(key="list").value.array_value.values.add().int_value = -1
        span.links.add(trace_id=bytes(16), span_id=bytes(8))
        span.attributes.add(key="map").value.kvlist_value.values.add(key="a").value.double_value = 0.5
    return request.SerializeToString()


def mutate(body: bytes, draw: random.Random) -> bytes:
    """Change ``body`` in one to six places."""
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
                data[at:at] = draw.choice(
                    (b"\x0a\x00" * 50, b"\xff" * 10, b"\x1f\x8b\x08", b"\x0b\x0c", b"\x12\x02\x12\x00" * 20)
                )
    return bytes(data)


class Door:
    """One way in; ``send`` returns how many spans were acknowledged, and the answer's name."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def send(self, body: bytes, draw: random.Random) -> tuple[int, str]:
        """Send one request."""
        raise NotImplementedError


class HttpDoor(Door):
    """OTLP/HTTP."""

    def send(self, body: bytes, draw: random.Random) -> tuple[int, str]:
        """Send one request, at times under a coding it does not have."""
        connection = http.client.HTTPConnection("127.0.0.1", self.collector.http_port, timeout=20.0)
        try:
            headers = {"content-type": "application/x-protobuf", "content-encoding": draw.choice(CODINGS)}
            connection.request("POST", "/v1/traces", body, {name: value for name, value in headers.items() if value})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status in HTTP_ANSWERS, f"{answer.status} {content!r}"
        return (taken(body, content) if answer.status == 200 else 0), str(answer.status)


class GrpcDoor(Door):
    """OTLP/gRPC."""

    def __init__(self, collector: Collector) -> None:
        super().__init__(collector)
        self._channel = grpc.insecure_channel(collector.grpc_address)

    def send(self, body: bytes, draw: random.Random) -> tuple[int, str]:
        """Send one message, at times compressed."""
        packing = draw.choice((None, grpc.Compression.Gzip))
        call = self._channel.unary_unary(METHOD, bytes, bytes)
        content, code = b"", grpc.StatusCode.OK
        try:
            content = call(body, timeout=20.0, compression=packing)
        except grpc.RpcError as error:
            code = error.code()
        assert code in GRPC_ANSWERS, code
        return (taken(body, content) if code is grpc.StatusCode.OK else 0), code.name


def taken(body: bytes, answer: bytes) -> int:
    """Spans of ``body`` that an answer of success acknowledges."""
    return spans_in(body) - ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans


def spans_in(body: bytes) -> int:
    """Spans that a request holds."""
    groups = ExportTraceServiceRequest.FromString(body).resource_spans
    return sum(len(scope.spans) for group in groups for scope in group.scope_spans)


def cases(seed: int) -> Iterator[tuple[bytes, random.Random]]:
    """Mutated requests without end; the same for the same seed."""
    draw = random.Random(seed)
    while True:
        yield mutate(seeds(draw), draw), draw


def fuzz(collector: Collector, seed: int, go_on: Callable[[int], bool]) -> Counter[str]:
    """Send cases through both doors in turn while ``go_on(number)``; returns how often each answer came.

    The store must be away, so that what was acknowledged can be counted in the spool at the end.
    """
    answers: Counter[str] = Counter()
    acknowledged = 0
    doors = (HttpDoor(collector), GrpcDoor(collector))
    for number, (body, draw) in enumerate(cases(seed)):
        if not go_on(number):
            break
        try:
            spans, answer = doors[number % 2].send(body, draw)
        except Exception as error:
            error.add_note(f"seed {seed}, case {number}: {body.hex()}")
            raise
        acknowledged += spans
        answers[answer] += 1
    assert collector.process.popen.poll() is None
    collector.process.terminate()
    records = [record for path in collector.segments() for record in segment.decode(path.read_bytes()).records]
    in_spool = sum(spans_in(bytes(record.payload)) for record in records)
    assert in_spool == sum(record.items for record in records) == acknowledged
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
