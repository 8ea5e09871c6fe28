"""Which regimes a fleet's operating conditions fall into, and what each channel is in them, from training samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.conditions import DEVIATION, MISSING_RAW, Conditions
from components.workspace.errors import InputError
from components.workspace.settings import Telemetry

_MAX_SAMPLES = 20_000
_STARTS = 10
_UNIT = 1024
"""Weighted units of a condition's standard deviation: fine beside regimes, and squares of any difference fit 64 bits."""
_OF_POOLED = 16
"""A channel that stands still in a regime is given at least this part of its deviation in the liveliest one."""


def learn_conditions(telemetry: Telemetry, regimes: int, raw: NDArray[np.int16], seed: int) -> Conditions | None:
    """``raw``: (samples, channels) of the training devices; None where the settings name no conditions.

    Regimes are clusters (k-means, Lloyd, IEEE Trans. Information Theory 28, 1982) of the condition channels.

    Raises:
        InputError: fewer samples than regimes tell all conditions.
    """
    channels = [c for c, channel in enumerate(telemetry.channels) if channel.role == "condition"]
    if regimes == 1 or not channels:
        return None
    told = raw[(raw[:, channels] != MISSING_RAW).all(axis=1)]
    if len(told) < regimes:
        raise InputError(
            f"{len(told)} samples tell the operating condition: too few for {regimes} regimes", hint="lower windows.regimes"
        )
    point = _clusters(told[:, channels].astype(np.float64), regimes, seed)
    weight = tuple(max(round(_UNIT * 65536 / d), 1) for d in np.maximum(told[:, channels].std(axis=0), 1.0).tolist())
    shape = (regimes, raw.shape[1])
    bare = Conditions(tuple(channels), weight, _rows(point), _rows(np.zeros(shape)), _rows(np.full(shape, 65536.0)))
    center, multiplier = _usual(raw, bare.regimes(raw), regimes)
    as_they_are = [*channels, *(c for c, channel in enumerate(telemetry.channels) if channel.records)]
    center[:, as_they_are], multiplier[:, as_they_are] = 0, 65536
    return Conditions(bare.channels, weight, bare.point, _rows(center), _rows(multiplier))


def _clusters(told: NDArray[np.float64], regimes: int, seed: int) -> NDArray[np.float64]:
    """(regimes, conditions) their middles, the most common first."""
    from sklearn.cluster import KMeans

    some = told[np.unique(np.linspace(0, len(told) - 1, min(len(told), _MAX_SAMPLES)).astype(int))]
    spread = np.maximum(some.std(axis=0), 1.0)
    found = KMeans(regimes, n_init=_STARTS, random_state=seed).fit(some / spread)
    order = np.argsort(-np.bincount(found.labels_, minlength=regimes), kind="stable")
    return np.asarray(found.cluster_centers_[order] * spread)


def _usual(raw: NDArray[np.int16], regime: NDArray[np.int64], regimes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(regimes, channels) median, and multiplier that makes the mean absolute deviation from it `DEVIATION` codes."""
    center, deviation = np.zeros((regimes, raw.shape[1])), np.ones((regimes, raw.shape[1]))
    least = np.ones(raw.shape[1])
    for c in range(raw.shape[1]):
        heard = raw[:, c] != MISSING_RAW
        for r in range(regimes):
            values = raw[heard & (regime == r), c].astype(np.float64)
            if values.size:
                center[r, c] = np.median(values)
                deviation[r, c] = np.abs(values - center[r, c]).mean()
        least[c] = max(deviation[:, c].max() / _OF_POOLED, 1.0)
    return center, DEVIATION * 65536 / np.maximum(deviation, least)


def _rows(values: NDArray[np.float64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in np.rint(values).astype(int).tolist())
