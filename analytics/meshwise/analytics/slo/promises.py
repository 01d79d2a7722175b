"""The SLO documents of a mesh: kept in the store, so that every process and notebook reads the same ones.

A change adds rows and overwrites none: the table is the history, with who changed what. A set of documents is taken
whole or not at all, and only when everything that is in force with it still makes sense.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.contracts.errors import MeshwiseError
from meshwise.contracts.openslo import DocumentSet, Problem, index_documents, read_documents
from meshwise.contracts.rows import SloDocument
from meshwise.contracts.slo import Objective
from meshwise.store.findings import rows_from

log = structlog.get_logger(__name__)

MAX_IN_FORCE: Final = 5000
Insert = Callable[[Any, Sequence[Any]], object]
"""Writes rows, all of one type, with a client of the store."""


class WrongDocumentsError(MeshwiseError):
    """Documents were refused; ``problems`` says why, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a set of documents changed: per kind and name ``created``, ``changed`` or ``unchanged``."""

    changes: tuple[tuple[str, str, str], ...]
    found: DocumentSet


class Promises:
    """The documents in force, read through ``client``. Safe to use from several threads."""

    def __init__(self, client: Client, insert: Insert, receivers: Collection[str] | None = ()) -> None:
        """``receivers`` are the names that alerts may go to; with ``None`` any name will do."""
        self._client = client
        self._insert = insert
        self._receivers = tuple(receivers) if receivers is not None else None
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, str, datetime], ...] = ()
        self.rows: tuple[SloDocument, ...] = ()
        self.found = DocumentSet({}, {}, ())

    def refresh(self) -> DocumentSet:
        """Read the documents if somebody changed them, and return what they say.

        One that is no longer understood, as after going back to an older version, is logged and left out.
        """
        with self._lock:
            return self._refresh()

    def apply(self, documents: Iterable[object], actor: str, now: datetime, *, dry_run: bool = False) -> Applied:
        """Put ``documents`` in force beside those that are, in place of those of the same kind and name.

        Raises:
            WrongDocumentsError: nothing was changed.
        """
        with self._lock:
            self._refresh()
            given, problems = index_documents(documents)
            if problems:
                raise WrongDocumentsError(problems)
            before = {(row.kind, row.name): orjson.loads(row.document) for row in self.rows}
            together = self._check({**before, **given})
            changes = tuple(
                (*key, "created" if key not in before else "unchanged" if before[key] == one else "changed")
                for key, one in given.items()
            )
            if not dry_run:
                news = [(kind, name) for kind, name, change in changes if change != "unchanged"]
                self._write([SloDocument(now, actor, *key, False, orjson.dumps(given[key]).decode()) for key in news])
            return Applied(changes, together)

    def remove(self, kind: str, name: str, actor: str, now: datetime) -> bool:
        """Take one document out of force; tell whether it was there.

        Raises:
            WrongDocumentsError: another one refers to it.
        """
        with self._lock:
            self._refresh()
            left = {(row.kind, row.name): orjson.loads(row.document) for row in self.rows}
            if left.pop((kind, name), None) is None:
                return False
            self._check(left)
            self._write([SloDocument(now, actor, kind, name, True, "")])
            return True

    def with_documents(self, documents: Iterable[object]) -> DocumentSet:
        """Return what ``documents`` say beside those in force, without putting them there.

        Raises:
            WrongDocumentsError: they are wrong.
        """
        return self.apply(documents, "", datetime.now(UTC), dry_run=True).found

    def objectives_of(self, documents: Sequence[object]) -> tuple[Objective, ...]:
        """Return what the SLOs among ``documents`` promise, with those in force beside them to refer to.

        Raises:
            WrongDocumentsError: they are wrong.
        """
        given, _ = index_documents(documents)
        found = self.with_documents(documents)
        return tuple(one for kind, name in given if kind == "SLO" for one in found.objectives.get(name, ()))

    def _check(self, documents: dict[tuple[str, str], Any]) -> DocumentSet:
        if len(documents) > MAX_IN_FORCE:
            raise WrongDocumentsError([Problem("", f"more than {MAX_IN_FORCE} documents in force")])
        found = read_documents(documents.values())
        if found.problems:
            raise WrongDocumentsError(found.problems)
        unknown = found.targets - set(self._receivers) if self._receivers is not None else ()
        for target in sorted(unknown):
            known = ", ".join(sorted(self._receivers or ())) or "none"
            problem = f"no receiver of analytics.webhooks is named {target!r}; there are: {known}"
            raise WrongDocumentsError([Problem("AlertNotificationTarget", problem)])
        return found

    def _write(self, rows: Sequence[SloDocument]) -> None:
        if rows:
            self._insert(self._client, rows)
            self._refresh()

    def _refresh(self) -> DocumentSet:
        result = self._client.query(load_sql("slo_documents_seen"), parameters={})
        seen = tuple((kind, name, at) for kind, name, at in result.result_rows)
        if seen != self._seen:
            rows = self._client.query(load_sql("slo_documents"), parameters={}).result_rows
            self.rows = tuple(rows_from(SloDocument, rows))
            self.found = read_documents(orjson.loads(row.document) for row in self.rows)
            self._seen = seen
            for problem in self.found.problems:
                log.warning("SLO document in force is not understood", problem=str(problem))
        return self.found
