"""SLO documents, as objectives of ``contracts.slo``: plain ones, several over one indicator, and composites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.openslo.alerting import read_policies
from meshwise.contracts.openslo.budgeting import Budgeting, read_budgeting, read_slices, read_target
from meshwise.contracts.openslo.indicators import Sli, read_sli
from meshwise.contracts.openslo.library import Library
from meshwise.contracts.openslo.metadata import open_inline, take_description
from meshwise.contracts.reading import Reader, shown
from meshwise.contracts.slo import AlertRule, Indicator, Objective, Part, Signal, can_fire
from meshwise.contracts.telemetry import OUTCOME_OK

MAX_OBJECTIVES: Final = 20
SLOWEST_VALUE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all objectives of one SLO share."""

    name: str
    service: str
    budgeting: Budgeting
    policies: tuple[AlertRule, ...]
    policies_path: str


def read_slo(name: str, spec: Reader, library: Library) -> tuple[Objective, ...]:
    """Return the objectives that the ``spec`` of an SLO promises; a composite comes after its parts.

    Raises:
        DocumentError: it is wrong, cannot be measured, or has a rule that can never fire.
    """
    take_description(spec)
    service = spec.take_text("service")
    shared = _indicator(spec, library)
    budgeting = read_budgeting(spec)
    listed = spec.take_list("objectives")
    if not listed or len(listed) > MAX_OBJECTIVES:
        raise DocumentError(spec.at("objectives"), f"must hold 1 to {MAX_OBJECTIVES} objectives")
    path = spec.at("alertPolicies")
    frame = _Frame(name, service, budgeting, read_policies(spec.take("alertPolicies"), path, library), path)
    spec.finish()
    readers = [Reader(item, f"{spec.at('objectives')}[{position}]") for position, item in enumerate(listed)]
    if shared is None:
        if len(readers) == 1:
            problem = "is required: indicator, or indicatorRef, or several objectives with one each"
            raise DocumentError(spec.at("indicator"), problem)
        return _composite(readers, frame, library)
    if shared.is_threshold and len(readers) > 1:
        raise DocumentError(spec.at("objectives"), "a thresholdMetric has exactly one objective")
    objectives = []
    for position, reader in enumerate(readers):
        for key in ("indicator", "indicatorRef", "compositeWeight"):
            if reader.has(key):
                problem = "belongs to a composite, whose objectives have an indicator each: leave it out here or there"
                raise DocumentError(reader.at(key), problem)
            reader.take(key)
        objective = _objective(reader, frame, shared, _title(name, position, readers))
        _check_rules(objective, frame)
        objectives.append(replace(objective, policies=frame.policies))
    return tuple(objectives)


def _composite(readers: Sequence[Reader], frame: _Frame, library: Library) -> tuple[Objective, ...]:
    parts = []
    for position, reader in enumerate(readers):
        weight = reader.take_number("compositeWeight", 1.0, 0.000001, 1_000_000.0)
        sli = _indicator(reader, library)
        if sli is None:
            raise DocumentError(reader.at("indicator"), "is required: the SLO has no indicator for all objectives")
        part = _objective(reader, frame, sli, _title(frame.name, position, readers))
        parts.append(Part(weight, replace(part, watched=False)))
    whole = Objective(
        frame.service,
        "composite",
        sum(part.weight * part.objective.target for part in parts) / sum(part.weight for part in parts),
        frame.budgeting.window_s,
        title=frame.name,
        document=frame.name,
        calendar=frame.budgeting.calendar,
        # The longest slice decides how short a rule's window may be.
        slices=max((p.objective.slices for p in parts if p.objective.slices), key=lambda s: s.seconds, default=None),
        parts=tuple(parts),
    )
    _check_rules(whole, frame)
    # The parts are reported; who is told, and when, is decided by the whole.
    return (*(part.objective for part in parts), replace(whole, policies=frame.policies))


def _title(name: str, position: int, readers: Sequence[Reader]) -> str:
    return name if len(readers) == 1 else f"{name}/{position + 1}"


def _indicator(reader: Reader, library: Library) -> Sli | None:
    if reader.has("indicator") and reader.has("indicatorRef"):
        raise DocumentError(reader.at("indicator"), "is given twice: as indicator and as indicatorRef")
    path, inline = reader.at("indicator"), reader.take("indicator")
    if inline is not None:
        reader.take("indicatorRef")
        _, spec = open_inline(inline, path, "SLI")
        return read_sli(spec)
    if not reader.has("indicatorRef"):
        reader.take("indicatorRef")
        return None
    return library.follow(reader, "indicatorRef", "SLI", library.slis)[1]


def _objective(reader: Reader, frame: _Frame, sli: Sli, title: str) -> Objective:
    reader.take_text("displayName", "")
    target = read_target(reader)
    signal = sli.signal if sli.signal.destination else replace(sli.signal, destination=frame.service)
    if sli.is_threshold:
        signal = replace(signal, within_s=_fast_enough(reader))
    else:
        _check_comparison(reader)
    slices = read_slices(reader, frame.budgeting)
    reader.finish()
    return Objective(
        frame.service,
        _kind(signal),
        target,
        frame.budgeting.window_s,
        signal.within_s,
        title=title,
        document=frame.name,
        signal=signal,
        calendar=frame.budgeting.calendar,
        slices=slices,
    )


def _kind(signal: Signal) -> Indicator:
    if signal.within_s is not None:
        return "latency"
    return "availability" if signal.good == frozenset({OUTCOME_OK}) else "ratio"


def _fast_enough(reader: Reader) -> float:
    op = reader.take_text("op", longest=8)
    if op in ("gt", "gte"):
        raise DocumentError(reader.at("op"), "would promise to be slow; write lte or lt")
    if op not in ("lt", "lte"):
        raise DocumentError(reader.at("op"), f"{shown(op)} is not one of lte, lt")
    if not reader.has("value"):
        raise DocumentError(reader.at("value"), "is required: the latency in seconds that is fast enough, such as 0.3")
    return reader.take_number("value", 0.0, 0.001, SLOWEST_VALUE_S)


def _check_comparison(reader: Reader) -> None:
    if reader.has("value"):
        raise DocumentError(reader.at("value"), "belongs to a thresholdMetric; a ratio is compared with its target")
    reader.take("value")
    if reader.take_text("op", "gte", longest=8) not in ("gt", "gte"):
        problem = "a share of good requests is promised to be at least the target; write gte, or leave it out"
        raise DocumentError(reader.at("op"), problem)


def _check_rules(objective: Objective, frame: _Frame) -> None:
    """Refuse a policy that can never fire: nobody would notice until it was needed."""
    for position, policy in enumerate(frame.policies):
        at, rule, name = f"{frame.policies_path}[{position}]", policy.rule, repr(policy.name)
        if objective.slices and rule.long_s < objective.slices.seconds:
            raise DocumentError(at, f"{name} can never fire: its lookbackWindow is shorter than a time slice")
        if rule.long_s > objective.window_s:
            raise DocumentError(at, f"{name} looks back further than the window of the SLO; shorten its lookbackWindow")
        if policy.when_breaching and not can_fire(rule, objective.highest_burn):
            problem = (
                f"{name} can never fire: with a target of {objective.target:g} the budget burns at most "
                f"{objective.highest_burn:g} times too fast; lower its threshold of {rule.factor:g} or raise the target"
            )
            raise DocumentError(at, problem)
