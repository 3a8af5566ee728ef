"""How fast a device was from moment to moment, told by everything that was timed on it.

Each model's time is what it usually takes, times how slow the device was then; the second factor is common to
neighbouring bursts of different models. Alternating medians find both (Tukey's median polish).
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
    _, model = np.unique(np.array(models), return_inverse=True)
    parts = [np.flatnonzero(np.array(sessions) == session) for session in dict.fromkeys(sessions)]
    level = _of_sessions(times, model, parts, np.array(anchors))
    for _ in range(_SWEEPS):
        relative = times / _medians(times / level, model)[model]
        for part in parts:
            level[part] = _of_neighbours(relative[part], level[part])
    return [float(value) for value in level / np.quantile(level, _UNDISTURBED)]


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


def _of_neighbours(relative: NDArray[float64], known: NDArray[float64]) -> NDArray[float64]:
    import numpy as np

    if len(relative) < 2:
        return known
    padded = np.pad(relative, _REACH, constant_values=np.nan)  # the first and the last have fewer neighbours
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1)
    found: NDArray[float64] = np.nanmedian(np.delete(windows, _REACH, axis=1), axis=1)
    return found
