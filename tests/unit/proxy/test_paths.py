"""The form in which paths are compared, and which are refused."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.paths import has_dots, is_ambiguous, normal_path, unescaped_path, without_dots


def test_unescapes_only_what_needs_no_escape() -> None:
    """Escaped letters are the letters; an escaped slash is no slash."""
    assert normal_path("/%69tem%73%2Fx?%61") == "/items%2Fx"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/public/../admin", "/admin"),
        ("/public/%2e%2E/admin?x=/../", "/admin"),
        ("/a/./b", "/a/b"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/../../x", "/x"),
        ("/.well-known/..x/...", "/.well-known/..x/..."),
        ("/a//../b", "/a/b"),
        ("*", "*"),
    ],
)
def test_dot_segments_are_what_they_mean(target: str, path: str) -> None:
    """Escaped or not, dots lead to the path that an application makes of them, and none above the root."""
    assert normal_path(target) == path


PIECES = st.lists(st.sampled_from(["a", ".", "..", "%2e", "/", "//", "%2F", "%5c", ";", "\\", "x.y"]), max_size=8)


@given(PIECES)
def test_what_passes_reads_one_way(pieces: list[str]) -> None:
    """A path that is not ambiguous is the same after everything an application may do to it."""
    path = unescaped_path("/" + "".join(pieces))
    if not is_ambiguous(path):
        assert unquote(path) == path
        assert not has_dots(path)
        assert without_dots(path) == path
