"""AlertPolicy, AlertCondition and AlertNotificationTarget.

A condition watches one window: it holds while the budget burns past ``threshold`` over ``lookbackWindow``, and fires
after ``alertAfter``. A target names a receiver of ``analytics.webhooks``; addresses and secrets stay out of documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.openslo.library import Library
from meshwise.contracts.openslo.metadata import open_inline, span_of, take_description, take_kind, take_span
from meshwise.contracts.reading import Reader, shown
from meshwise.contracts.slo import AlertRule, BurnRule, Severity

SEVERITIES: Final[Mapping[str, Severity]] = {"page": "page", "ticket": "ticket"}
LONGEST_LOOKBACK_S: Final = 28 * 86_400.0
LONGEST_AFTER_S: Final = 86_400.0
_NOTHING: Final = frozenset({"0m", "0h", "0d"})


def read_condition(spec: Reader) -> BurnRule:
    """Return the rule that the ``spec`` of an AlertCondition says.

    Raises:
        DocumentError: it is wrong.
    """
    take_description(spec)
    severity = spec.take_text("severity", longest=64)
    if severity not in SEVERITIES:
        problem = f"{shown(severity)} is not one of page, ticket: does it wake somebody, or wait for the day?"
        raise DocumentError(spec.at("severity"), problem)
    if not spec.has("condition"):
        raise DocumentError(spec.at("condition"), "is required")
    condition = spec.take_section("condition")
    spec.finish()
    kind = condition.take_text("kind", "burnrate", longest=64)
    if kind != "burnrate":
        raise DocumentError(condition.at("kind"), f"{shown(kind)} is not understood; write burnrate")
    op = condition.take_text("op", longest=8)
    if op in ("lt", "lte"):
        raise DocumentError(condition.at("op"), "would alert while the budget burns slowly; write gt or gte")
    if op not in ("gt", "gte"):
        raise DocumentError(condition.at("op"), f"{shown(op)} is not one of gt, gte")
    if not condition.has("threshold"):
        raise DocumentError(condition.at("threshold"), "is required")
    threshold = condition.take_number("threshold", 0.0, 0.001, 1_000_000.0)
    lookback = take_span(condition, "lookbackWindow").seconds
    if lookback > LONGEST_LOOKBACK_S:
        raise DocumentError(condition.at("lookbackWindow"), "is longer than 4w")
    after = _after(condition)
    condition.finish()
    return BurnRule(SEVERITIES[severity], threshold, lookback, lookback, op == "gte", after)


def _after(condition: Reader) -> float:
    text = condition.take_text("alertAfter", "0m", longest=64)
    if text in _NOTHING:
        return 0.0
    seconds = span_of(text, condition.at("alertAfter")).seconds
    if seconds > LONGEST_AFTER_S:
        raise DocumentError(condition.at("alertAfter"), "is longer than a day")
    return seconds


def read_target(spec: Reader) -> str:
    """Return the receiver that the ``spec`` of an AlertNotificationTarget names.

    Raises:
        DocumentError: it names none.
    """
    take_description(spec)
    target = spec.take_text("target", longest=128)
    if "://" in target:
        problem = "is an address: name a receiver of analytics.webhooks, where its address and secret are kept"
        raise DocumentError(spec.at("target"), problem)
    spec.finish()
    return target


def read_policy(name: str, spec: Reader, library: Library) -> AlertRule:
    """Return what the ``spec`` of an AlertPolicy says, its references followed.

    Raises:
        DocumentError: it is wrong, would never alert, or refers to something that is not there.
    """
    take_description(spec)
    breaching = spec.take_flag("alertWhenBreaching", False)
    resolved = spec.take_flag("alertWhenResolved", False)
    no_data = spec.take_flag("alertWhenNoData", False)
    if not breaching and not no_data:
        raise DocumentError(spec.at("alertWhenBreaching"), "the policy would never alert; write true")
    conditions = spec.take_list("conditions")
    if not conditions or len(conditions) != 1:
        raise DocumentError(spec.at("conditions"), "must hold exactly one condition; write one policy for each")
    rule = _condition(conditions[0], f"{spec.at('conditions')}[0]", library)
    listed = spec.take_list("notificationTargets")
    if not listed:
        raise DocumentError(spec.at("notificationTargets"), "must name who is told: a list of targetRef")
    path = spec.at("notificationTargets")
    targets = [_target(item, f"{path}[{position}]", library) for position, item in enumerate(listed)]
    spec.finish()
    return AlertRule(name, rule, breaching, resolved, no_data, tuple(dict.fromkeys(targets)))


def read_policies(listed: object, path: str, library: Library) -> tuple[AlertRule, ...]:
    """Return the alert policies of an SLO: each is inline or refers to one by ``alertPolicyRef``.

    Raises:
        DocumentError: one of them is wrong, or named twice.
    """
    if listed is None:
        return ()
    if not isinstance(listed, list | tuple):
        raise DocumentError(path, "must be a list")
    policies: dict[str, AlertRule] = {}
    for position, item in enumerate(listed):
        at = f"{path}[{position}]"
        if isinstance(item, str):
            raise DocumentError(at, f"write alertPolicyRef: {item[:80]}")
        if isinstance(item, Mapping) and "alertPolicyRef" in item:
            reader = Reader(item, at)
            name, policy = library.follow(reader, "alertPolicyRef", "AlertPolicy", library.policies)
            reader.finish()
        else:
            metadata, spec = open_inline(item, at, "AlertPolicy")
            name, policy = metadata.name, read_policy(metadata.name, spec, library)
        if name in policies:
            raise DocumentError(at, f"the policy {name!r} is there twice")
        policies[name] = policy
    return tuple(policies.values())


def _condition(item: object, path: str, library: Library) -> BurnRule:
    reader = Reader(item, path)
    if reader.has("conditionRef"):
        if reader.has("kind"):
            take_kind(reader, ("AlertCondition",))
        _, rule = library.follow(reader, "conditionRef", "AlertCondition", library.conditions)
        reader.finish()
        return rule
    _, spec = open_inline(item, path, "AlertCondition")
    return read_condition(spec)


def _target(item: object, path: str, library: Library) -> str:
    reader = Reader(item, path)
    if reader.has("targetRef"):
        if reader.has("kind"):
            take_kind(reader, ("AlertNotificationTarget",))
        _, target = library.follow(reader, "targetRef", "AlertNotificationTarget", library.targets)
        reader.finish()
        return target
    _, spec = open_inline(item, path, "AlertNotificationTarget")
    return read_target(spec)
