"""The samples of a device: how its numbers become them, and rows of them to try trees on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Ensemble
from components.runtime.sampling import SampleBits, Sampling
from components.runtime.scaling import Converter
from components.workspace.errors import InputError

_STEPS: dict[SampleBits, int] = {16: 65_000, 32: 65_000 << 16}
"""Over the thresholds of a feature: all of them are well within the samples of so many bits."""
_DIGITS = 7  # a float32 has no more
_ROWS, _MISSING = 1000, 0.05
_BELOW = 100  # steps below the least threshold


def sampling_for(
    ensemble: Ensemble,
    lsb: tuple[float, ...],
    offset: tuple[float, ...],
    values: NDArray[np.float32] | None,
    bits: SampleBits = 16,
) -> Sampling:
    """``lsb``, ``offset``: one number, one a feature, or none: then thresholds and ``values`` decide.

    Raises:
        InputError: another number of them, or steps that are not above 0.
    """
    if offset and not lsb:
        raise InputError("--offset without --lsb", hint="give both: a number is raw * lsb + offset")
    if not lsb:
        return Sampling(_derived(ensemble, values, _STEPS[bits]), bits, exact=False)
    steps, zeros = _each(ensemble, "--lsb", lsb), _each(ensemble, "--offset", offset or (0.0,))
    if min(steps) <= 0:
        raise InputError("--lsb: a step that is not above 0", hint="give what one count of the converter is worth")
    return Sampling(Converter(steps, zeros), bits, exact=True)


def random_rows(ensemble: Ensemble, sampling: Sampling) -> NDArray[np.float32]:
    """(rows, features) at and below the thresholds; some numbers are missing. Always the same."""
    rng = np.random.default_rng(0)
    values, lsb = rng.uniform(-1, 1, (_ROWS, ensemble.features)), np.asarray(sampling.converter.lsb)
    asked, threshold = ensemble.feature[ensemble.inner], ensemble.threshold[ensemble.inner].astype(np.float64)
    for feature in np.unique(asked):
        own = np.unique(threshold[asked == feature])
        values[:, feature] = rng.choice(np.append(own, own[0] - _BELOW * lsb[feature]), _ROWS)
    if sampling.exact:
        values = sampling.numbers(sampling.raw(values + rng.integers(-1, 2, values.shape) * lsb)).astype(np.float64)
    values[rng.random(values.shape) < _MISSING] = np.nan
    return values.astype(np.float32)


def _each(ensemble: Ensemble, option: str, given: tuple[float, ...]) -> tuple[float, ...]:
    if len(given) not in {1, ensemble.features} or not np.isfinite(given).all():
        raise InputError(
            f"{option}: {len(given)} numbers for {ensemble.features} features", hint="give one for all, or one a feature"
        )
    return given * ensemble.features if len(given) == 1 else given


def _derived(ensemble: Ensemble, values: NDArray[np.float32] | None, steps: int) -> Converter:
    """Samples over the range of each feature's thresholds, beyond which a number may saturate: it goes the same way."""
    asked = ensemble.feature[ensemble.inner]
    found = [(1.0, 0.0)] * ensemble.features
    for feature in np.unique(asked):
        own = ensemble.threshold[ensemble.inner][asked == feature]
        shown = own[:0] if values is None else values[:, feature]
        found[feature] = _decimal(own, shown, steps) or _spanning(float(own.min()), float(own.max()), steps)
    return Converter(tuple(lsb for lsb, _ in found), tuple(offset for _, offset in found))


def _decimal(thresholds: NDArray[np.float32], shown: NDArray[np.float32], most: int) -> tuple[float, float] | None:
    """Steps of 1, 0.1, 0.01 and so on where all numbers that were ``shown`` are whole steps: then nothing is rounded."""
    shown = shown[~np.isnan(shown)]
    numbers = np.concatenate([thresholds, shown]).astype(np.float64)
    for digits in range(_DIGITS if len(shown) else 0):
        lsb = 10.0**-digits
        if (thresholds.max() - np.float64(thresholds.min())) / lsb > most:
            return None
        away = np.abs(numbers - np.rint(numbers / lsb) * lsb)
        if (away <= np.spacing(np.abs(numbers).astype(np.float32))).all():
            return lsb, round(float(thresholds.min() + thresholds.max()) / 2 / lsb) * lsb
    return None


def _spanning(low: float, high: float, steps: int) -> tuple[float, float]:
    width = high - low or max(abs(high), 1.0)
    return width / steps, (low + high) / 2
