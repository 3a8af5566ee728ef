"""How fast a device was from moment to moment, told by everything that was timed on it.

Each model's time is what it usually takes, times how slow the device was then; the second factor is common to
neighbouring bursts of different models. Alternating medians find both (Tukey's median polish), in which a model has the
more say the steadier it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy import float64
    from numpy.typing import NDArray

_REACH = 4  # bursts to either side that tell how fast the device was at one between them
# Neighbours on a machine and heat only ever slow a device down, at times for most of a sweep; so what counts as its own
# speed is what it reached in the fastest tenth of its bursts.
_UNDISTURBED = 0.1
_EXACT = 0.02  # no model counts as steadier than that
_COMPANY = 3  # times that agree are no accident
_SWEEPS = 8  # of the alternating medians, after which nothing moves any more


def levels(
    times_ms: Sequence[float], models: Sequence[str], sessions: Sequence[int], anchors: Sequence[bool]
) -> list[float]:
    """How slow the device was at each burst, 1.05 for 5 % slower than undisturbed, by its neighbours' times.

    A burst's own time has no say, so that no model's noise is mistaken for the device's. Bursts that are anchors, of
    the same model in different sessions, tell how much faster one session was than another.
    """
    import numpy as np

    if not times_ms:
        return []
    times = np.array(times_ms)
    say = np.ones(len(times))
    _, model = np.unique(np.array(models), return_inverse=True)
    parts = [np.flatnonzero(np.array(sessions) == session) for session in dict.fromkeys(sessions)]
    level = _of_sessions(times, model, parts, np.array(anchors))
    for _ in range(_SWEEPS):
        relative = times / _medians(times / level, model)[model]
        for part in parts:
            level[part] = _of_neighbours(relative[part], say[part], level[part])
        say = _say(relative / level, model)
    return [float(value) for value in level / np.quantile(level, _UNDISTURBED)]


def floor_ms(times_ms: Sequence[float], tolerance: float) -> float:
    """The least of the times that enough others, a quarter and at least three, exceed by no more than `tolerance`.

    A neighbour on the same core slows a model down as much as that model needs what both share: caches, memory. So a
    model's own times fall into groups, of which the fastest that is no accident is the device's. Without such a group,
    or among fewer than three times, the least.
    """
    ordered = sorted(times_ms)
    enough = max(_COMPANY, len(ordered) / 4)
    for low in ordered:
        if sum(low <= time <= low * (1 + tolerance) for time in ordered) >= enough:
            return low
    return ordered[0]


def _medians(values: NDArray[float64], groups: NDArray[np.intp]) -> NDArray[float64]:
    import numpy as np

    return np.array([np.median(values[groups == group]) for group in range(groups.max() + 1)])


def _of_sessions(
    times: NDArray[float64], model: NDArray[np.intp], parts: list[NDArray[np.intp]], anchors: NDArray[np.bool_]
) -> NDArray[float64]:
    """One level for each session: its anchors, each against what the same model takes over all sessions."""
    import numpy as np

    usual = {group: np.median(times[anchors & (model == group)]) for group in np.unique(model[anchors])}
    level = np.ones(len(times))
    for part in parts:
        told = [times[i] / usual[model[i]] for i in part if anchors[i]]
        level[part] = np.median(told) if told else 1.0
    return level


def _say(relative: NDArray[float64], model: NDArray[np.intp]) -> NDArray[float64]:
    """The weight of each burst: the inverse variance of its model, by the median deviation."""
    import numpy as np

    deviation = _medians(np.abs(relative - 1), model)[model]
    found: NDArray[float64] = 1 / (deviation**2 + _EXACT**2)
    return found


def _of_neighbours(relative: NDArray[float64], say: NDArray[float64], known: NDArray[float64]) -> NDArray[float64]:
    """The weighted median of those around each burst, which has no say itself."""
    import numpy as np

    if len(relative) < 2:
        return known
    values = np.delete(_windows(relative), _REACH, axis=1)
    weights = np.delete(_windows(say), _REACH, axis=1)
    order = np.argsort(values, axis=1)
    values, weights = (np.take_along_axis(each, order, axis=1) for each in (values, weights))
    place = np.cumsum(weights, axis=1) - weights / 2
    half = weights.sum(axis=1) / 2
    return np.array([np.interp(*each) for each in zip(half, place, values, strict=True)])


def _windows(values: NDArray[float64]) -> NDArray[float64]:
    """Those around each value, and itself in the middle; the first and the last have zeros for what they lack."""
    import numpy as np

    return np.lib.stride_tricks.sliding_window_view(np.pad(values, _REACH), 2 * _REACH + 1)
