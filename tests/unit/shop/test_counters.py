from __future__ import annotations

import pytest
from examples.shop import counters
from examples.shop.counters import Counters, Executions


def test_calls_are_counted_by_how_they_ended() -> None:
    """Requests are the sum of the calls that went well and those that did not."""
    counted = Counters()
    counted.count_call("cart", ok=True)
    counted.count_call("cart", ok=False)
    counted.count_received("GET /")
    document = counted.to_document()
    assert document["called"] == {"cart": {"requests": 2, "ok": 1, "failed": 1}}
    assert document["received"] == {"GET /": 1}


def test_a_repeated_key_is_a_duplicate() -> None:
    """Executions beyond the first of a key are duplicates, and the key is named."""
    executed = Executions()
    assert [executed.execute(key) for key in ("a", "b", "a", "a")] == [1, 1, 2, 3]
    assert (executed.total, executed.duplicates, executed.by_key["a"]) == (4, 2, 3)


def test_old_keys_are_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of keys is bounded; what is forgotten is counted."""
    monkeypatch.setattr(counters, "MAX_KEYS", 3)
    executed = Executions()
    for key in "abcde":
        executed.execute(key)
    assert list(executed.by_key) == ["c", "d", "e"]
    assert executed.forgotten == 2
