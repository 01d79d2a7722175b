from __future__ import annotations

from pathlib import Path

import pytest

from meshwise.cli.control_api import open_control, segment
from meshwise.contracts.errors import DocumentError


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "flag", "url"),
    [
        ("", None, "http://127.0.0.1:15010"),
        ("control:\n  port: 9000\n", None, "http://127.0.0.1:9000"),
        ("control:\n  port: 9000\nanalytics:\n  control_url: http://far:1\n", None, "http://far:1"),
        ("control:\n  port: 9000\n", "http://flag:2/", "http://flag:2"),
    ],
)
def test_control_is_where_the_operator_says(tmp_path: Path, text: str, flag: str | None, url: str) -> None:
    """A flag wins over a URL in the file, that over control's own port, that over the default."""
    path = tmp_path / "m.yaml"
    path.write_text(text)
    assert open_control(path, flag).url == url


def test_only_http_is_spoken() -> None:
    """A file or a made-up scheme is refused before anything is opened."""
    with pytest.raises(DocumentError, match="must start with http"):
        open_control(None, "file:///etc/passwd")


@pytest.mark.parametrize("name", ["../v1/freeze", "a/b", "a?b=c", "..", "a%2fb", "ü"])
def test_a_name_stays_one_segment(name: str) -> None:
    """Whatever a name holds, it cannot reach another route."""
    assert not set(segment(name)) & set("/?#ü")
    assert segment(name) not in {".", ".."}
