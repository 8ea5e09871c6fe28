"""The raw int16 samples of a device: how its numbers become them, and rows of them to try trees on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Ensemble, physical
from components.runtime.scaling import Converter
from components.workspace.errors import InputError

_STEPS = 65_000
"""Over the thresholds of a feature: all of them are well within the 65,535 samples."""
_DIGITS = 7  # a float32 has no more
_ROWS, _MISSING = 1000, 0.05


def converter_for(
    ensemble: Ensemble, lsb: tuple[float, ...], offset: tuple[float, ...], values: NDArray[np.float32] | None
) -> Converter:
    """``lsb``, ``offset``: one number, one a feature, or none: then thresholds and ``values`` decide.

    Raises:
        InputError: another number of them, or steps that are not above 0.
    """
    if offset and not lsb:
        raise InputError("--offset without --lsb", hint="give both: a number is raw * lsb + offset")
    if not lsb:
        return _derived(ensemble, values)
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


def _derived(ensemble: Ensemble, values: NDArray[np.float32] | None) -> Converter:
    """Samples over the range of each feature's thresholds, beyond which a number may saturate: it goes the same way."""
    asked = ensemble.feature[ensemble.inner]
    found = [(1.0, 0.0)] * ensemble.features
    for feature in np.unique(asked):
        own = ensemble.threshold[ensemble.inner][asked == feature]
        shown = own[:0] if values is None else values[:, feature]
        found[feature] = _decimal(own, shown) or _spanning(float(own.min()), float(own.max()))
    return Converter(tuple(lsb for lsb, _ in found), tuple(offset for _, offset in found))


def _decimal(thresholds: NDArray[np.float32], shown: NDArray[np.float32]) -> tuple[float, float] | None:
    """Steps of 1, 0.1, 0.01 and so on where all numbers that were ``shown`` are whole steps: then nothing is rounded."""
    numbers = np.concatenate([thresholds, shown[~np.isnan(shown)]]).astype(np.float64)
    for digits in range(_DIGITS if len(shown) else 0):
        lsb = 10.0**-digits
        if (thresholds.max() - np.float64(thresholds.min())) / lsb > _STEPS:
            return None
        away = np.abs(numbers - np.rint(numbers / lsb) * lsb)
        if (away <= np.spacing(np.abs(numbers).astype(np.float32))).all():
            return lsb, round(float(thresholds.min() + thresholds.max()) / 2 / lsb) * lsb
    return None


def _spanning(low: float, high: float) -> tuple[float, float]:
    width = high - low or max(abs(high), 1.0)
    return width / _STEPS, (low + high) / 2
