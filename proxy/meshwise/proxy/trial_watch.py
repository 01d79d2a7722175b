"""How long what is on trial is obeyed without a word from control. Pure: every time is a parameter, in seconds.

A candidate that nobody has approved yet is watched by control, which takes it away when it does harm or its time is up.
A proxy that control no longer reaches cannot be told so. Therefore control has to say again and again that the snapshot
with the trial still holds; after a silence of the trial's patience the proxy goes back to what was approved by itself.
"""

from __future__ import annotations

from typing import Final

from meshwise.contracts.snapshot import Trial

ASK_AFTER: Final = 1 / 3
"""Share of the patience after which control is asked again, so that one answer lost does not end a trial."""


class TrialWatch:
    """Knows whether the trial of the snapshot that control gave last is to be obeyed."""

    def __init__(self) -> None:
        self._patience_s: float | None = None
        self._confirmed_at = 0.0
        self.ended = False
        """The trial was given up for want of a word from control."""

    @property
    def on_trial(self) -> bool:
        """Whether a trial is obeyed now."""
        return self._patience_s is not None and not self.ended

    def begin(self, trial: Trial | None, now: float) -> None:
        """A snapshot from control has come into force, with a trial or without."""
        self._patience_s = None if trial is None else trial.patience_s
        self._confirmed_at = now
        self.ended = False

    def confirm(self, now: float) -> None:
        """Control says that the snapshot still holds; a trial that had ended must be obeyed again."""
        self._confirmed_at = now
        self.ended = False

    def end(self) -> None:
        """What was approved is in force in place of the trial."""
        self.ended = True

    def left_s(self, now: float) -> float | None:
        """Return how long the trial may still be obeyed, 0 when it must end; ``None`` when none is."""
        if self._patience_s is None or self.ended:
            return None
        return max(0.0, self._confirmed_at + self._patience_s - now)

    def wants_word(self, now: float) -> bool:
        """Tell whether control is to be asked if the snapshot still holds."""
        return self._patience_s is not None and now >= self._confirmed_at + self._patience_s * ASK_AFTER
