import asyncio
from pathlib import Path

from meshwise.collector.signals import Signal
from meshwise.collector.spool.backlog import Backlog, Sealed


def sealed(name: str, opened_at: float = 0.0) -> Sealed:
    return Sealed(Signal.TRACES, name, f"token/{name}", Path(name), 1, 10, opened_at)


async def test_segments_leave_in_the_order_they_came() -> None:
    """The oldest segment is taken first, and counts until it is done."""
    backlog = Backlog()
    backlog.put(sealed("a", 5.0))
    backlog.put(sealed("b", 6.0))
    first = await backlog.take()
    assert first.name == "a"
    assert (len(backlog), backlog.waiting, backlog.oldest_at) == (2, 1, 5.0)
    backlog.done(first)
    assert (len(backlog), backlog.oldest_at) == (1, 6.0)


async def test_two_inserters_have_a_segment_each() -> None:
    """What either has in hand counts until it is done, whichever comes first."""
    backlog = Backlog()
    for number, name in enumerate("abc"):
        backlog.put(sealed(name, 5.0 + number))
    first, second = await backlog.take(), await backlog.take()
    backlog.done(second)
    assert (len(backlog), backlog.items, backlog.waiting, backlog.oldest_at) == (2, 2, 1, 5.0)
    backlog.done(first)
    assert (len(backlog), backlog.oldest_at) == (1, 7.0)


async def test_taking_waits_for_a_segment() -> None:
    """An inserter that found nothing gets the next segment as soon as it is there."""
    backlog = Backlog()
    taking = asyncio.create_task(backlog.take())
    await asyncio.sleep(0)
    backlog.put(sealed("a"))
    assert (await taking).name == "a"


async def test_emptied_means_nothing_waits_and_nothing_is_in_hand() -> None:
    """The drain ends when the last segment is done, not when it is taken."""
    backlog = Backlog()
    await backlog.emptied()
    backlog.put(sealed("a"))
    waiting = asyncio.create_task(backlog.emptied())
    taken = await backlog.take()
    await asyncio.sleep(0)
    assert not waiting.done()
    backlog.done(taken)
    await waiting


async def test_listeners_hear_of_every_take() -> None:
    """The writer learns that the inserter has room again."""
    backlog = Backlog()
    heard: list[int] = []
    backlog.on_taken(lambda: heard.append(1))
    backlog.put(sealed("a"))
    await backlog.take()
    assert heard == [1]
