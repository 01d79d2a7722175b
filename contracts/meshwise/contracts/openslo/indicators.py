"""SLI documents, and our selectors under ``metricSource.spec``.

    metricSource:
      type: meshwise
      spec:
        destination: cart       # the service that is called; left out, the service of the SLO
        source: web             # only this caller
        route: /items/{id}      # only this route of a policy
        methods: [GET, HEAD]    # only these
        outcomes: [ok]          # of a ratio: which outcomes count
        within: 300ms           # of good requests: no slower than this
        slower_than: 300ms      # of bad requests

A ``thresholdMetric`` measures ``latency`` in seconds, request by request; the objective's ``op`` and ``value`` say how
fast is fast enough. Requests whose caller went away are never judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.openslo.metadata import take_description
from meshwise.contracts.reading import Reader, shown
from meshwise.contracts.slo import JUDGED, Signal
from meshwise.contracts.telemetry import OUTCOME_CANCELLED, OUTCOME_OK

SOURCE_TYPE: Final = "meshwise"
LONGEST_WAIT_S: Final = 3600.0
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)
_NARROWING: Final = ("destination", "source", "route", "methods")


@dataclass(frozen=True, slots=True)
class Sli:
    """One indicator; ``signal.destination`` is empty when the SLO's service is meant.

    ``is_threshold`` means that the objective has to say how fast is fast enough.
    """

    signal: Signal
    is_threshold: bool = False


def read_sli(spec: Reader) -> Sli:
    """Return the indicator that the ``spec`` of an SLI says.

    Raises:
        DocumentError: it cannot be measured here.
    """
    take_description(spec)
    if spec.has("thresholdMetric") == spec.has("ratioMetric"):
        raise DocumentError(spec.path, "needs either ratioMetric or thresholdMetric")
    threshold, ratio = spec.take("thresholdMetric"), spec.take("ratioMetric")
    spec.finish()
    if threshold is not None:
        return _threshold(Reader(threshold, spec.at("thresholdMetric")))
    return _ratio(Reader(ratio, spec.at("ratioMetric")))


def _threshold(metric: Reader) -> Sli:
    source = _source(metric)
    metric.finish()
    measure = source.take_text("measure", "latency", longest=64)
    if measure != "latency":
        problem = f"{shown(measure)} is not measured; write latency, or a ratioMetric for shares of requests"
        raise DocumentError(source.at("measure"), problem)
    for key in ("quantile", "percentile"):
        if source.has(key):
            remedy = "every request is judged: say the share that must be fast enough as target or timeSliceTarget"
            raise DocumentError(source.at(key), remedy)
    signal = _narrowed(source)
    source.finish()
    return Sli(signal, is_threshold=True)


def _ratio(metric: Reader) -> Sli:
    if metric.has("raw") or metric.has("rawType"):
        raise DocumentError(metric.at("raw"), "meshwise counts requests itself: give good or bad, and total")
    if not metric.take_flag("counter", True):
        raise DocumentError(metric.at("counter"), "meshwise counts requests: write true, or leave it out")
    if metric.has("good") == metric.has("bad"):
        raise DocumentError(metric.path, "needs either good or bad")
    if not metric.has("total"):
        raise DocumentError(metric.at("total"), "is required")
    total = _source(metric.take_section("total"), closing=True)
    signal = _narrowed(total)
    judged = _outcomes(total) or JUDGED
    total.finish()
    which = "good" if metric.has("good") else "bad"
    part = _source(metric.take_section(which), closing=True)
    metric.take("good" if which == "bad" else "bad")
    metric.finish()
    _same_requests(part, signal)
    outcomes = _outcomes(part)
    if outcomes is not None and outcomes - judged:
        extra = ", ".join(sorted(outcomes - judged))
        raise DocumentError(part.at("outcomes"), f"{extra} is not in total: add it there, or leave it out here")
    signal = replace(signal, judged=judged)
    return Sli(_good(part, signal, outcomes) if which == "good" else _bad(part, signal, outcomes))


def _good(part: Reader, signal: Signal, outcomes: frozenset[str] | None) -> Signal:
    within = part.take_seconds("within", None, 0.001, LONGEST_WAIT_S)
    if part.has("slower_than"):
        raise DocumentError(part.at("slower_than"), "says what is bad: write within here")
    part.finish()
    good = outcomes if outcomes is not None else frozenset({OUTCOME_OK}) & signal.judged
    if not good or (good == signal.judged and within is None):
        raise DocumentError(part.path, "counts every request as good or none: say outcomes or within")
    return replace(signal, good=good, within_s=within)


def _bad(part: Reader, signal: Signal, outcomes: frozenset[str] | None) -> Signal:
    slower = part.take_seconds("slower_than", None, 0.001, LONGEST_WAIT_S)
    if part.has("within"):
        raise DocumentError(part.at("within"), "says what is good: write slower_than here")
    part.finish()
    if slower is not None and outcomes is not None:
        problem = "bad by outcomes or by slower_than, not by both at once: write good with outcomes and within"
        raise DocumentError(part.path, problem)
    if slower is not None:
        return replace(signal, good=signal.judged, within_s=slower)
    bad = signal.judged - {OUTCOME_OK} if outcomes is None else outcomes
    if not bad or bad == signal.judged:
        raise DocumentError(part.path, "counts every request as bad or none: say outcomes or slower_than")
    return replace(signal, good=signal.judged - bad)


def _source(metric: Reader, *, closing: bool = False) -> Reader:
    source = metric.take_section("metricSource")
    if closing:
        metric.finish()
    if source.has("metricSourceRef"):
        raise DocumentError(source.at("metricSourceRef"), f"names a DataSource: write type: {SOURCE_TYPE} instead")
    kind = source.take_text("type", longest=64)
    if kind != SOURCE_TYPE:
        raise DocumentError(source.at("type"), f"{shown(kind)} cannot be read from here; write {SOURCE_TYPE}")
    spec = source.take_section("spec")
    source.finish()
    return spec


def _narrowed(spec: Reader) -> Signal:
    return Signal(
        destination=spec.take_text("destination", ""),
        source=spec.take_text("source", "") or None,
        route=spec.take_text("route", "", longest=512) or None,
        methods=_methods(spec),
    )


def _methods(spec: Reader) -> tuple[str, ...]:
    listed = spec.take_list("methods")
    if listed is None:
        return ()
    if not listed:
        raise DocumentError(spec.at("methods"), "must name a method; leave it out for all of them")
    for one in listed:
        if not isinstance(one, str) or not _METHOD.fullmatch(one):
            raise DocumentError(spec.at("methods"), f"{shown(one)} is not a method such as GET")
    return tuple(sorted({str(one) for one in listed}))


def _outcomes(spec: Reader) -> frozenset[str] | None:
    listed = spec.take_list("outcomes")
    if listed is None:
        return None
    if not listed:
        raise DocumentError(spec.at("outcomes"), "must name an outcome; leave it out for the usual ones")
    for one in listed:
        if one == OUTCOME_CANCELLED:
            raise DocumentError(spec.at("outcomes"), "a cancelled request is neither good nor bad: leave it out")
        if not isinstance(one, str) or one not in JUDGED:
            raise DocumentError(spec.at("outcomes"), f"{shown(one)} is not one of {', '.join(sorted(JUDGED))}")
    return frozenset(str(one) for one in listed)


def _same_requests(part: Reader, total: Signal) -> None:
    given = {key for key in _NARROWING if part.has(key)}
    narrowed = _narrowed(part)
    for key in given:
        if getattr(narrowed, key) != getattr(total, key):
            raise DocumentError(part.at(key), "must be what total says; leave it out here")
