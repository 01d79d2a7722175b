from dataclasses import replace
from typing import Any

import pytest

from meshwise.analytics.traces.calls import ADDRESSES, MAX_VIRTUAL, OTHERS, calls, peer, weight_of
from meshwise.analytics.traces.deadlines import misfits, wasted
from meshwise.analytics.traces.model import Link, Span, assemble
from meshwise.analytics.world import EdgeKey
from meshwise.contracts.policy import parse_policy

MS = 1_000_000


def span(name: str, parent: str, service: str, kind: str, ms: int = 10, **more: Any) -> Span:
    start = more.pop("start", 0)
    return Span("t", name, parent, service, "op", kind, start * MS, (start + ms) * MS, **more)


class TestCalls:
    def test_answered_and_unanswered(self) -> None:
        """An answered call leads to the callee; one that nobody answered to what its caller calls it."""
        found = calls(
            assemble(
                [
                    span("1", "", "web", "server"),
                    span("2", "1", "web", "client", attributes={"peer.service": "not used"}),
                    span("3", "2", "cart", "server", error=True),
                    span("4", "3", "cart", "client", attributes={"db.system": "redis", "server.address": "10.0.0.7"}),
                ]
            )
        )
        assert [(one.source, one.destination, one.virtual, one.errors) for one in found] == [
            ("cart", "redis", True, 0.0),
            ("web", "cart", False, 1.0),
        ]

    def test_never_by_address(self) -> None:
        """Addresses of any kind are one node; names keep theirs, without a port."""
        for address in ("10.0.0.7", "10.0.0.7:5432", "[::1]:80", "::1"):
            assert peer({"server.address": address}) == ADDRESSES
        assert peer({"server.address": "db.internal:5432"}) == "db.internal"
        assert peer({}) == ""

    def test_queues_are_asynchronous(self) -> None:
        """A consumer's work, by parent or by link, is an edge that nobody waits for."""
        spans = [
            span("1", "", "shop", "producer"),
            span("2", "", "mail", "consumer", links=(Link("t", "1"),), start=5000),
        ]
        (found,) = calls(assemble(spans))
        assert (found.source, found.destination, found.asynchronous) == ("shop", "mail", True)

    def test_a_queue_between_traces(self) -> None:
        """A consumer in a trace of its own is linked to its producer's, which then called nobody unknown."""
        queue = {"messaging.destination.name": "orders"}
        spans = [
            span("1", "", "shop", "producer", attributes=queue),
            replace(span("2", "", "mail", "consumer", links=(Link("t", "1"),), start=5000), trace_id="other"),
            span("3", "", "shop", "producer", attributes=queue),
        ]
        found = [(one.source, one.destination, one.virtual, one.asynchronous) for one in calls(assemble(spans))]
        assert found == [("shop", "mail", False, True), ("shop", "orders", True, True)]

    def test_samples_stand_for_more(self) -> None:
        """Sampled spans are re-weighted, with an interval that is as wide as the sampling is thin."""
        spans = [
            one
            for i in range(100)
            for one in (
                span(f"c{i}", "", "a", "client"),
                span(f"s{i}", f"c{i}", "b", "server", attributes={"SampleRate": "10"}),
            )
        ]
        (found,) = calls(assemble(spans))
        assert (found.sampled, found.calls) == (100, 1000.0)
        assert found.low == pytest.approx(1000 - 1.96 * (100 * 90) ** 0.5)
        assert found.low < 1000 < found.high

    @pytest.mark.parametrize(
        ("state", "weight"),
        [
            ("ot=th:c", 4.0),
            ("vendor=1,ot=rv:1;th:8", 2.0),
            ("ot=th:0", 1.0),
            ("ot=th:ffffffffffffff", 2.0**20),
            ("ot=th:zz", 1.0),
            ("ot=th:", 1.0),
            ("th:c", 1.0),
        ],
    )
    def test_a_threshold_in_the_trace_state(self, state: str, weight: float) -> None:
        """OpenTelemetry's samplers say how much they left out; what is no threshold is no sampling."""
        assert weight_of(replace(span("1", "", "a", "server"), state=state)) == weight

    def test_some_of_the_traces(self) -> None:
        """Where only some traces were looked at, each stands for its share of all."""
        (found,) = calls(assemble([span("1", "", "a", "client"), span("2", "1", "b", "server")]), 5.0)
        assert (found.sampled, found.calls) == (1, 5.0)
        assert found.low == 1.0
        assert found.high > 5.0

    def test_too_many_names(self) -> None:
        """A caller that makes up names does not make a node of each."""
        spans = [span(str(i), "", "a", "client", attributes={"peer.service": f"n{i}"}) for i in range(MAX_VIRTUAL + 50)]
        found = {one.destination: one for one in calls(assemble(spans))}
        assert len(found) == MAX_VIRTUAL + 1
        assert found[OTHERS].sampled == 50


class TestWasted:
    def test_a_caller_that_gave_up(self) -> None:
        """What the callee did after its caller had gone is wasted, whatever their clocks say."""
        found = wasted(
            assemble(
                [
                    span("1", "", "web", "client", 100),
                    span("2", "1", "cart", "server", 400, start=9000),
                    span("3", "", "web", "client", 100),
                    span("4", "3", "cart", "server", 90),
                ]
            )
        )
        assert [(one.source, one.destination, one.calls, one.given_up) for one in found] == [("web", "cart", 2, 1)]
        assert found[0].wasted_s == pytest.approx(0.3)

    def test_consumers_wait_for_nobody(self) -> None:
        """A consumer that works longer than its producer wastes nothing."""
        assert wasted(assemble([span("1", "", "a", "producer", 1), span("2", "1", "b", "consumer", 500)])) == ()


class TestMisfits:
    def policy(self, service: str, request: str, attempt: str | None = None, retries: int = 0) -> Any:
        timeout = {"request": request} | ({"attempt": attempt} if attempt else {})
        document: dict[str, Any] = {"name": service, "match": {"service": service}, "timeout": timeout}
        return parse_policy(document | {"retry": {"max": retries, "on": {"timeout": True}}})

    def test_inner_longer_than_outer(self) -> None:
        """An inner timeout that is no shorter than the outer one is told, at the inner edge."""
        policies = [self.policy("cart", "1s"), self.policy("db", "2s")]
        (found,) = misfits(policies, [EdgeKey("web", "cart"), EdgeKey("cart", "db")])
        assert (found.source, found.destination) == ("cart", "db")
        assert found.sentence == "cart waits 2s for db, but web only 1s for cart"

    def test_a_chain_that_fits(self) -> None:
        """Timeouts that shrink on the way down, with room for every attempt, are fine; cycles end."""
        policies = [self.policy("cart", "1s", "300ms", 2), self.policy("db", "300ms")]
        assert misfits(policies, [EdgeKey("web", "cart"), EdgeKey("cart", "db"), EdgeKey("cart", "cart")]) == ()
