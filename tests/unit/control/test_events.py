import asyncio

import pytest

from meshwise.control.errors import ConflictError
from meshwise.control.events import EventHub


async def opened(max_streams: int = 10) -> EventHub:
    hub = EventHub(max_streams)
    hub.open(asyncio.get_running_loop(), 5)
    return hub


async def test_a_new_stream_begins_with_the_present_revision_and_then_hears_changes() -> None:
    """The first number is the present one, the next is the change."""
    hub = await opened()
    revisions = hub.subscribe("a").revisions(60.0)
    assert await anext(revisions) == 5
    await asyncio.to_thread(hub.publish, 6)
    assert await anext(revisions) == 6


async def test_a_slow_reader_gets_the_newest_revision_only() -> None:
    """What came while nobody read is one number, the last, and the loss is counted."""
    hub = await opened()
    revisions = hub.subscribe("a").revisions(60.0)
    for revision in range(6, 1000):
        hub.publish(revision)
    await asyncio.sleep(0)
    assert await anext(revisions) == 999
    assert hub.overwritten == 994


async def test_an_older_revision_is_not_told() -> None:
    """Numbers only grow on a stream."""
    hub = await opened()
    hub.publish(8)
    hub.publish(7)
    await asyncio.sleep(0)
    assert await anext(hub.subscribe("a").revisions(60.0)) == 8


async def test_quiet_yields_a_sign_of_life() -> None:
    """After the keepalive without news the stream yields nothing but itself."""
    hub = await opened()
    revisions = hub.subscribe("a").revisions(0.001)
    assert [await anext(revisions), await anext(revisions)] == [5, None]


async def test_a_second_stream_of_a_proxy_ends_the_first() -> None:
    """Streams are bounded per proxy: the newest stays."""
    hub = await opened()
    first = hub.subscribe("a")
    second = hub.subscribe("a")
    assert [r async for r in first.revisions(60.0)] == []
    hub.unsubscribe("a", first)  # the end of the first must not remove the second
    assert len(hub) == 1
    assert await anext(second.revisions(60.0)) == 5


async def test_streams_are_bounded() -> None:
    """Over the bound a stream is refused, but for a proxy that replaces its own."""
    hub = await opened(max_streams=1)
    hub.subscribe("a")
    with pytest.raises(ConflictError, match="no more event streams"):
        hub.subscribe("b")
    hub.subscribe("a")


async def test_closing_ends_every_stream_and_takes_no_more() -> None:
    """A stopping control lets its readers go."""
    hub = await opened()
    mailbox = hub.subscribe("a")
    hub.close()
    assert [r async for r in mailbox.revisions(60.0)] == []
    with pytest.raises(ConflictError):
        hub.subscribe("b")
    assert len(hub) == 0
