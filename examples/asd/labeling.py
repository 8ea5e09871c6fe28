"""Rules for anonymous metrics: how rough, how far out, how shifted, against the fleet's own unlabelled history.

No threshold is a number somebody chose: a window is suspicious where a statistic goes beyond what all but one in two
hundred windows of the history show, and looks normal below what four in five show.
"""

import numpy as np
import pandas as pd

from components.labeling import WindowView, labeling_function

HISTORY_END = pd.Timestamp("2020-01-31T00:00:00Z")  # evaluation.after: what comes later is judged, not learned from
RARE, COMMON = 0.995, 0.8


def over_metrics(w: WindowView, statistic: str):
    """(windows, metrics) of one window statistic."""
    return np.stack([w.column(f"{c}_{statistic}") for c in w.channels], axis=1)


def excursion(w: WindowView):
    """Furthest sample to either side in standard deviations, the mean over metrics."""
    return np.maximum(over_metrics(w, "z_max"), -over_metrics(w, "z_min")).mean(axis=1)


def shift(w: WindowView):
    """How far the level stands from the usual in standard deviations, the mean over metrics."""
    return abs(over_metrics(w, "z_mean")).mean(axis=1)


def roughness(w: WindowView):
    """Sample-to-sample movement as a ratio to the server's usual, the median over metrics that usually move."""
    usual = np.stack([w.against_calibration(w.column(f"{c}_diff_std")) for c in w.channels], axis=1)
    return np.nanmedian(np.where(np.isfinite(usual), usual, np.nan), axis=1)


def fall(w: WindowView):
    """How far the metrics drop below the usual at their lowest, in standard deviations, the mean over metrics."""
    return -over_metrics(w, "z_min").mean(axis=1)


def history(w: WindowView, values, share: float):
    """The quantile of ``values`` over the windows of the history."""
    return np.nanquantile(values[(w.index["end"] <= HISTORY_END).to_numpy()], share)


@labeling_function(task="anomaly", votes="anomaly")
def rougher_than_history(w: WindowView):
    return roughness(w) > history(w, roughness(w), RARE)


@labeling_function(task="anomaly", votes="anomaly")
def further_out_than_history(w: WindowView):
    return excursion(w) > history(w, excursion(w), RARE)


@labeling_function(task="anomaly", votes="anomaly")
def shifted_from_history(w: WindowView):
    return shift(w) > history(w, shift(w), RARE)


@labeling_function(task="anomaly", votes="anomaly")
def falls_below_history(w: WindowView):
    return fall(w) > history(w, fall(w), RARE)


@labeling_function(task="anomaly", votes="normal")
def as_smooth_as_history(w: WindowView):
    return roughness(w) < history(w, roughness(w), COMMON)


@labeling_function(task="anomaly", votes="normal")
def nothing_goes_far_out(w: WindowView):
    return excursion(w) < history(w, excursion(w), COMMON)


@labeling_function(task="anomaly", votes="normal")
def levels_stay(w: WindowView):
    return shift(w) < history(w, shift(w), COMMON)
