from __future__ import annotations

import io

from meshwise.cli.demo.narrator import Narrator


def test_each_sentence_carries_its_time() -> None:
    """A line begins with the seconds since the start."""
    now = [5.0]
    out = io.StringIO()
    narrator = Narrator(out, clock=lambda: now[0])
    narrator.say("Begin.")
    now[0] = 17.25
    narrator.say("End.")
    narrator.show(["a"])
    assert out.getvalue() == "   0.0 s  Begin.\n  12.2 s  End.\n          a\n"
