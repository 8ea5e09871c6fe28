"""Rules for anonymous metrics: how rough, how far out, how shifted, against each server's own first week.

The thresholds stand where the unlabelled history seldom goes. The first five metrics hardly move, the others follow
the load together, so a rule takes what most metrics of a kind say.
"""

import numpy as np

from components.labeling import WindowView, labeling_function

STEADY, LOADED = slice(0, 5), slice(5, 19)


def stacked(w: WindowView, statistic: str):
    """(windows, metrics), NaN where a metric says nothing."""
    return np.stack([w.column(f"{c}_{statistic}") for c in w.channels], axis=1)


def roughness(w: WindowView):
    """Sample-to-sample movement of the loaded metrics as a ratio to the usual, the median over metrics."""
    usual = [w.against_calibration(w.column(f"{c}_diff_std")) for c in w.channels[LOADED]]
    return np.median(np.stack(usual, axis=1), axis=1)


def excursion(w: WindowView):
    """Furthest sample to either side in standard deviations, the mean over metrics."""
    return np.maximum(stacked(w, "z_max"), -stacked(w, "z_min")).mean(axis=1)


def shift(w: WindowView):
    """How far the steady metrics' level stands from the usual, in standard deviations."""
    return abs(stacked(w, "z_mean")[:, STEADY]).mean(axis=1)


@labeling_function(task="anomaly", votes="anomaly")
def loaded_metrics_are_rough(w: WindowView):
    return roughness(w) > 3


@labeling_function(task="anomaly", votes="anomaly")
def most_metrics_go_far_out(w: WindowView):
    return excursion(w) > 2.2


@labeling_function(task="anomaly", votes="anomaly")
def steady_metrics_shifted(w: WindowView):
    return shift(w) > 0.8


@labeling_function(task="anomaly", votes="anomaly")
def load_falls_away(w: WindowView):
    return -stacked(w, "z_min")[:, LOADED].mean(axis=1) > 1.7


@labeling_function(task="anomaly", votes="normal")
def loaded_metrics_are_smooth(w: WindowView):
    return roughness(w) < 1.3


@labeling_function(task="anomaly", votes="normal")
def nothing_goes_far_out(w: WindowView):
    return excursion(w) < 1.8


@labeling_function(task="anomaly", votes="normal")
def steady_metrics_stay(w: WindowView):
    return shift(w) < 0.4
