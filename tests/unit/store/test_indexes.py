import pytest

from meshwise.store.cluster import Layout
from meshwise.store.indexes import MARK, Kind, apply, statements


class FakeStore:
    """Remembers what was run, and has the index it was told to have."""

    def __init__(self, *, text: bool) -> None:
        self.run: list[str] = []
        self.text = text

    def execute(self, statement: str) -> None:
        self.run.append(statement)

    def has_index(self, name: str) -> bool:
        assert name == MARK
        return self.text


@pytest.mark.parametrize("kind", ["bloom", "text"])
def test_indexes_are_changed_where_they_differ(kind: Kind) -> None:
    """What a store has already is left alone; otherwise the old kind goes and the new one comes, table by table."""
    same, other = FakeStore(text=kind == "text"), FakeStore(text=kind != "text")
    assert not apply(same, kind)
    assert same.run == []
    assert apply(other, kind)
    assert other.run == list(statements(kind))
    assert [statement.split()[2] for statement in other.run] == ["otel_traces", "otel_logs"]


def test_on_a_cluster_the_local_tables_change() -> None:
    """Every node changes what it holds; the tables over all shards have no indexes."""
    store = FakeStore(text=False)
    apply(store, "text", Layout("prod", "mesh"))
    assert [statement.split(" ON CLUSTER 'prod'")[0] for statement in store.run] == [
        "ALTER TABLE otel_traces_local",
        "ALTER TABLE otel_logs_local",
    ]
