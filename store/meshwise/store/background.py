"""Who goes first when the processors are all taken: queries and inserts before merges.

A merge writes again what is safely written already, and the longer it waits the more parts it takes at once, which is
less work in all. The kernel gives its threads what the others leave, and a little more, so that they never stand still.
The engine's own setting for this does nothing without the right to *raise* priorities; to lower one's own needs none.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

MERGES: Final = "MergeMutate"
"""What the engine calls the threads that merge parts; it starts them as it opens."""
THREADS: Final = 2
"""How many there are (``background_pool_size``)."""
NICENESS: Final = 10
"""A tenth of what a thread of queries gets where they compete."""
_TASKS: Final = Path("/proc/self/task")
_LOOK_AGAIN_S: Final = 0.02


def stand_back_all(patience_s: float, tasks: Path = _TASKS) -> int:
    """Lower the priority of all threads that merge; return how many stand back.

    A thread has its name once it has run for the first time: that is waited for, ``patience_s`` seconds at most.
    """
    ends = time.monotonic() + patience_s
    while (found := stand_back(tasks)) < THREADS and time.monotonic() < ends:
        time.sleep(_LOOK_AGAIN_S)
    return found


def stand_back(tasks: Path = _TASKS) -> int:
    """Lower the priority of the threads that merge and have a name; return how many stand back."""
    found = 0
    for task in tasks.glob("*/comm"):
        # Threads end while we look, and a container may forbid it: then they compete as equals.
        with contextlib.suppress(OSError):
            if task.read_text().strip() != MERGES:
                continue
            thread = int(task.parent.name)
            if os.getpriority(os.PRIO_PROCESS, thread) < NICENESS:
                os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
            found += 1
    return found
