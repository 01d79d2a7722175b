"""What goes wrong for a while during a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["slow backend", "lost replicas", "load spike", "error burst"]
KINDS: tuple[Kind, ...] = ("slow backend", "lost replicas", "load spike", "error burst")


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that breaks ``begin_s`` seconds into a run and is whole again at ``end_s``.

    ``strength`` is by kind: the factor on the service's own work; the share of its replicas gone; the factor on
    everything that enters (``service`` is empty); the share of its answers that are quick errors.
    """

    kind: Kind
    service: str
    strength: float
    begin_s: float
    end_s: float
