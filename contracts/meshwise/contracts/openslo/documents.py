"""A set of OpenSLO documents: each is read, every reference followed, every mistake told in one line.

Documents may stand in any order. One mistake is told per document, and none for a document whose only fault is that
another one, which it refers to, is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.openslo.alerting import read_condition, read_policy, read_target
from meshwise.contracts.openslo.indicators import read_sli
from meshwise.contracts.openslo.library import BrokenReferenceError, Library
from meshwise.contracts.openslo.metadata import Metadata, open_document, take_description
from meshwise.contracts.openslo.objectives import read_slo
from meshwise.contracts.reading import Reader
from meshwise.contracts.slo import Objective

MAX_DOCUMENTS: Final = 5000
_ORDER: Final = ("Service", "SLI", "AlertCondition", "AlertNotificationTarget", "AlertPolicy", "SLO")
"""What can be referred to comes before what refers to it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what it is and how to mend it."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """What a set of documents says. With ``problems`` nothing of it should be used.

    ``documents`` maps kind and name to the document as it was given, ``objectives`` the name of each SLO to what it
    promises.
    """

    documents: Mapping[tuple[str, str], Any]
    objectives: Mapping[str, tuple[Objective, ...]]
    problems: tuple[Problem, ...]

    @property
    def targets(self) -> frozenset[str]:
        """Every receiver that an alert policy of an SLO names."""
        every = (one for many in self.objectives.values() for one in many)
        return frozenset(target for one in every for policy in one.policies for target in policy.targets)


@dataclass(frozen=True, slots=True)
class _Opened:
    kind: str
    metadata: Metadata
    spec: Reader
    document: Any


def index_documents(documents: Iterable[object]) -> tuple[dict[tuple[str, str], Any], tuple[Problem, ...]]:
    """Return ``documents`` by kind and name, unread but for that, and what is wrong with those that have neither."""
    opened, problems = _open_all(documents)
    return {key: one.document for key, one in opened.items()}, tuple(problems)


def read_documents(documents: Iterable[object]) -> DocumentSet:
    """Return what ``documents``, mappings as YAML or JSON give them, say together."""
    opened, problems = _open_all(documents)
    library, objectives = Library(), {}
    for one in sorted(opened.values(), key=lambda one: _ORDER.index(one.kind)):
        try:
            found = _READERS[one.kind](one, library)
        except DocumentError as error:
            library.broken.add((one.kind, one.metadata.name))
            if not isinstance(error, BrokenReferenceError):
                problems.append(Problem(error.path, error.problem))
            continue
        if found:
            objectives[one.metadata.name] = found
    return DocumentSet({key: one.document for key, one in opened.items()}, objectives, tuple(problems))


def _open_all(documents: Iterable[object]) -> tuple[dict[tuple[str, str], _Opened], list[Problem]]:
    opened: dict[tuple[str, str], _Opened] = {}
    problems: list[Problem] = []
    for position, document in enumerate(documents):
        if position >= MAX_DOCUMENTS:
            problems.append(Problem(f"[{position}]", f"more than {MAX_DOCUMENTS} documents at once"))
            break
        try:
            kind, metadata, spec = open_document(document, position)
        except DocumentError as error:
            problems.append(Problem(error.path, error.problem))
            continue
        key = (kind, metadata.name)
        if key in opened:
            problems.append(Problem(f"{kind}/{metadata.name}", "is there twice; give one of them another name"))
            continue
        opened[key] = _Opened(kind, metadata, spec, document)
    return opened, problems


def _service(one: _Opened, library: Library) -> tuple[Objective, ...]:
    take_description(one.spec)
    one.spec.finish()
    library.services.add(one.metadata.name)
    return ()


def _sli(one: _Opened, library: Library) -> tuple[Objective, ...]:
    library.slis[one.metadata.name] = read_sli(one.spec)
    return ()


def _condition(one: _Opened, library: Library) -> tuple[Objective, ...]:
    library.conditions[one.metadata.name] = read_condition(one.spec)
    return ()


def _target(one: _Opened, library: Library) -> tuple[Objective, ...]:
    library.targets[one.metadata.name] = read_target(one.spec)
    return ()


def _policy(one: _Opened, library: Library) -> tuple[Objective, ...]:
    library.policies[one.metadata.name] = read_policy(one.metadata.name, one.spec, library)
    return ()


def _slo(one: _Opened, library: Library) -> tuple[Objective, ...]:
    return read_slo(one.metadata.name, one.spec, library)


_READERS: Final[Mapping[str, Callable[[_Opened, Library], tuple[Objective, ...]]]] = {
    "Service": _service,
    "SLI": _sli,
    "AlertCondition": _condition,
    "AlertNotificationTarget": _target,
    "AlertPolicy": _policy,
    "SLO": _slo,
}
