"""Kaplan–Meier: how long attempts take when some were cut off before they ended.

An attempt cut off after ``c`` seconds says only "longer than ``c``". Dropping it would make the callee look faster than
it is, counting it as ``c`` would too. Kaplan and Meier (1958) give the survival function that uses all of them;
Greenwood's formula its variance; Efron (1967) the equivalent view used for drawing: the mass of a cut-off observation
is redistributed to those observed to end later. Mass beyond the last end observed stays unassigned.

Cutting off must not depend on how long the attempt would have taken; a timer does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Z_95 = 1.959963984540054


class KaplanMeier:
    """Survival of durations in seconds.

    After ``fit``: ``times_`` are the distinct times at which something ended, ``survival_`` the probability to last
    longer than each of them, ``variance_`` Greenwood's; ``jumps_`` is the probability mass of each observation, 0 for
    those cut off.
    """

    times_: FloatArray
    survival_: FloatArray
    variance_: FloatArray
    jumps_: FloatArray

    def fit(self, durations: npt.ArrayLike, ended: npt.ArrayLike) -> KaplanMeier:
        """Fit to ``durations``; ``ended`` is false where an observation was cut off.

        Raises:
            ValueError: the two differ in length.
        """
        seconds = np.asarray(durations, dtype=np.float64)
        events = np.asarray(ended, dtype=np.bool_)
        if seconds.shape != events.shape or seconds.ndim != 1:
            raise ValueError("durations and ended must be of equal length")
        self.times_, position = np.unique(seconds[events], return_inverse=True)
        deaths = np.bincount(position, minlength=len(self.times_)).astype(np.float64)
        # At risk just before t: everything that lasted at least t. What was cut off at t itself is still at risk there.
        ordered = np.sort(seconds)
        at_risk = (len(ordered) - np.searchsorted(ordered, self.times_, side="left")).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.survival_ = np.cumprod(1.0 - deaths / at_risk, dtype=np.float64)
            terms = deaths / (at_risk * (at_risk - deaths))
            self.variance_ = np.where(self.survival_ > 0.0, self.survival_**2 * np.cumsum(terms), 0.0)
        before = np.concatenate([[1.0], self.survival_[:-1]]) if len(self.times_) else np.empty(0)
        self.jumps_ = np.zeros(len(seconds))
        if len(self.times_):
            self.jumps_[events] = ((before - self.survival_) / deaths)[position]
        return self

    def at(self, seconds: npt.ArrayLike) -> FloatArray:
        """Return the probability to last longer than ``seconds``."""
        return np.asarray(self._step(self.survival_, 1.0, seconds))

    def interval(self, seconds: float, z: float = Z_95) -> tuple[float, float]:
        """Return the interval of the survival at ``seconds``, on the log(−log) scale that keeps it inside 0–1."""
        low, high = _log_log(self.at(seconds), self._step(self.variance_, 0.0, seconds), z)
        return float(low), float(high)

    def quantile(self, q: float) -> float:
        """Return the least time by which a share ``q`` has ended, infinite when that was never observed."""
        reached = np.flatnonzero(1.0 - self.survival_ >= q - 1e-12)
        return float(self.times_[reached[0]]) if len(reached) else float("inf")

    def quantile_interval(self, q: float, z: float = Z_95) -> tuple[float, float]:
        """Return the interval of ``quantile(q)``: the times at which the survival's own interval holds ``1 − q``.

        Brookmeyer and Crowley (1982). The upper end is infinite while too few were observed to last so long.
        """
        low, high = _log_log(self.survival_, self.variance_, z)
        # Where everything has ended the variance says nothing, and the upper end stays as it was.
        ends = (low <= 1.0 - q + 1e-12, (high <= 1.0 - q + 1e-12) & (self.survival_ > 0.0))
        begin, end = (float(self.times_[np.argmax(held)]) if held.any() else float("inf") for held in ends)
        return begin, end

    def _step(self, values: FloatArray, first: float, seconds: npt.ArrayLike) -> Any:
        steps = np.concatenate([[first], values])
        return steps[np.searchsorted(self.times_, np.asarray(seconds, dtype=np.float64), side="right")]


def _log_log(survival: npt.ArrayLike, variance: npt.ArrayLike, z: float) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the interval of each survival, equal to it where it is 0 or 1 or has no variance."""
    share, spread = np.asarray(survival, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    known = (share > 0.0) & (share < 1.0) & (spread > 0.0)
    held = np.where(known, share, 0.5)
    reach = z * np.sqrt(np.where(known, spread, 0.0)) / (held * np.abs(np.log(held)))
    return np.where(known, held ** np.exp(reach), share), np.where(known, held ** np.exp(-reach), share)
