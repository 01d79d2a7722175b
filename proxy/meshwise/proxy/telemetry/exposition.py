"""The proxy's counters as Prometheus text, written by hand: a dozen families need no library. Pure but for ``/proc``.

Source: the Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from meshwise.proxy.telemetry.recorder import RingRecorder

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(slots=True)
class Family:
    """One metric: its samples by label values."""

    name: str
    kind: str
    help: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> Family:
        """Append one sample and return the family."""
        self.samples.append((labels, value))
        return self


def render(families: Iterator[Family] | list[Family]) -> str:
    """Return ``families`` as exposition text; a family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            inner = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
            lines.append(f"{family.name}{{{inner}}} {_number(value)}" if inner else f"{family.name} {_number(value)}")
    return "\n".join(lines) + "\n"


def recorder_families(recorder: RingRecorder) -> Iterator[Family]:
    """Yield what ``recorder`` counted since start."""
    totals = recorder.aggregate.totals()
    requests = Family("meshwise_requests_total", "counter", "Logical requests finished.")
    seconds = Family("meshwise_request_seconds_total", "counter", "Time spent in logical requests.")
    for (side, destination, outcome), count in totals.requests.items():
        requests.add(count, side=side, destination=destination, outcome=outcome)
    for (side, destination, outcome), spent in totals.seconds.items():
        seconds.add(spent, side=side, destination=destination, outcome=outcome)
    attempts = Family("meshwise_attempts_total", "counter", "Attempts finished on the wire.")
    for (destination, outcome), count in totals.attempts.items():
        attempts.add(count, destination=destination, outcome=outcome)
    retries = Family("meshwise_retries_total", "counter", "Attempts beyond the first.")
    for destination, count in totals.retries.items():
        retries.add(count, destination=destination)
    denied = Family("meshwise_retries_denied_total", "counter", "Retries wanted but not made.")
    for (destination, reason), count in totals.denied.items():
        denied.add(count, destination=destination, reason=reason)
    ejections = Family("meshwise_outlier_ejections_total", "counter", "Endpoints taken out of rotation.")
    for destination, count in totals.ejections.items():
        ejections.add(count, destination=destination)
    shadow = Family("meshwise_shadow_attempts_total", "counter", "Attempts by what a candidate policy would have done.")
    for (destination, verdict), count in totals.shadow.items():
        shadow.add(count, destination=destination, verdict=verdict)
    active = Family("meshwise_requests_active", "gauge", "Logical requests under way.")
    for (side, destination), count in recorder.in_flight.items():
        active.add(count, side=side, destination=destination)
    dropped = Family("meshwise_telemetry_dropped_total", "counter", "Telemetry lost: ring full or collector away.")
    for signal, count in recorder.dropped().items():
        dropped.add(count, signal=signal)
    held = Family("meshwise_telemetry_ring_records", "gauge", "Records waiting to be sent.")
    for signal, count in recorder.held().items():
        held.add(count, signal=signal)
    overflow = Family("meshwise_telemetry_series_overflow_total", "counter", 'Series counted under "other".')
    yield from (requests, seconds, attempts, retries, denied, ejections, shadow, active, dropped, held)
    yield overflow.add(totals.overflowed)


def process_families() -> Iterator[Family]:
    """Yield the process's own figures: memory, file descriptors, processor time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = Family("process_cpu_seconds_total", "counter", "Processor time used, in seconds.")
    yield cpu.add(usage.ru_utime + usage.ru_stime)
    yield Family("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.").add(_resident_bytes(usage))
    descriptors = _open_descriptors()
    if descriptors >= 0:
        yield Family("process_open_fds", "gauge", "Open file descriptors.").add(descriptors)


def stats_families(stats: Mapping[str, Any]) -> Iterator[Family]:
    """Yield every number in ``stats``, nested mappings joined by underscores, as ``meshwise_proxy_<name>`` gauges."""
    for name, value in _numbers("meshwise_proxy", stats):
        yield Family(name, "gauge", "From the proxy's statistics.").add(value)


def _numbers(prefix: str, stats: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in stats.items():
        name = f"{prefix}_{_NOT_IN_NAMES.sub('_', str(key))}"
        if isinstance(value, Mapping):
            yield from _numbers(name, value)
        elif isinstance(value, (bool, int, float)):
            yield name, float(value)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _resident_bytes(usage: resource.struct_rusage) -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        # No /proc: the peak is the next best. Bytes on macOS, kibibytes elsewhere.
        return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


def _open_descriptors() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            return sum(1 for _ in Path(directory).iterdir()) - 1  # one of them is the listing itself
        except OSError:
            continue
    return -1
