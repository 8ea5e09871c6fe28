"""The raw int16 samples of a device: how its numbers become them, and rows of them to try trees on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Ensemble, physical
from components.runtime.scaling import Converter
from components.workspace.errors import InputError

_STEPS = 60_000
"""Of the range of a feature: room is left on both sides of what was seen."""
_ROWS, _MISSING = 1000, 0.05


def converter_for(
    ensemble: Ensemble, lsb: tuple[float, ...], offset: tuple[float, ...], values: NDArray[np.float32] | None
) -> Converter:
    """``lsb``, ``offset``: one number, one a feature, or none: then the range of thresholds and ``values`` decides.

    Raises:
        InputError: another number of them, or steps that are not above 0.
    """
    if offset and not lsb:
        raise InputError("--offset without --lsb", hint="give both: a number is raw * lsb + offset")
    if not lsb:
        return _spanning(*_span(ensemble, values))
    steps, zeros = _each(ensemble, "--lsb", lsb), _each(ensemble, "--offset", offset or (0.0,))
    if min(steps) <= 0:
        raise InputError("--lsb: a step that is not above 0", hint="give what one count of the converter is worth")
    return Converter(steps, zeros)


def random_rows(ensemble: Ensemble, converter: Converter, *, exact: bool) -> NDArray[np.float32]:
    """(rows, features) at and below the thresholds; some numbers are missing. Always the same. ``exact``: as in `integers`."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, (_ROWS, ensemble.features))
    asked, threshold = ensemble.feature[ensemble.inner], ensemble.threshold[ensemble.inner].astype(np.float64)
    for feature in np.unique(asked):
        own = np.unique(threshold[asked == feature])
        below = own[0] - _STEPS // 100 * converter.lsb[feature]
        values[:, feature] = rng.choice(np.append(own, below), _ROWS)
    if exact:
        near = converter.raw(values + rng.integers(-1, 2, values.shape) * np.asarray(converter.lsb))
        values = physical(converter, near).astype(np.float64)
    values[rng.random(values.shape) < _MISSING] = np.nan
    return values.astype(np.float32)


def _each(ensemble: Ensemble, option: str, given: tuple[float, ...]) -> tuple[float, ...]:
    if len(given) not in {1, ensemble.features} or not np.isfinite(given).all():
        raise InputError(
            f"{option}: {len(given)} numbers for {ensemble.features} features", hint="give one for all, or one a feature"
        )
    return given * ensemble.features if len(given) == 1 else given


def _span(ensemble: Ensemble, values: NDArray[Any] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest of thresholds and values of each feature."""
    low, high = np.full(ensemble.features, np.inf), np.full(ensemble.features, -np.inf)
    asked, threshold = ensemble.feature[ensemble.inner], ensemble.threshold[ensemble.inner].astype(np.float64)
    np.minimum.at(low, asked, threshold)
    np.maximum.at(high, asked, threshold)
    if values is not None:
        shown = values.astype(np.float64)
        low = np.minimum(low, np.where(np.isnan(shown), np.inf, shown).min(axis=0))
        high = np.maximum(high, np.where(np.isnan(shown), -np.inf, shown).max(axis=0))
    known = low <= high
    return np.where(known, low, 0.0), np.where(known, high, 0.0)


def _spanning(low: NDArray[np.float64], high: NDArray[np.float64]) -> Converter:
    width = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    return Converter(tuple((width / _STEPS).tolist()), tuple(((low + high) / 2).tolist()))
