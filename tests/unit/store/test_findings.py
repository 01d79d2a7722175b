from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from meshwise.contracts.rows import TABLES, AlertFinding, EdgeBucket, SloDocument, SloFinding
from meshwise.store.findings import columns, insert_rows_async, rows_from, utc


@pytest.mark.parametrize("kind", [*TABLES, EdgeBucket])
def test_columns_are_the_fields(kind: type) -> None:
    """Columns are the dataclass's fields in order."""
    assert columns(kind) == tuple(field.name for field in dataclasses.fields(kind))


def test_values_get_their_types() -> None:
    """Naive times become UTC, NULL stays None, maps become dictionaries, numbers the field's type."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None)
    (slo,) = rows_from(
        SloFinding,
        [(moment, "s", "o", "i", 1, None, 60, 5, 6, None, 0.5, {"5m": 1.0}, "", "requests", moment, None, None, "")],
    )
    assert slo.computed_at == moment.replace(tzinfo=UTC)
    assert (slo.threshold_s, slo.attained) == (None, None)
    assert isinstance(slo.target, float)
    assert slo.burn_rates == {"5m": 1.0}
    (alert,) = rows_from(AlertFinding, [(moment, *"abcde", moment, None, 1, 2, "x", "", 0, "")])
    assert alert.ended_at is None


def test_utc() -> None:
    """A time with a zone is moved to UTC, one without is taken for UTC."""
    assert utc(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == datetime(2026, 1, 1, tzinfo=UTC)
    assert utc(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)).tzinfo is UTC


def test_asynchronous_rows_are_lines_of_json() -> None:
    """Each kind goes in one insert, every row a line of its own, times in UTC as all servers read them."""
    sent: list[tuple[str, list[dict[str, Any]]]] = []

    class Recording:
        async def raw_insert(self, table: str, *, insert_block: str, fmt: str) -> None:
            assert fmt == "JSONEachRow"
            sent.append((table, [json.loads(line) for line in insert_block.splitlines()]))

    moment = datetime(2026, 1, 1, 2, 0, 0, 123000, tzinfo=timezone(timedelta(hours=2)))
    document = SloDocument(moment, "ann", "SLO", "cart\n", removed=False, document='{"a": "é"}')
    assert asyncio.run(insert_rows_async(Recording(), [document, document])) == 2  # type: ignore[arg-type]
    ((table, lines),) = sent
    assert table == TABLES[SloDocument]
    assert lines == [dataclasses.asdict(document) | {"at": "2026-01-01 00:00:00.123000"}] * 2
