"""An exported policy, and what all dialects lack alike."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from meshwise.contracts.policy import ANY, Policy

GRPC_CONDITIONS: Final = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
"""gRPC statuses that Envoy, and Istio through it, has a retry condition for."""

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Export:
    """Documents of one dialect, and ``notes``: a sentence per field that it says otherwise or not at all."""

    title: str
    documents: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    def to_yaml(self) -> str:
        """Return the documents with their notes as comments before them."""
        head = [self.title, *(f"not as meshwise has it: {note}" for note in self.notes)]
        comments = [line for text in head for line in _comment(text)]
        bodies = [yaml.safe_dump(dict(document), sort_keys=False, width=_WIDTH) for document in self.documents]
        return "\n".join([*comments, "---\n".join(["", *bodies]).lstrip("\n")])


def _comment(text: str) -> list[str]:
    # Whatever a policy's reason says, it cannot end its comment: wrapping leaves no line break in it.
    return textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent="# ", subsequent_indent="#   ")


def title_of(policy: Policy, dialect: str) -> str:
    """Return the first comment: which policy this is, and why it is as it is."""
    why = f": {policy.reason}" if policy.reason else ""
    return f"{policy.name} version {policy.version} in the words of {dialect}{why}"


def left_out(policy: Policy, known: Iterable[str] = ()) -> list[str]:
    """Return notes on sections that a dialect's export leaves out; those in ``known`` it does say."""
    sections = {
        "hedge": (policy.hedge is not None, "a second attempt beside a slow one is not exported"),
        "limit": (policy.limit is not None, "belongs to the called service's own side and is not exported"),
        "fault": (policy.fault is not None, "injected faults are not exported"),
        "split": (bool(policy.split), "shares between targets are not exported"),
        "mirror": (policy.mirror is not None, "copies to another service are not exported"),
        "headers": (policy.headers is not None, "edits of headers are not exported"),
        "rewrite": (policy.rewrite is not None, "rewritten paths are not exported"),
        "redirect": (policy.redirect is not None, "redirects are not exported"),
        "shadow": (policy.shadow is not None, "there is nobody to judge a candidate in shadow"),
        "health": (policy.health is not None, "active health checks are not exported"),
    }
    notes = [f"{name}: {why}" for name, (used, why) in sections.items() if used and name not in set(known)]
    if policy.match.service == ANY:
        notes.append("match.service: it is any; take the documents once per service")
    return notes


def template_regex(route: str) -> str:
    """Return a path template as an RE2 expression for whole paths: a brace is one segment, a final ``*`` any rest."""
    parts = route.split("/")[1:]
    rest = parts[-1] == "*"
    if rest:
        parts.pop()
    found = "".join("/" + ("[^/]+" if part.startswith("{") else _escaped(part)) for part in parts)
    return f"{found}(/.*)?" if rest else found


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in r".+*?()|[]{}^$\\" else character for character in text)
