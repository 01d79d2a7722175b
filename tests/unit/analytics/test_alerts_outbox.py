from pathlib import Path

from meshwise.analytics.alerts.messages import Notification
from meshwise.analytics.alerts.outbox import BACKOFF_S, Outbox
from meshwise.analytics.alerts.sender import Delivery

URL = "https://a.example/"
FAILED, DELIVERED, GONE = (
    Delivery("failed", "HTTP 500"),
    Delivery("delivered", "HTTP 200"),
    Delivery("gone", "HTTP 410"),
)


def note(name: str) -> Notification:
    return Notification(name, name.encode())


def ids(outbox: Outbox, now_s: float, target: str = URL) -> str | None:
    waiting = outbox.due(target, now_s)
    return waiting.id if waiting else None


class TestOutbox:
    def test_survives_a_restart(self, tmp_path: Path) -> None:
        """What was queued and not delivered is still due when the file is opened again."""
        first = Outbox(tmp_path / "box")
        first.put([URL], [note("a"), note("b")], 0.0)
        waiting = first.due(URL, 0.0)
        assert waiting is not None
        first.settle(waiting, DELIVERED, 0.0, 0.0)
        first.close()
        second = Outbox(tmp_path / "box")
        assert (ids(second, 1.0), second.count()) == ("b", 1)
        second.close()

    def test_the_same_document_is_queued_once(self) -> None:
        """A document put in again is ignored, also after it was delivered."""
        outbox = Outbox(":memory:")
        outbox.put([URL], [note("a")], 0.0)
        waiting = outbox.due(URL, 0.0)
        assert waiting is not None
        outbox.settle(waiting, DELIVERED, 0.0, 0.0)
        outbox.put([URL], [note("a")], 1.0)
        assert outbox.due(URL, 2.0) is None
        outbox.close()

    def test_ten_tries_over_three_days(self) -> None:
        """A receiver that always fails is tried ten times, each wait at least as long as the one before."""
        outbox = Outbox(":memory:")
        outbox.put([URL], [note("a")], 0.0)
        now, tries = 0.0, 0
        while (waiting := outbox.due(URL, now)) is not None:
            state = outbox.settle(waiting, FAILED, now, 0.0)
            tries += 1
            if state == "waiting":
                assert outbox.due(URL, now + BACKOFF_S[tries - 1] - 1) is None
                now += BACKOFF_S[tries - 1]
        assert (tries, outbox.count("failed")) == (10, 1)
        assert 3 * 86_400 < now < 4 * 86_400
        outbox.close()

    def test_retry_after_is_honoured_within_a_day(self) -> None:
        """A receiver may ask for a longer wait than ours, but not for more than a day."""
        outbox = Outbox(":memory:")
        outbox.put([URL], [note("a")], 0.0)
        waiting = outbox.due(URL, 0.0)
        assert waiting is not None
        outbox.settle(waiting, Delivery("failed", "HTTP 429", 60.0), 0.0, 0.0)
        assert (ids(outbox, 59.0), ids(outbox, 60.0)) == (None, "a")
        outbox.settle(waiting, Delivery("failed", "HTTP 429", 1e9), 60.0, 0.0)
        assert ids(outbox, 60.0 + 86_400.0) == "a"
        outbox.close()

    def test_gone_is_not_tried_again(self) -> None:
        """410 ends a document at once."""
        outbox = Outbox(":memory:")
        outbox.put([URL], [note("a")], 0.0)
        waiting = outbox.due(URL, 0.0)
        assert waiting is not None
        assert outbox.settle(waiting, GONE, 0.0, 0.0) == "failed"
        outbox.close()

    def test_targets_do_not_hold_each_other_up(self) -> None:
        """A document that failed for one receiver is due for another."""
        outbox = Outbox(":memory:")
        outbox.put([URL, "https://b.example/"], [note("a")], 0.0)
        waiting = outbox.due(URL, 0.0)
        assert waiting is not None
        outbox.settle(waiting, FAILED, 0.0, 0.0)
        assert (ids(outbox, 1.0), ids(outbox, 1.0, "https://b.example/")) == (None, "a")
        outbox.close()

    def test_bounded_and_counted(self) -> None:
        """Over its bound the queue drops the oldest waiting document and counts it."""
        outbox = Outbox(":memory:", max_waiting=2)
        outbox.put([URL], [note("a"), note("b"), note("c")], 0.0)
        assert (outbox.count(), outbox.dropped, ids(outbox, 0.0)) == (2, 1, "b")
        outbox.close()

    def test_delivered_documents_are_forgotten_in_time(self) -> None:
        """Ids of finished documents do not pile up for ever."""
        outbox = Outbox(":memory:")
        outbox.put([URL], [note("a")], 0.0)
        waiting = outbox.due(URL, 0.0)
        assert waiting is not None
        outbox.settle(waiting, DELIVERED, 0.0, 0.0)
        outbox.put([URL], [note("b")], 8 * 86_400.0)
        assert outbox.count("delivered") == 0
        outbox.close()

    def test_a_receiver_that_is_gone_stays_gone(self, tmp_path: Path) -> None:
        """Who was disabled is left alone after a restart as well, until enabled; others are not touched."""
        first = Outbox(tmp_path / "box")
        first.disable(URL, 5.0)
        first.disable(URL, 6.0)
        first.close()
        second = Outbox(tmp_path / "box")
        assert (second.disabled_since(URL), second.disabled_since("https://b.example/")) == (5.0, None)
        second.enable(URL)
        assert second.disabled_since(URL) is None
        second.close()
