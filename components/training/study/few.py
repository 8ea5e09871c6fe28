"""A few labelled windows, as if nobody had labelled the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.values import LabelSet
from components.workspace.errors import InputError


def few(label: LabelSet, rows: NDArray[np.int64], count: int, seed: int) -> LabelSet:
    """The labels of ``count`` of the windows ``rows``, drawn at random: one of each class that occurs, then from all.

    Nothing else of the other labels is left: neither decision weights nor people's answers.

    Raises:
        InputError: fewer than ``count`` windows are labelled, or more classes occur than are to be drawn.
    """
    decided = label.decided
    labelled = rows[decided[rows] >= 0]
    present = np.unique(decided[labelled])
    if len(labelled) < count or len(present) > count:
        raise InputError(
            f"task '{label.task}': {len(labelled):,} training windows of {len(present)} classes are labelled, "
            f"{count} cannot be drawn with every class among them",
            hint="choose other numbers with --labels",
        )
    random = np.random.default_rng([seed, count])
    first = np.asarray([random.choice(labelled[decided[labelled] == c]) for c in present])
    others = np.setdiff1d(labelled, first)
    drawn = np.concatenate([first, random.choice(others, count - len(first), replace=False)])
    covered = np.zeros(len(label.covered), bool)
    covered[drawn] = True
    return replace(
        label,
        covered=covered,
        gold=np.where(covered, label.gold, -1).astype(np.int8),
        sampled=label.sampled & covered,
        decision_weights=(1.0,) * len(label.classes),
    )
