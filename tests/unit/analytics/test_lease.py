from types import SimpleNamespace
from typing import Any

from meshwise.analytics.lease import Lease, Sign, leader

LOST_S = 40.0


class Shared:
    """The table that leases of one store share, at a time that the test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.signs: dict[str, tuple[int, int, bool]] = {}

    def command(self, cmd: str, parameters: dict[str, Any]) -> None:
        assert cmd.startswith("-- Note that a process")
        since = parameters["since_ms"] or self.now_ms
        self.signs[parameters["holder"]] = since, self.now_ms, parameters["gone"]

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        assert query.startswith("-- Every process")
        assert parameters["back_s"] == 160
        rows = [(name, since, (self.now_ms - at) / 1000, gone) for name, (since, at, gone) in self.signs.items()]
        return SimpleNamespace(result_rows=rows)

    def wait(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


class TestLeader:
    def test_the_first_of_those_heard_of(self) -> None:
        """Who came first leads, the name decides between two at once; the lost and the gone do not count."""
        signs = [Sign("a", 30, 1.0), Sign("b", 20, 1.0), Sign("c", 10, 41.0), Sign("d", 5, 1.0, gone=True)]
        assert leader(signs, LOST_S) == "b"
        assert leader([Sign("y", 7, 0.0), Sign("x", 7, 0.0)], LOST_S) == "x"
        assert leader([], LOST_S) == ""


class TestLease:
    def test_one_alone(self) -> None:
        """It leads from its second cycle on, since another may have come in the same moment."""
        shared = Shared()
        one = Lease(shared, 10.0, "a")
        assert [one.renew(), one.renew()] == [False, True]

    def test_two_at_once(self) -> None:
        """Never do both lead, however their cycles lie."""
        shared = Shared()
        a, b = Lease(shared, 10.0, "a"), Lease(shared, 10.0, "b")
        led = []
        for _ in range(5):
            led.append((b.renew(), a.renew()))
            shared.wait(10)
        assert led[0] == (False, False)
        assert set(led[1:]) == {(False, True)}

    def test_a_leader_that_goes(self) -> None:
        """One that stops is followed at once, one that falls silent when it is lost; neither has its place back."""
        shared = Shared()
        a, b = Lease(shared, 10.0, "a"), Lease(shared, 10.0, "b")
        for _ in range(2):
            a.renew()
            shared.wait(5)
            b.renew()
            shared.wait(5)
        assert (a.leads, b.leads) == (True, False)
        a.release()
        assert b.renew()
        again = Lease(shared, 10.0, "a")
        assert [again.renew(), again.renew()] == [False, False]
        shared.wait(LOST_S + 1)
        assert again.renew() is False
        assert again.renew()
        assert b.renew() is False

    def test_a_restart(self) -> None:
        """A process that starts again under its name need not wait until it is lost itself."""
        shared = Shared()
        Lease(shared, 10.0, "a").renew()
        again = Lease(shared, 10.0, "a")
        shared.wait(1)
        assert [again.renew(), again.renew()] == [False, True]
