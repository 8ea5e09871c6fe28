"""Rules for anonymous metrics: how far, how many, how fast, against each server's own first week."""

import numpy as np

from components.labeling import WindowView, labeling_function


def stacked(w: WindowView, statistic: str):
    """(windows, channels), NaN where a metric says nothing."""
    return np.stack([w.column(f"{c}_{statistic}") for c in w.channels], axis=1)


def peak(w: WindowView):
    """(windows, channels) furthest excursion to either side, in standard deviations."""
    return np.maximum(stacked(w, "z_max"), -stacked(w, "z_min"))


@labeling_function(task="anomaly", votes="anomaly")
def many_metrics_far_out(w: WindowView):
    return (peak(w) > 4).mean(axis=1) > 0.35


@labeling_function(task="anomaly", votes="anomaly")
def level_shifted(w: WindowView):
    return (abs(stacked(w, "z_mean")) > 3).sum(axis=1) >= 3


@labeling_function(task="anomaly", votes="anomaly")
def several_metrics_jump(w: WindowView):
    return (stacked(w, "z_diff_std") > 1.5).sum(axis=1) >= 4


@labeling_function(task="anomaly", votes="anomaly")
def metrics_freeze(w: WindowView):
    return (stacked(w, "stuck") > 0.5).sum(axis=1) >= 6


@labeling_function(task="anomaly", votes="normal")
def nothing_far_out(w: WindowView):
    return (peak(w) < 4).all(axis=1)


@labeling_function(task="anomaly", votes="normal")
def almost_nothing_far_out(w: WindowView):
    return (peak(w) > 5).sum(axis=1) <= 2
