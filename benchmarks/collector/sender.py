"""``python -m benchmarks.collector.sender PORT OPTIONS``: sends spans over OTLP/HTTP and prints what came of it.

As fast as they are acknowledged, over a few connections, as long as no more than a bounded number of spans waits for
the store; or at a steady rate. A refusal that may be tried again is tried again.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import threading
import time
from dataclasses import asdict, dataclass, field

from benchmarks.collector.spans import SPANS, Template, now_ns, templates
from benchmarks.collector.system import counted

HEADERS = {"content-type": "application/x-protobuf"}


@dataclass(slots=True)
class Sent:
    """What senders saw: spans acknowledged, when they began (monotonic), seconds it took, refusals, time per answer."""

    begun: float = 0.0
    spans: int = 0
    seconds: float = 0.0
    refused: int = 0
    latencies: list[float] = field(default_factory=list)


class Gate:
    """Closed while more than ``most`` spans wait for the store, so that what is measured can go on for ever."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._most = most
        self.open = threading.Event()
        self.open.set()

    def watch(self, until: float) -> None:
        """Look twice a second; the look itself costs the collector a millisecond."""
        while time.monotonic() < until:
            seen = counted(self._port)
            waiting = seen.accepted - seen.inserted
            (self.open.clear if waiting > self._most else self.open.set)()
            time.sleep(0.5)
        self.open.set()


def saturate(port: int, connections: int, seconds: float, *, most_waiting: int, spans: int | None) -> Sent:
    """Send for ``seconds``, or ``spans`` spans, over ``connections``, each waiting for its answer."""
    sent, lock = Sent(), threading.Lock()
    made = templates()
    begun = time.monotonic()
    gate = Gate(port, most_waiting)
    left = itertools.count(spans // SPANS, -1) if spans else itertools.repeat(1)
    until = begun + seconds

    def push(mine: list[Template]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)
        for template in itertools.cycle(mine):
            gate.open.wait(5.0)
            if time.monotonic() >= until or next(left) <= 0:
                return
            taken, latency, refused = post(connection, template.stamp(now_ns()))
            with lock:
                sent.spans += SPANS * taken
                sent.refused += refused
                sent.latencies.append(latency)

    threads = [threading.Thread(target=push, args=(made[number::connections],)) for number in range(connections)]
    threading.Thread(target=gate.watch, args=(until,), daemon=True).start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.begun, sent.seconds = begun, time.monotonic() - begun
    return sent


def steady(port: int, connections: int, seconds: float, rate: float) -> Sent:
    """Send ``rate`` spans a second, evenly, and time each answer from the moment its request was due."""
    sent, lock = Sent(), threading.Lock()
    made = templates()
    begun = time.monotonic() + 0.1
    due = itertools.count()

    def push(mine: list[Template]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)
        for template in itertools.cycle(mine):
            at = begun + next(due) * SPANS / rate
            if at >= begun + seconds:
                return
            body = template.stamp(now_ns())
            time.sleep(max(0.0, at - time.monotonic()))
            taken, _, refused = post(connection, body)
            with lock:
                sent.spans += SPANS * taken
                sent.refused += refused
                sent.latencies.append(time.monotonic() - at)

    threads = [threading.Thread(target=push, args=(made[number::connections],)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.begun, sent.seconds = begun, time.monotonic() - begun
    return sent


def post(connection: http.client.HTTPConnection, body: bytes) -> tuple[bool, float, int]:
    """Send until it is taken or refused for ever: whether it was taken, seconds of the last try, refusals."""
    refused = 0
    while True:
        started = time.monotonic()
        connection.request("POST", "/v1/traces", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        latency = time.monotonic() - started
        if answer.status == 200:
            return True, latency, refused
        refused += 1
        if answer.status not in (429, 502, 503, 504):
            return False, latency, refused
        time.sleep(float(answer.headers.get("retry-after", "1")))


def main() -> None:
    """Send, then print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector.sender", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, help="4 at a steady rate, else 16: one always has its answer")
    parser.add_argument("--rate", type=float, help="spans a second; as many as are taken when left out")
    parser.add_argument("--spans", type=int, help="end after as many; as many as there is time for when left out")
    parser.add_argument("--most-waiting", type=int, default=500_000, help="spans that may wait for the store")
    given = parser.parse_args()
    if given.rate:
        sent = steady(given.port, given.connections or 4, given.seconds, given.rate)
    else:
        sent = saturate(
            given.port, given.connections or 16, given.seconds, most_waiting=given.most_waiting, spans=given.spans
        )
    print(json.dumps(asdict(sent)))


if __name__ == "__main__":
    main()
