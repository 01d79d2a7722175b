import asyncio
from collections.abc import Awaitable, Callable

import pytest

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.turns import FEWEST, Patience, Turns, turns_of

LONG = Patience(whole=20.0, moment=20.0, turn=20.0)
QUICK = Patience(whole=20.0, moment=0.01, turn=20.0)


class Sender:
    """Its message comes when it is told to; ``begun`` once somebody waits for it."""

    def __init__(self) -> None:
        self.begun = False
        self.message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def wait(self) -> bytes:
        self.begun = True
        return await self.message


def start(turns: Turns, count: int) -> tuple[list[Sender], list[asyncio.Task[bytes]]]:
    senders = [Sender() for _ in range(count)]
    return senders, [asyncio.create_task(turns.read(sender.wait)) for sender in senders]


async def settle(condition: Callable[[], bool] = lambda: False) -> None:
    """Let tasks run for a few rounds, or until ``condition``."""
    for _ in range(10):
        await asyncio.sleep(0)
        if condition():
            return


async def reason_of(task: Awaitable[bytes]) -> tuple[Reason, float | None]:
    with pytest.raises(RefusedError) as refused:
        await task
    return refused.value.reason, refused.value.retry_after_s


def test_turns_follow_from_the_limits() -> None:
    """All messages under way, as large as they may be, fit the memory for requests, down to a few turns."""
    mib = 2**20
    assert turns_of(256 * mib, 4 * mib) == 64
    assert turns_of(256 * mib, 64 * mib) == FEWEST


async def test_so_many_at_once_and_the_last_to_come_goes_first() -> None:
    """The third of two waits; when one is whole, the one that came last is read, and in the end all are."""
    turns = Turns(2, LONG, 3.0)
    senders, tasks = start(turns, 4)
    await settle()
    assert [sender.begun for sender in senders] == [True, True, False, False]
    senders[0].message.set_result(b"0")
    await settle()
    assert [sender.begun for sender in senders] == [True, True, False, True]
    for number in (3, 2, 1):
        senders[number].message.set_result(b"%d" % number)
    assert await asyncio.gather(*tasks) == [b"0", b"1", b"2", b"3"]


async def test_a_message_may_take_its_time_while_nobody_waits() -> None:
    """Its moment being over means nothing to one that holds nobody up."""
    turns = Turns(1, QUICK, 3.0)
    (sender,), (task,) = start(turns, 1)
    await asyncio.sleep(0.03)
    sender.message.set_result(b"late")
    assert await task == b"late"


async def test_the_oldest_gives_way_after_its_moment() -> None:
    """One that waits is read soon; whoever was under way for longer than a moment may try again later."""
    turns = Turns(2, QUICK, 3.0)
    _, stuck = start(turns, 2)
    await settle()
    (sender,), (task,) = start(turns, 1)
    sender.message.set_result(b"whole")
    assert await task == b"whole"
    assert await reason_of(stuck[0]) == (Reason.MEMORY, 3.0)
    assert not stuck[1].done()
    stuck[1].cancel()
    await asyncio.gather(stuck[1], return_exceptions=True)


async def test_a_crowd_of_the_silent_is_worked_off() -> None:
    """However many begin and say nothing, each holds its turn for a moment while others wait."""
    turns = Turns(2, QUICK, 3.0)
    _, stuck = start(turns, 12)
    left = set(stuck)
    while len(left) > turns.under_way:
        ended, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        assert {await reason_of(task) for task in ended} == {(Reason.MEMORY, 3.0)}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def test_nobody_waits_for_ever() -> None:
    """A turn that does not come, and a queue that is full, are refusals worth another try; a slow message is not."""
    turns = Turns(1, Patience(whole=20.0, moment=20.0, turn=0.01, queue=1), 3.0)
    (held, *_), tasks = start(turns, 3)
    assert await reason_of(tasks[2]) == (Reason.MEMORY, 3.0)
    assert await reason_of(tasks[1]) == (Reason.MEMORY, 3.0)
    held.message.set_result(b"held")
    assert await tasks[0] == b"held"
    slow = Turns(1, Patience(whole=0.01), 3.0)
    assert await reason_of(slow.read(Sender().wait)) == (Reason.TOO_SLOW, None)


async def test_turns_of_those_who_left_are_not_lost() -> None:
    """Who goes while it waits, in the moment its turn comes, or while it is read leaves its turn to others."""
    turns = Turns(1, LONG, 3.0)
    senders, tasks = start(turns, 3)
    await settle()
    tasks[1].cancel()  # while it waits
    await settle()
    senders[0].message.set_result(b"0")
    await settle(tasks[0].done)
    tasks[2].cancel()  # as its turn comes, or just after
    await asyncio.gather(*tasks, return_exceptions=True)
    (last,), (task,) = start(turns, 1)
    await settle()
    assert last.begun
    task.cancel()  # while it is read
    await asyncio.gather(task, return_exceptions=True)
    (last,), (task,) = start(turns, 1)
    last.message.set_result(b"last")
    assert await task == b"last"
