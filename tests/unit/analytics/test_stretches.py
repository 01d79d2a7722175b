import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from meshwise.analytics.keys import Window
from meshwise.analytics.load import ranges
from meshwise.analytics.stretches import READ, cut, parts

DAY = 86_400


def window(start: int, end: int) -> Window:
    return Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))


def covered(start: int, end: int, whole_from: int = 0) -> list[tuple[int, int]]:
    """What is read of a window, in order of time."""
    bounds = cut(ranges(window(start, end), None), whole_from)
    every = [(bounds[first], bounds[last]) for _, names in READ for first, last in names]
    return sorted((first, last) for first, last in every if first < last)


class TestStretches:
    @pytest.mark.parametrize("whole_from", ["never", "amid", "always"])
    def test_every_second_is_read_once(self, whole_from: str) -> None:
        """Wherever a window lies, what is read of it touches and does not overlap, and is all of it."""
        draw = random.Random(4)
        for _ in range(500):
            start = draw.randrange(100 * DAY, 103 * DAY) // 10 * 10
            end = start + draw.choice([10, 60, 600, 3600, 6 * 3600, DAY]) * draw.randrange(1, 30)
            begin = {"never": end + 7200, "amid": (start + end) // 7200 * 3600, "always": 0}[whole_from]
            found = covered(start, end, begin)
            assert (found[0][0], found[-1][1]) == (start, end)
            assert all(one[1] == following[0] for one, following in pairwise(found))

    def test_stretches_are_whole(self) -> None:
        """Sixes, hours and tens begin and end where they are kept, and none is read from before they were."""
        bounds = cut(ranges(window(100 * DAY + 13 * 3600, 101 * DAY + 15 * 3600 + 1840), None), 0)
        assert (bounds["six_start"], bounds["six_end"]) == (100 * DAY + 18 * 3600, 101 * DAY + 12 * 3600)
        assert (bounds["late_start"], bounds["late_end"]) == (101 * DAY + 15 * 3600, 101 * DAY + 15 * 3600 + 1800)
        amid = cut(bounds, 101 * DAY)
        assert (amid["hours"], amid["six_start"], amid["six_end"]) == (101 * DAY, 101 * DAY, 101 * DAY + 12 * 3600)

    def test_only_what_is_read_is_asked(self) -> None:
        """Tables of which a window needs nothing are not in the query."""

        def ask(start: int, end: int, begin: int = 0) -> list[str]:
            return parts(cut(ranges(window(start, end), None), begin))

        assert ask(100 * DAY, 101 * DAY) == ["totals_stretches"]
        assert ask(100 * DAY + 60, 101 * DAY) == ["totals_stretches", "totals_minutes"]
        assert ask(100 * DAY, 100 * DAY + 50) == ["totals_moments"]
        assert ask(100 * DAY, 101 * DAY, 102 * DAY) == ["totals_hours"]
