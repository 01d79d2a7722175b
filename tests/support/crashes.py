"""Crashes on purpose: senders that retry as OTLP says, while collector, store, network and clock fail at random.

    PYTHONPATH=.:tests python -m support.crashes [--seconds 60] [--seed N]

Every span has an id of its own. A request that was refused for now is sent again as it is; one whose answer never came
may or may not have been taken, so it is left as it is and the next one has new ids. In the end every acknowledged span
must be in the table once, and every other one at most once.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import grpc

from meshwise.collector.signals import DOORS, Signal
from meshwise.store.client import connect
from support.collector import collector_command
from support.fault_proxy import Fault, FaultProxy
from support.otlp import span_id, traces
from support.processes import Process, free_port
from support.store import store_command

SPANS: Final = 20
"""Spans in a request."""
PAUSE_S: Final = 0.01
"""Between two requests of a sender: crashes are at issue, not load."""
PROTOBUF: Final = {"content-type": "application/x-protobuf"}
METHOD: Final = DOORS[Signal.TRACES].grpc_method
RETRIED: Final = (429, 502, 503, 504)
CLOCK: Final = """
import random, sys, time
_skew = float(sys.argv.pop(1))
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _skew
time.time_ns = lambda: _time_ns() + int(_skew * 1e9)
"""
"""Put before a program: its wall clock is off by its first argument, in seconds."""


@dataclass(slots=True)
class Ledger:
    """What senders know: ids given out, and of those the ones that were acknowledged."""

    attempted: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    refused: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: counts of spans, and of the faults that happened."""

    acknowledged: int
    stored: int
    lost: int
    duplicated: int
    invented: int
    refused_requests: int
    unanswered_requests: int
    faults: dict[str, int]
    seed: int
    seconds: float


class Senders:
    """A few threads that send until told to stop, one of them over gRPC."""

    def __init__(self, http_port: int, grpc_port: int) -> None:
        self.ledger = Ledger()
        self._port = http_port
        self._grpc_port = grpc_port
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        ways = (self._post, self._post, self._call)
        self._threads = [threading.Thread(target=self._run, args=(way,), daemon=True) for way in ways]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30.0)

    def wait_acknowledged(self, more: int, timeout: float = 30.0) -> None:
        """Wait until ``more`` spans than now are acknowledged."""
        goal = len(self.ledger.acknowledged) + more
        deadline = time.monotonic() + timeout
        while len(self.ledger.acknowledged) < goal:
            assert time.monotonic() < deadline, f"only {len(self.ledger.acknowledged)} of {goal} spans acknowledged"
            time.sleep(0.005)

    def _run(self, send: Callable[[bytes], int | None]) -> None:
        while not self._stopped.is_set():
            with self._lock:
                mine = [next(self._numbers) for _ in range(SPANS)]
                self.ledger.attempted.update(mine)
            body = traces(mine).SerializeToString()
            # An answer to a refusal is final only when it is none that may be tried again.
            while not self._stopped.is_set():
                status = send(body)
                if status in RETRIED:
                    self.ledger.refused += 1
                    time.sleep(0.02)
                    continue
                if status == 200:
                    with self._lock:
                        self.ledger.acknowledged.update(mine)
                    time.sleep(PAUSE_S)
                elif status is None:
                    self.ledger.unknown += 1
                    time.sleep(0.02)
                else:
                    raise AssertionError(f"a good request was answered {status}")
                break

    def _call(self, body: bytes) -> int | None:
        """Send over gRPC; the answer is what it would be over HTTP, None when nobody answered."""
        with grpc.insecure_channel(f"127.0.0.1:{self._grpc_port}") as channel:
            try:
                channel.unary_unary(METHOD, bytes, bytes)(body, timeout=20.0)
            except grpc.RpcError as error:
                # Only the collector itself says how long to wait; without that the connection failed, whenever it did.
                trailers: Any = error.trailing_metadata() or ()
                if any(key == "grpc-status-details-bin" for key, _ in trailers):
                    return 503 if error.code() is grpc.StatusCode.UNAVAILABLE else 400
                return None
            return 200

    def _post(self, body: bytes) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20.0)
        try:
            connection.request("POST", "/v1/traces", body, PROTOBUF)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return None
        else:
            return answer.status
        finally:
            connection.close()


class Stage:
    """Store, fault proxy and collector over one directory, and ways to hurt them."""

    def __init__(self, directory: Path, seed: int, data_dir: Path | None = None) -> None:
        self._directory = directory
        self.data_dir = data_dir or directory / "collector"
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

    def start_collector(self, skew: float = 0.0) -> None:
        """Start the collector, or start it again, with its wall clock off by ``skew`` seconds."""
        url = f"http://127.0.0.1:{self.proxy.port}/meshwise"
        small = {"segment_bytes": 128 * 1024, "flush_interval_s": 0.02, "insert_timeout_s": 10.0}
        ports = {"http_port": self.collector_port, "grpc_port": self.grpc_port}
        python, flag, program, document = collector_command(url, self.data_dir, **small, **ports)
        command = [python, flag, CLOCK + program, str(skew), document]
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
        """Kill the collector; the next one's clock is off by up to a day, in either direction."""
        self.collector.kill()
        self.start_collector(self._random.choice((-1, 1)) * self._random.uniform(60.0, 86_400.0))

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

    def stored(self) -> Counter[str]:
        """How often each span is in the table, by its id."""
        with connect(self.store_url) as client:
            return Counter(row[0] for row in client.query("SELECT SpanId FROM otel_traces").result_rows)

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
def stage(directory: Path, seed: int, data_dir: Path | None = None) -> Iterator[Stage]:
    """A running stage for the length of a ``with`` block; the collector keeps its data in ``data_dir`` when given."""
    one = Stage(directory, seed, data_dir)
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
    }
    for fault in (Fault.REFUSE, Fault.CUT_REQUEST, Fault.LOSE_ANSWER, Fault.ERROR, Fault.SLOW):
        found[f"network: {fault.value}"] = lambda fault=fault: one.fail(fault)  # type: ignore[misc]
    return found


def run(seconds: float, seed: int, *, without: Collection[str] = ()) -> Outcome:
    """Let every fault but ``without`` happen once in a random order, and go on for ``seconds``; then count."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="meshwise-crashes-") as scratch, stage(Path(scratch), seed) as one:
        draw = random.Random(seed)
        possible = {name: fault for name, fault in faults(one).items() if name not in without}
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
    """Compare what senders know with what the table holds."""
    stored = one.stored()
    return Outcome(
        acknowledged=len(ledger.acknowledged),
        stored=len(stored),
        lost=sum(span_id(number).hex() not in stored for number in ledger.acknowledged),
        duplicated=sum(times > 1 for times in stored.values()),
        invented=len(stored.keys() - {span_id(number).hex() for number in ledger.attempted}),
        refused_requests=ledger.refused,
        unanswered_requests=ledger.unknown,
        faults=dict(one.faults),
        seed=seed,
        seconds=round(seconds, 1),
    )


def main() -> None:
    """Run for as long as asked and print the outcome; exit with 1 when a span was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m support.crashes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    outcome = run(given.seconds, given.seed)
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    sys.exit(bool(outcome.lost or outcome.duplicated or outcome.invented))


if __name__ == "__main__":
    main()
