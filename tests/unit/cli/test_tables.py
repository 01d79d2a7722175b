from __future__ import annotations

from meshwise.cli.tables import table


def test_columns_line_up() -> None:
    """Every column is as wide as its widest cell."""
    assert table(("A", "LONG"), [("wide cell", "b"), ("c", "d")]) == "A          LONG\nwide cell  b\nc          d"


def test_a_cell_cannot_break_the_table() -> None:
    """Control characters are shown, long cells cut."""
    text = table(("A",), [("x\ny\x1b[2J",), ("z" * 500,)])
    assert text.splitlines()[1] == "x�y�[2J"
    assert len(text.splitlines()[2]) == 120
