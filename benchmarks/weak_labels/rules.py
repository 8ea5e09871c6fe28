"""Random rules such as people write: short paths of small trees, and words that give a class away.

Each rule is made from a handful of labelled rows, votes for one class where it applies, and abstains elsewhere.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

Votes = NDArray[np.int8]
Numbers = NDArray[np.float64]

EXAMPLES = 40
"""Labelled rows of each class that the author of a tree rule has seen."""
FEW, MANY = 8, 15
"""Rules of a set, for two classes; more for more, in proportion."""
FEATURES = 4
_TRIES = 40
_SEEN_TEXTS = 400
_WORDS = re.compile(r"[a-z']+")


def tree_votes(features: Numbers, truth: NDArray[Any], k: int, train: NDArray[np.int64], random: np.random.Generator) -> Votes:
    """(rows, rules): each rule is one leaf of a tree of depth 1 to 3 over `FEATURES` random columns of (rows, columns).

    The tree is fitted on `EXAMPLES` training rows of each class; a rule votes for the class most frequent in its leaf and is
    kept when that is better than chance there. Classes take turns, so that each has rules.
    """
    count = int(random.integers(FEW, MANY + 1)) * k // 2
    return np.stack([_leaf(features, truth, k, rule % k, train, random) for rule in range(count)], axis=1)


def keyword_votes(
    texts: NDArray[Any], truth: NDArray[Any], k: int, train: NDArray[np.int64], random: np.random.Generator
) -> Votes:
    """(rows, rules): each rule votes for a class on texts with one of up to three words.

    The words are drawn from those that occur at least twice in `_SEEN_TEXTS` training texts, where they speak for the class
    more often than its share says. Classes take turns.
    """
    bags = [frozenset(_WORDS.findall(text)) for text in texts]
    seen = random.choice(train, min(_SEEN_TEXTS * max(k // 4, 1), len(train)), replace=False)
    shares = np.bincount(truth[seen], minlength=k) / len(seen)
    lift = _lifts([bags[i] for i in seen], truth[seen], shares)
    count = int(random.integers(FEW, MANY + 1)) * k // 2
    columns = []
    for rule in range(count):
        known = [word for word, gains in lift.items() if gains[rule % k] > 1.5] or list(lift)
        words = frozenset(random.choice(sorted(known), min(int(random.integers(1, 4)), len(known)), replace=False))
        columns.append([rule % k if bag & words else -1 for bag in bags])
    return np.asarray(columns, np.int8).T


def _leaf(
    features: Numbers, truth: NDArray[Any], k: int, wanted: int, train: NDArray[np.int64], random: np.random.Generator
) -> Votes:
    """(rows,) votes of one rule for the class ``wanted``: the best of few authors' tries may still be poor."""
    from sklearn.tree import DecisionTreeClassifier

    for _ in range(_TRIES):
        rows = np.concatenate([random.choice(train[truth[train] == c], EXAMPLES) for c in range(k)])
        columns = random.choice(features.shape[1], min(FEATURES, features.shape[1]), replace=False)
        tree = DecisionTreeClassifier(max_depth=int(random.integers(1, 4)), random_state=int(random.integers(2**31)))
        tree.fit(features[np.ix_(rows, columns)], truth[rows])
        belief = tree.tree_.value[:, 0, :]
        leaves = np.flatnonzero((tree.tree_.children_left < 0) & (belief.argmax(axis=1) == wanted))
        if leaves.size:
            leaf = random.choice(leaves)
            return np.where(tree.apply(features[:, columns]) == leaf, wanted, -1).astype(np.int8)
    return np.full(len(features), -1, np.int8)


def _lifts(bags: list[frozenset[str]], truth: NDArray[Any], shares: Numbers) -> dict[str, Numbers]:
    """Word -> (classes,) how much more often its texts are of each class than texts are; words of at least two texts."""
    counts: dict[str, Numbers] = {}
    for bag, c in zip(bags, truth, strict=True):
        for word in bag:
            counts.setdefault(word, np.zeros(len(shares)))[c] += 1
    return {w: n / n.sum() / np.maximum(shares, 1e-9) for w, n in sorted(counts.items()) if n.sum() >= 2}
