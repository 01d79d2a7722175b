from __future__ import annotations

import pytest

from meshwise.contracts.errors import UnavailableError
from meshwise.dashboard.control import HttpControl, RefusedError
from support.processes import free_port


def test_a_control_that_is_away_is_one_clear_line() -> None:
    """Nobody listening is told with the address and the remedy."""
    control = HttpControl(f"http://127.0.0.1:{free_port()}", "", 1.0)
    with pytest.raises(UnavailableError, match=r"does not answer .* is it running"):
        control.policies()
    control.close()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a?b", "a%2fb"])
def test_a_name_cannot_leave_its_path_segment(name: str) -> None:
    """Names that would reach another route are refused before anything is sent."""
    control = HttpControl("http://127.0.0.1:9", "", 1.0)
    with pytest.raises(RefusedError):
        control.undo(name)
    control.close()
