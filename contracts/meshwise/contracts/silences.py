"""When a silence lasts, and which alerts it is over.

A silence lasts from one moment to another. A maintenance window is one that comes again, every day or week or month,
at the same local time of its zone, whatever the clocks do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from meshwise.contracts.rows import Silence
from meshwise.contracts.windows import Calendar, parse_span


def is_active(silence: Silence, now: datetime) -> bool:
    """Tell whether ``silence`` lasts at ``now``."""
    if silence.removed or now < silence.starts_at:
        return False
    if not silence.every:
        return now < silence.ends_at
    start = silence.starts_at.astimezone(ZoneInfo(silence.zone)).replace(tzinfo=None)
    begin, _ = Calendar(parse_span(silence.every), start, silence.zone).period(now)
    return now < begin + (silence.ends_at - silence.starts_at)


def is_over(silence: Silence, now: datetime) -> bool:
    """Tell whether ``silence`` will never last again."""
    return silence.removed or (not silence.every and now >= silence.ends_at)


def matches(silence: Silence, labels: Mapping[str, str]) -> bool:
    """Tell whether ``labels`` are as the silence says; ``*`` and ``?`` in its values stand for anything."""
    return all(fnmatchcase(labels.get(name, ""), value) for name, value in silence.matchers.items())
