"""A document of the receiver's own shape: JSON whose texts hold ``$service`` and the like, one per alert.

Names are replaced inside texts before the whole becomes JSON, so nothing that telemetry says can break out of its
place; there are no expressions, and nothing is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Template
from typing import Any, Final

NAMES: Final = (
    "status", "alertname", "service", "objective", "severity", "policy", "summary", "likely_cause", "proposal",
    "proposal_id", "started_at", "ended_at", "fingerprint", "burn_long", "burn_short", "url",
)  # fmt: skip
MAX_DEPTH: Final = 20


def check_template(template: object) -> None:
    """Check every text of a template.

    Raises:
        ValueError: it is nested too deep, or a text names something unknown, with what is known.
    """
    for text in _texts(template, 0):
        found = Template(text)
        if not found.is_valid():
            raise ValueError(f"{text[:80]!r} has a $ that begins no name; write $$ for a dollar")
        for name in found.get_identifiers():
            if name not in NAMES:
                raise ValueError(f"${name} is not known; known are {', '.join(f'${one}' for one in NAMES)}")


def fill(template: Any, values: Mapping[str, str]) -> Any:
    """Return ``template`` with every name replaced by its value; one without a value is empty."""
    return _filled(template, dict.fromkeys(NAMES, "") | dict(values))


def _filled(template: Any, values: dict[str, str]) -> Any:
    if isinstance(template, str):
        return Template(template).substitute(values)
    if isinstance(template, dict):
        return {key: _filled(inner, values) for key, inner in template.items()}
    if isinstance(template, list | tuple):
        return [_filled(inner, values) for inner in template]
    return template


def _texts(template: object, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict):
        for inner in template.values():
            yield from _texts(inner, depth + 1)
    elif isinstance(template, list | tuple):
        for inner in template:
            yield from _texts(inner, depth + 1)
