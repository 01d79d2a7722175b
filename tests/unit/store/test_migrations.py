from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store.lexer import tokens
from meshwise.store.migrations import Version, history, migrate, pending, version

ONE, TWO, THREE = (version(n, f"step_{n}", f"CREATE TABLE t{n} (a Int8) ENGINE = Null") for n in (1, 2, 3))


class FakeStore:
    """A store that remembers what was run and noted, and may break at one statement."""

    def __init__(self, breaks_at: str = "") -> None:
        self.run: list[str] = []
        self.noted: dict[int, tuple[str, str]] = {}
        self.breaks_at = breaks_at

    def execute(self, statement: str) -> None:
        if self.breaks_at and self.breaks_at in statement:
            raise RuntimeError(statement)
        self.run.append(statement)

    def ledger(self) -> Mapping[int, tuple[str, str]]:
        return dict(self.noted)

    def note(self, version: Version) -> None:
        self.noted[version.number] = (version.name, version.checksum)


def test_everything_is_applied_once_in_order() -> None:
    """A first run applies all versions in order, a second one none."""
    store = FakeStore()
    assert migrate(store, [ONE, TWO]) == ["0001_step_1", "0002_step_2"]
    assert store.run[1:] == [ONE.statement, TWO.statement]
    assert migrate(store, [ONE, TWO]) == []
    assert migrate(store, [ONE, TWO, THREE]) == ["0003_step_3"]


def test_a_failed_step_is_tried_again() -> None:
    """A version that failed is not noted: the next run takes up there."""
    store = FakeStore(breaks_at="t2")
    with pytest.raises(RuntimeError):
        migrate(store, [ONE, TWO, THREE])
    store.breaks_at = ""
    assert migrate(store, [ONE, TWO, THREE]) == ["0002_step_2", "0003_step_3"]


@pytest.mark.parametrize(
    ("applied", "problem"),
    [
        ({1: ("step_1", "0" * 64)}, "0001_step_1 was edited"),
        ({1: ("other", ONE.checksum)}, "0001_step_1 was edited"),
        ({4: ("later", "0" * 64)}, "0004_later, which this meshwise does not know"),
        ({2: (TWO.name, TWO.checksum)}, "0001_step_1 is missing"),
    ],
)
def test_histories_that_disagree_are_refused(applied: dict[int, tuple[str, str]], problem: str) -> None:
    """An edited, unknown or missing version stops everything with one line that names it."""
    with pytest.raises(ConfigError, match=problem) as refused:
        pending([ONE, TWO, THREE], applied)
    assert "\n" not in str(refused.value)


def test_comments_may_be_mended() -> None:
    """The checksum sees the statement, not its comments or spaces."""
    assert version(1, "x", "-- why\nSELECT  1;").checksum == version(1, "x", "SELECT 1 ;").checksum
    assert version(1, "x", "SELECT 1").checksum != version(1, "x", "SELECT '1'").checksum


def test_our_history_is_in_order() -> None:
    """Our own files are numbered without gaps, one plain statement each."""
    versions = history()
    assert [one.number for one in versions] == list(range(1, len(versions) + 1))
    for one in versions:
        assert one.statement.startswith("--")
        assert re.search("IF NOT EXISTS|OR REPLACE|MODIFY", one.statement) or one.name.startswith("insert_")
        assert not any(token.text == ";" for token in tokens(one.statement) if token.kind == "symbol")


def test_a_view_is_replaced_and_not_altered() -> None:
    """An altered view names inserts otherwise after the engine's next start, and what is sent again is there twice."""
    altered: set[str] = set()
    for one in history():
        words = [token.text for token in tokens(one.statement) if token.kind == "word"]
        if words[:2] == ["ALTER", "TABLE"] and words[2].endswith("_mv"):
            altered.add(words[2])
        elif words[:5] == ["CREATE", "OR", "REPLACE", "MATERIALIZED", "VIEW"]:
            altered.discard(words[5])
    assert not altered, "write CREATE OR REPLACE MATERIALIZED VIEW … instead of ALTER TABLE … MODIFY QUERY"
