"""Crashes on purpose: senders that retry as OTLP says, while collector, store, network and clock fail at random.

    PYTHONPATH=.:tests python -m support.crashes [--seconds 60] [--seed N]

Every span, log record and data point carries a number of its own. A request that was refused for now is sent again as
it is, after the time it was told; one whose answer never came may or may not have been taken, so it is left as it is
and the next one has new numbers. In the end every acknowledged number must be in its table once, and every other one
once at most; and what the data points add up to must be what the rollup behind their table says.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import grpc
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from meshwise.collector.signals import DOORS, Signal
from meshwise.contracts.telemetry import METRIC_REQUESTS
from meshwise.store.client import connect
from support.collector import collector_command
from support.fault_proxy import Fault, FaultProxy
from support.otlp import logs, sums, traces
from support.processes import Process, fetch, free_port
from support.store import store_command

SPANS: Final = 20
"""Spans, records or points in a request."""
PAUSE_S: Final = 0.01
"""Between two requests of a sender: crashes are at issue, not load."""
PROTOBUF: Final = {"content-type": "application/x-protobuf"}
RETRIED: Final = (429, 502, 503, 504)
LONGEST_WAIT_S: Final = 0.05
"""Most that a refused sender waits, whatever it is told: a run is short."""
SPOOL_BYTES: Final = 512 * 1024
"""Disk the spool may take: it is full when the store has been away for a second."""
CLOCK: Final = """
import pathlib, signal, sys, time
_file = pathlib.Path(sys.argv.pop(1))
_skew = 0.0
_time, _time_ns = time.time, time.time_ns
def _turn(*_):
    global _skew
    _skew = float(_file.read_text())
_turn()
signal.signal(signal.SIGUSR1, _turn)
time.time = lambda: _time() + _skew
time.time_ns = lambda: _time_ns() + int(_skew * 1e9)
"""
"""Put before a program: its wall clock is off by the seconds in the file of its first argument, read on SIGUSR1."""
STORED: Final = (
    "SELECT reinterpretAsUInt64(reverse(unhex(substring(SpanId, 3)))) FROM otel_traces",
    "SELECT toUInt64(Body) FROM otel_logs",
    "SELECT toUInt64(Value) FROM otel_metrics_sum",
)
"""The numbers in the tables."""
ROLLUP: Final = "SELECT sum(requests) - (SELECT sum(toUInt64(Value)) FROM otel_metrics_sum) FROM mesh_edge_10s"


@dataclass(slots=True)
class Ledger:
    """What senders know: numbers given out, and of those the acknowledged; ``problems``: answers that are wrong."""

    attempted: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    refused: int = 0
    unknown: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status in HTTP's numbers, None when nobody answered; seconds to wait before another try, as told."""

    status: int | None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: counts of items, and of the faults that happened.

    ``rollup_off``: how much the rollup says more than the table it adds up.
    """

    acknowledged: int
    stored: int
    lost: int
    duplicated: int
    invented: int
    rollup_off: int
    refused_requests: int
    unanswered_requests: int
    faults: dict[str, int]
    seed: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is missing, twice there, or from nowhere."""
        return not (self.lost or self.duplicated or self.invented or self.rollup_off)


def counts(numbers: Iterable[int]) -> ExportMetricsServiceRequest:
    """What a proxy reports: so many requests, a data point each, on one edge."""
    request = sums(numbers, name=METRIC_REQUESTS)
    scope = request.resource_metrics[0].scope_metrics[0]
    scope.scope.name = "meshwise.proxy"
    for point in scope.metrics[0].sum.data_points:
        point.attributes.add(key="meshwise.source").value.string_value = "shop"
        point.attributes.add(key="meshwise.destination").value.string_value = "cart"
    return request


def body_of(kind: Signal, numbers: Iterable[int]) -> bytes:
    """Return a request whose items carry ``numbers``."""
    if kind is Signal.LOGS:
        return logs(map(str, numbers)).SerializeToString()
    return (traces(numbers) if kind is Signal.TRACES else counts(numbers)).SerializeToString()


class Senders:
    """A few threads that send until told to stop: every signal over HTTP, spans over gRPC too."""

    def __init__(self, http_port: int, grpc_port: int) -> None:
        self.ledger = Ledger()
        self._port = http_port
        self._grpc_port = grpc_port
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        ways = (*((self._post, kind) for kind in Signal), (self._call, Signal.TRACES))
        self._threads = [threading.Thread(target=self._run, args=way, daemon=True) for way in ways]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30.0)

    def wait_acknowledged(self, more: int, timeout: float = 30.0) -> None:
        """Wait until ``more`` items than now are acknowledged."""
        goal = len(self.ledger.acknowledged) + more
        deadline = time.monotonic() + timeout
        while len(self.ledger.acknowledged) < goal:
            assert time.monotonic() < deadline, f"only {len(self.ledger.acknowledged)} of {goal} items acknowledged"
            time.sleep(0.005)

    def _run(self, send: Callable[[Signal, bytes], Answer], kind: Signal) -> None:
        while not self._stopped.is_set():
            with self._lock:
                mine = [next(self._numbers) for _ in range(SPANS)]
                self.ledger.attempted.update(mine)
            body = body_of(kind, mine)
            # An answer to a refusal is final only when it is none that may be tried again.
            while not self._stopped.is_set():
                answer = send(kind, body)
                if answer.status in RETRIED:
                    self.ledger.refused += 1
                    if not answer.wait_s:
                        self.ledger.problems.append(f"{answer.status} without a time to wait")
                    time.sleep(min(answer.wait_s, LONGEST_WAIT_S))
                    continue
                if answer.status == 200:
                    with self._lock:
                        self.ledger.acknowledged.update(mine)
                    time.sleep(PAUSE_S)
                elif answer.status is None:
                    self.ledger.unknown += 1
                    time.sleep(0.02)
                else:
                    self.ledger.problems.append(f"a good request was answered {answer.status}")
                break

    def _call(self, kind: Signal, body: bytes) -> Answer:
        """Send over gRPC; the answer is what it would be over HTTP."""
        with grpc.insecure_channel(f"127.0.0.1:{self._grpc_port}") as channel:
            try:
                channel.unary_unary(DOORS[kind].grpc_method, bytes, bytes)(body, timeout=20.0)
            except grpc.RpcError as error:
                # Only the collector itself sends a Status; without one the connection failed, whenever it did.
                trailers: Any = error.trailing_metadata() or ()
                told = next((value for key, value in trailers if key == "grpc-status-details-bin"), None)
                if told is None:
                    return Answer(None)
                wait = RetryInfo()
                retried = any(detail.Unpack(wait) for detail in Status.FromString(told).details)
                return Answer(503, wait.retry_delay.ToTimedelta().total_seconds()) if retried else Answer(400)
            return Answer(200)

    def _post(self, kind: Signal, body: bytes) -> Answer:
        """Send over HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20.0)
        try:
            connection.request("POST", DOORS[kind].path, body, PROTOBUF)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return Answer(None)
        else:
            return Answer(answer.status, float(answer.headers.get("retry-after", 0)))
        finally:
            connection.close()


class Stage:
    """Store, fault proxy and collector over one directory, and ways to hurt them."""

    def __init__(
        self, directory: Path, seed: int, data_dir: Path | None = None, spool_bytes: int = SPOOL_BYTES
    ) -> None:
        self._directory = directory
        self.data_dir = data_dir or directory / "collector"
        self._spool_bytes = spool_bytes
        self._clock = directory / "clock"
        self._clock.write_text("0")
        self._random = random.Random(seed)
        self._store_port = free_port()
        self.collector_port = free_port()
        self.grpc_port = free_port()
        self.proxy = FaultProxy(self._store_port)
        self._store: Process | None = None
        self._collector: Process | None = None
        self.faults: Counter[str] = Counter()

    @property
    def store_url(self) -> str:
        """Where the store itself answers."""
        return f"http://127.0.0.1:{self._store_port}/meshwise"

    def start_store(self) -> None:
        """Start the store, or start it again."""
        command = store_command(self._directory / "store", self._store_port)
        self._store = Process(command, self._directory / "output")
        self._store.wait_ready(f"http://127.0.0.1:{self._store_port}/readyz", timeout=60.0)

    def start_collector(self) -> None:
        """Start the collector, or start it again; its wall clock is off by as much as it was."""
        url = f"http://127.0.0.1:{self.proxy.port}/meshwise"
        small = {
            "segment_bytes": 128 * 1024,
            "flush_interval_s": 0.02,
            "insert_timeout_s": 10.0,
            "spool_max_bytes": self._spool_bytes,
        }
        ports = {"http_port": self.collector_port, "grpc_port": self.grpc_port}
        python, flag, program, document = collector_command(url, self.data_dir, **small, **ports)
        command = [python, flag, CLOCK + program, str(self._clock), document]
        self._collector = Process(command, self._directory / "output")
        self._collector.wait_ready(f"http://127.0.0.1:{self.collector_port}/livez")

    @property
    def collector(self) -> Process:
        """The collector that runs now."""
        assert self._collector is not None
        return self._collector

    @property
    def store(self) -> Process:
        """The store that runs now."""
        assert self._store is not None
        return self._store

    def kill_collector(self) -> None:
        """Kill the collector and start it again."""
        self.collector.kill()
        self.start_collector()

    def kill_store(self) -> None:
        """Kill the store, leave it away for a moment, and start it again."""
        self.store.kill()
        time.sleep(self._random.uniform(0.0, 0.3))
        self.start_store()

    def kill_both(self) -> None:
        """Kill everything at once."""
        self.store.kill()
        self.collector.kill()
        self.start_collector()
        self.start_store()

    def turn_clock(self) -> None:
        """Let the clock of the collector jump forth and back under load; in the end it is off by up to a day."""
        for direction in self._random.sample((-1, 1), 2):
            self._clock.write_text(str(direction * self._random.uniform(60.0, 86_400.0)))
            self.collector.popen.send_signal(signal.SIGUSR1)
            time.sleep(0.2)

    def fill_spool(self) -> None:
        """Keep the store away until the spool has all the disk it may take."""
        self.proxy.fault = Fault.REFUSE
        deadline = time.monotonic() + 20.0
        while fetch(f"http://127.0.0.1:{self.collector_port}/readyz")[0] != 503:
            assert time.monotonic() < deadline, "the spool was never full"
            time.sleep(0.02)
        self.proxy.fault = Fault.NONE

    def cut_writes(self) -> None:
        """Let the disk refuse what goes beyond some size of a file: a write ends in the middle, then fails."""
        pid = self.collector.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        # What it logs about that goes to a file as well.
        size = self.collector.stderr_path.stat().st_size + self._random.randrange(16_000, 32_000)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        time.sleep(0.3)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    def tear_segment(self) -> None:
        """Kill the collector in the middle of a write: a record that was never acknowledged ends half-way."""
        self.collector.kill()
        spool = self.data_dir / "spool"
        for path in sorted(spool.glob("*.segment"))[-1:]:
            with path.open("ab") as file:
                file.write(b"MREC" + self._random.randbytes(self._random.randrange(200)))
        self.start_collector()

    def freeze(self) -> None:
        """Stop the store for a moment, as a machine that swaps does."""
        self.store.popen.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        self.store.popen.send_signal(signal.SIGCONT)

    def fail(self, fault: Fault, seconds: float = 0.4) -> None:
        """Let the way to the store misbehave for a while."""
        self.proxy.fault = fault
        time.sleep(seconds)
        self.proxy.fault = Fault.NONE

    def stored(self) -> tuple[Counter[int], int]:
        """How often each number is in the tables; and how much more the rollup says than its table."""
        with connect(self.store_url) as client:
            found = Counter(row[0] for query in STORED for row in client.query(query).result_rows)
            return found, int(client.query(ROLLUP).result_rows[0][0])

    def wait_drained(self, timeout: float = 60.0) -> None:
        """Wait until the spool is empty."""
        deadline = time.monotonic() + timeout
        spool = self.data_dir / "spool"
        while left := list(spool.glob("*.segment")):
            assert time.monotonic() < deadline, (
                f"{len(left)} segments were never inserted\n{self.collector.stderr[-3000:]}"
            )
            time.sleep(0.02)

    def close(self) -> None:
        """Stop everything."""
        for one in (self._collector, self._store):
            if one is not None:
                one.kill()


@contextlib.contextmanager
def stage(directory: Path, seed: int, **options: Any) -> Iterator[Stage]:
    """A running stage for the length of a ``with`` block; ``options`` are those of ``Stage``."""
    one = Stage(directory, seed, **options)
    try:
        with one.proxy:
            one.start_store()
            one.start_collector()
            yield one
    finally:
        one.close()


def faults(one: Stage) -> dict[str, Callable[[], None]]:
    """All that can happen, by name."""
    found: dict[str, Callable[[], None]] = {
        "collector killed": one.kill_collector,
        "store killed": one.kill_store,
        "both killed": one.kill_both,
        "clock turned": one.turn_clock,
        "segment torn": one.tear_segment,
        "store frozen": one.freeze,
        "spool full": one.fill_spool,
        "writes cut": one.cut_writes,
    }
    for fault in (Fault.CUT_REQUEST, Fault.LOSE_ANSWER, Fault.ERROR, Fault.SLOW):
        found[f"network: {fault.value}"] = lambda fault=fault: one.fail(fault)  # type: ignore[misc]
    return found


def run(seconds: float, seed: int) -> Outcome:
    """Let every fault happen once in a random order, and go on for ``seconds``; then count."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="meshwise-crashes-") as scratch, stage(Path(scratch), seed) as one:
        draw = random.Random(seed)
        possible = faults(one)
        plan = list(possible)
        draw.shuffle(plan)
        with Senders(one.collector_port, one.grpc_port) as senders:
            senders.wait_acknowledged(5 * SPANS)
            while plan or time.monotonic() - begun < seconds:
                name = plan.pop() if plan else draw.choice(list(possible))
                possible[name]()
                one.faults[name] += 1
                senders.wait_acknowledged(draw.randrange(1, 10 * SPANS))
        one.wait_drained()
        return count(senders.ledger, one, seed, time.monotonic() - begun)


def count(ledger: Ledger, one: Stage, seed: int, seconds: float) -> Outcome:
    """Compare what senders know with what the tables hold."""
    assert not ledger.problems, ledger.problems
    stored, rollup_off = one.stored()
    return Outcome(
        acknowledged=len(ledger.acknowledged),
        stored=len(stored),
        lost=len(ledger.acknowledged - stored.keys()),
        duplicated=sum(times > 1 for times in stored.values()),
        invented=len(stored.keys() - ledger.attempted),
        rollup_off=rollup_off,
        refused_requests=ledger.refused,
        unanswered_requests=ledger.unknown,
        faults=dict(one.faults),
        seed=seed,
        seconds=round(seconds, 1),
    )


def main() -> None:
    """Run for as long as asked and print the outcome; exit with 1 when an item was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m support.crashes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    outcome = run(given.seconds, given.seed)
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    sys.exit(not outcome.sound)


if __name__ == "__main__":
    main()
