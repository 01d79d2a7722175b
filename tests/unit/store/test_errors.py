from __future__ import annotations

from meshwise.store.errors import EngineError, QueryError


def test_text_is_clickhouses() -> None:
    """An error of ours reads like one of ClickHouse's, name included."""
    error = QueryError(497, "no")
    assert str(error) == "Code: 497. DB::Exception: no (ACCESS_DENIED)"
    assert error.status == 403


def test_engine_errors_keep_code_and_text() -> None:
    """The engine's number and text are kept, said once, without what the binding put before."""
    error = EngineError("Query failed: Code: 27. DB::Exception: Code: 27. DB::Exception: bad row")
    assert (error.code, error.status) == (27, 400)
    assert str(error) == "Code: 27. DB::Exception: bad row"


def test_engine_errors_without_a_code() -> None:
    """What has no number is a logical error, which is the only status of 500."""
    error = EngineError("something odd")
    assert (error.code, error.status) == (49, 500)
