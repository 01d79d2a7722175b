from pathlib import Path

from meshwise.analytics.version import code_version, digest


def test_it_changes_with_the_code(tmp_path: Path) -> None:
    """Another line of a source or query, or another name of a file, is another version; anything else is not."""
    (tmp_path / "sql").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "sql" / "b.sql").write_text("SELECT 1\n")
    first = digest(tmp_path)
    (tmp_path / "a.pyc").write_text("else")
    assert digest(tmp_path) == first
    (tmp_path / "sql" / "b.sql").write_text("SELECT 2\n")
    second = digest(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    assert len({first, second, digest(tmp_path)}) == 3


def test_it_names_the_release() -> None:
    """The package's version comes first."""
    release, _, sources = code_version().partition("+")
    assert release
    assert len(sources) == 8
