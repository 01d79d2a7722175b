"""The body kept for a retry."""

from meshwise.proxy.replay import ReplayBuffer, ReplayMemory


def test_small_body_can_be_sent_again() -> None:
    """What fits is kept and given as often as wanted, then the memory is returned."""
    memory = ReplayMemory(100)
    buffer = ReplayBuffer(memory, 10)
    buffer.add(b"abc", must_keep=True)
    buffer.add(b"def", must_keep=False)
    assert (buffer.take(), buffer.take(), memory.used) == (b"abcdef", b"abcdef", 6)
    buffer.drop()
    assert (memory.used, buffer.replayable) == (0, False)


def test_too_large_once_sent_is_dropped() -> None:
    """Over the limit, a body that is on its way already is forgotten."""
    memory = ReplayMemory(100)
    buffer = ReplayBuffer(memory, 4)
    buffer.add(b"abcde", must_keep=False)
    assert (buffer.replayable, buffer.take(), memory.used) == (False, b"", 0)
    buffer.add(b"more", must_keep=False)
    assert memory.used == 0


def test_unsent_body_is_kept_and_taken_once() -> None:
    """Before it was sent anywhere nothing may be lost; what is over the limit is given exactly once."""
    memory = ReplayMemory(100)
    buffer = ReplayBuffer(memory, 4)
    buffer.add(b"abcde", must_keep=True)
    assert buffer.over_limit
    assert buffer.take() == b"abcde"
    assert (buffer.replayable, memory.used) == (False, 0)


def test_memory_is_shared() -> None:
    """One request's body counts against another's."""
    memory = ReplayMemory(5)
    first, second = ReplayBuffer(memory, 100), ReplayBuffer(memory, 100)
    first.add(b"abcd", must_keep=False)
    second.add(b"ef", must_keep=False)
    assert (first.replayable, second.replayable, memory.used) == (True, False, 4)
