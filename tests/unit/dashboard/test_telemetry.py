from __future__ import annotations

from datetime import timedelta
from typing import Any

from meshwise.dashboard.components.figures import ingest_figure, lag_figure
from meshwise.dashboard.pages.telemetry import render_collectors, render_numbers, render_tenants
from meshwise.dashboard.queries import CollectorRow, IngestPoint
from support.findings import HOSTILE, NOW


def _row(collector: str = "c1", signal: str = "traces", **fields: Any) -> CollectorRow:
    return CollectorRow(collector, signal, fields.pop("at", NOW), **fields)


def test_the_numbers_add_collectors_up_and_tell_what_did_not_arrive() -> None:
    """Rates add up, the spool of a collector counts once, a silent one has no rate and no lag but its losses."""
    rows = [
        _row(accepted=1200, covered_s=60.0, lag_s=0.5, spool_bytes=2_000_000, refused={"quota": 2, "memory": 1}),
        _row(signal="logs", accepted=60, covered_s=60.0, rejected=4, lag_s=45.0, spool_bytes=2_000_000),
        _row("c2", accepted=600, covered_s=60.0, spool_bytes=1_000_000, quarantined=7),
        _row("gone", at=NOW - timedelta(minutes=5), accepted=9000, covered_s=60.0, lag_s=900.0, lost=3),
    ]
    cards: list[Any] = [*render_numbers(rows, NOW)]
    assert [card.children[1].children for card in cards] == ["31.0/s", "45.00 s", "3.0 MB", "3", "4", "7", "3"]
    assert [card.className.split()[-1] for card in cards[1:]] == ["warn", "figure-card", "warn", "warn", "bad", "bad"]
    assert "by 2 collectors" in str(cards)


def test_collectors_that_need_a_look_come_first() -> None:
    """Silent, then those that lost or put aside, then those behind, then by name; each says what it is."""
    rows = [
        _row("fine"),
        _row("late", lag_s=31.0),
        _row("losing", quarantined=1),
        _row("gone", at=NOW - timedelta(seconds=61)),
        _row("waiting", insert_failures=2),
    ]
    shown = str(render_collectors(rows, NOW))
    order = [shown.index(f"'{name}'") for name in ("gone", "losing", "late", "fine", "waiting")]
    assert order == sorted(order)
    assert all(state in shown for state in ("silent", "behind", "up to date", "inserts failed"))


def test_a_row_has_every_figure_of_its_collector() -> None:
    """What was accepted, refused with reasons, spooled, inserted, left out, put aside and lost, and how late it is."""
    row = _row(
        accepted=1001,
        rejected=2,
        refused={"spool_full": 3, "quota": 1},
        spooled=44,
        inserted=955,
        sampled_out=5,
        quarantined=6,
        lost=7,
        lag_s=1.25,
        spool_bytes=88_000,
        insert_p99_s=0.042,
    )
    shown = str(render_collectors([row], NOW))
    told = ("1,001", "1 quota, 3 spool_full", "44", "955", "1.25 s", "88 kB", "42 ms")
    assert [one for one in told if f"Td(children='{one}'" not in shown] == []
    assert str(render_collectors([], NOW)).count("nothing yet") == 1


def test_tenants_are_added_up_and_the_most_refused_comes_first() -> None:
    """Over collectors and signals; where there are no tenants it says so."""
    rows = [
        _row(tenants={"calm": (5, 0, 0), "loud": (1000, 1, 2)}),
        _row(signal="logs", tenants={"loud": (1000, 0, 1)}),
    ]
    shown = str(render_tenants(rows))
    assert shown.index("loud") < shown.index("calm")
    assert "Td(children='2,000', className='number'), Td(children='1', className='number')" in shown
    assert "nothing yet" in str(render_tenants([_row()]))


def test_what_a_collector_says_of_itself_is_text() -> None:
    """Markup in its name stays a plain string."""
    assert HOSTILE in str(render_collectors([_row(HOSTILE)], NOW))


def test_the_course_is_per_second_and_knows_gaps() -> None:
    """A bucket is ten seconds; a bucket without inserts has no latency."""
    points = [IngestPoint(NOW, 100, 80, 0.5, None), IngestPoint(NOW + timedelta(seconds=10), 50, 70, 0.25, 0.1)]
    assert [list(line.y) for line in ingest_figure(points).data] == [[10.0, 5.0], [8.0, 7.0]]
    assert [list(line.y) for line in lag_figure(points).data] == [[0.5, 0.25], [None, 0.1]]
