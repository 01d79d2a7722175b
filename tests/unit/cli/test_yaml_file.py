from __future__ import annotations

from pathlib import Path

import pytest

from meshwise.cli.yaml_file import MAX_BYTES, parse_yaml, read_yaml, read_yaml_documents
from meshwise.contracts.errors import ConfigError


def test_plain_data_is_read(tmp_path: Path) -> None:
    """Mappings, lists and scalars come out as they are; an empty file is nothing."""
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, two, {b: null}]\n")
    assert read_yaml(path) == {"a": [1, "two", {"b": None}]}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x:3: key 'a' is given twice"),
        ("a:\n  b: 1\n  b: 2\n", "x:3: key 'b' is given twice"),
        ("a: &n [1]\nb: *n\n", "x:2: aliases"),
        ("a: !!python/object/apply:os.system [ls]\n", "x:1: could not determine a constructor"),
        ("a: [1\n", "x:2: "),
        ("a: \x00\n", "x: is not YAML"),
        ("a: 2026-99-99\n", "x: is not YAML"),
    ],
)
def test_what_is_not_strict_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    """Duplicate keys, aliases, tags and broken syntax are refused, and the message is one line."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """A missing, oversized or binary file gives one line with its path."""
    with pytest.raises(ConfigError, match=r"a\.yaml: no such file"):
        read_yaml(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(tmp_path / "c.yaml")


def test_only_true_and_false_are_booleans() -> None:
    """``on`` names a field of a retry policy and stays text, as ``yes``, ``no`` and ``off`` do."""
    document = parse_yaml("{on: off, yes: no, a: true, b: False}", "policy.yaml")
    assert document == {"on": "off", "yes": "no", "a": True, "b": False}


def test_several_documents_in_one_file(tmp_path: Path) -> None:
    """Documents are separated by three dashes; empty ones are nothing, and a mistake has its line in the file."""
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n---\n---\nb: 2\n")
    assert read_yaml_documents(path) == [{"a": 1}, {"b": 2}]
    path.write_text("a: 1\n---\nb: 2\nb: 3\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:4: key 'b' is given twice"):
        read_yaml_documents(path)
