"""Vote matrices with gold to judge by. Every one follows from its name and a seed.

Published: `lf_matrices` (TREC, SMS, tennis). Simulated: rare faults under alarm functions. Fresh: random rules on measured
data (`rules`), so that a label model meets functions that nobody has seen before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.weak_labels.rules import keyword_votes, tree_votes
from components.ingestion.datasets import dataset_file, dataset_folder

Votes = NDArray[np.int8]
Numbers = NDArray[np.float64]

RARE_ROWS = 100_000
ALARMS, NORMALS, COPIES = 6, 4, 4


@dataclass(frozen=True)
class VoteSet:
    """Functions' votes on rows to fit on and rows to score, the gold of the latter, and what is told of the classes.

    ``train``, ``test``: (rows, functions) in {-1 abstains, 0..classes-1}. ``gold``: (test rows,). ``shares``: (classes,)
    the balance that a model may be given, from gold that is not scored where there is such. ``train_sequences``,
    ``test_sequences``: (rows,) equal neighbours are consecutive in time; None where order means nothing.
    """

    name: str
    classes: int
    train: Votes
    test: Votes
    gold: Votes
    shares: Numbers
    train_sequences: NDArray[np.int64] | None = None
    test_sequences: NDArray[np.int64] | None = None


def published() -> Iterator[VoteSet]:
    """TREC, SMS and tennis; fitted on the training votes. Tennis has no validation part: the first third of
    its test part, which is scored whole, tells the balance.

    TREC's training part numbers the classes otherwise than its other parts (of 68 functions, 40 vote for one class there
    and for another one here); `renumbered` gives it their numbers.
    """
    folder = dataset_folder(None, "lf_matrices", "awasthiabhijeet/Learning-From-Rules and HazyResearch/flyingsquid")
    for name, k in (("trec", 6), ("sms", 2), ("tennis", 2)):
        with np.load(dataset_file(folder, f"{name}.npz", "the same")) as held:
            train, test, gold = held["L_train"], held["L_test"], held["Y_test"].astype(np.int8)
            known = held.get("Y_valid")
            train = renumbered(train, np.concatenate([held["L_valid"], test]), k) if name == "trec" else train
        if known is None:
            known = gold[: len(gold) // 3]
        timed = name == "tennis"
        yield VoteSet(
            name,
            k,
            train.astype(np.int8),
            test.astype(np.int8),
            gold,
            balance(known, k),
            np.zeros(len(train), np.int64) if timed else None,
            np.zeros(len(test), np.int64) if timed else None,
        )


def renumbered(votes: NDArray[Any], reference: NDArray[Any], k: int) -> Votes:
    """``votes`` with the class numbers of ``reference``, as told by functions that vote for a single class in each."""
    same = np.zeros((k, k), np.int64)
    for ours, theirs in zip(votes.T, reference.T, strict=True):
        here, there = np.unique(ours[ours >= 0]), np.unique(theirs[theirs >= 0])
        if len(here) == len(there) == 1:
            same[here[0], there[0]] += 1
    number = same.argmax(axis=1)
    assert sorted(number.tolist()) == list(range(k))
    return np.where(votes >= 0, number[votes], -1).astype(np.int8)


def rare_faults(share: float, copied: bool, seed: int) -> VoteSet:
    """Faults of ``share``: `ALARMS` alarm functions and `NORMALS` that say that all looks normal.

    An alarm function fires on .3 to .7 of the faults and on .1 to 2 % of the rest; a normal one speaks on .3 to .7 of
    the rest and on 2 to 10 % of the faults. ``copied``: the first `COPIES` alarm functions are one rule in four wordings:
    on nine rows of ten each says what the rule says. The gold of all rows is scored, and none is fitted.
    """
    random = np.random.default_rng([seed, round(share * 10_000), copied])
    gold = (random.random(RARE_ROWS) < share).astype(np.int8)
    columns = [_fires(random, gold, random.uniform(0.3, 0.7), random.uniform(0.001, 0.02)) for _ in range(ALARMS)]
    if copied:
        columns[1:COPIES] = [np.where(random.random(RARE_ROWS) < 0.9, columns[0], own) for own in columns[1:COPIES]]
    calm = [_fires(random, gold, random.uniform(0.02, 0.1), random.uniform(0.3, 0.7)) for _ in range(NORMALS)]
    votes = np.stack([np.where(c, 1, -1) for c in columns] + [np.where(c, 0, -1) for c in calm], axis=1).astype(np.int8)
    kind = "copied" if copied else "independent"
    return VoteSet(f"rare {share:.0%} {kind} {seed}", 2, votes, votes, gold, balance(gold, 2))


def machine_rules(seed: int) -> Iterator[VoteSet]:
    """Random tree rules on the hydraulic rig's four components and on each of six gases against the others."""
    for name, features, targets in (("hydraulic", *_hydraulic()), ("gas", *_gas())):
        for target, truth in targets.items():
            yield _from_trees(f"{name} {target} {seed}", features, truth, 2, seed)


def other_rules(seed: int) -> Iterator[VoteSet]:
    """Random tree rules on scikit-learn's bundled data, two classes and more, and keyword rules on home utterances."""
    from sklearn.datasets import load_breast_cancer, load_digits, load_wine

    tumours, wine, digits = load_breast_cancer(), load_wine(), load_digits()
    yield _from_trees(f"tumours {seed}", tumours.data, tumours.target, 2, seed)
    yield _from_trees(f"wine {seed}", wine.data, wine.target, 3, seed)
    yield _from_trees(f"digits {seed}", digits.data, digits.target, 10, seed)
    for digit in np.random.default_rng([seed, 4]).choice(10, 3, replace=False):
        yield _from_trees(f"digit {digit} {seed}", digits.data, (digits.target == digit).astype(np.int64), 2, seed)
    utterances, scenarios = _utterances()
    names, truth = np.unique(scenarios, return_inverse=True)
    yield _from_words(f"scenarios {seed}", utterances, truth, len(names), seed)
    home = (scenarios == "iot").astype(np.int64)
    yield _from_words(f"home {seed}", utterances, home, 2, seed)


def _from_trees(name: str, features: Numbers, truth: NDArray[Any], k: int, seed: int) -> VoteSet:
    return _split(name, truth, k, seed, lambda random, train: tree_votes(features, truth, k, train, random))


def _from_words(name: str, texts: NDArray[Any], truth: NDArray[Any], k: int, seed: int) -> VoteSet:
    return _split(name, truth, k, seed, lambda random, train: keyword_votes(texts, truth, k, train, random))


def _split(
    name: str, truth: NDArray[Any], k: int, seed: int, vote: Callable[[np.random.Generator, NDArray[np.int64]], Votes]
) -> VoteSet:
    """Rules come from the first half of the shuffled rows and are fitted there; the second half is scored."""
    random = np.random.default_rng([seed, *name.encode()])
    order = random.permutation(len(truth))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    votes = vote(random, train)
    return VoteSet(name, k, votes[train], votes[test], truth[test].astype(np.int8), balance(truth, k))


def _fires(random: np.random.Generator, gold: Votes, on_faults: float, else_: float) -> NDArray[np.bool_]:
    return np.asarray(random.random(len(gold)) < np.where(gold == 1, on_faults, else_))


def balance(gold: NDArray[Any], k: int) -> Numbers:
    """With one row added to each class, so that none is impossible."""
    return (np.bincount(gold[gold >= 0], minlength=k) + 1.0) / ((gold >= 0).sum() + k)


def _hydraulic() -> tuple[Numbers, dict[str, NDArray[np.int64]]]:
    """Mean and standard deviation of each channel over a load cycle, and which components are worn in it."""
    import pandas as pd

    folder = dataset_folder(None, "hydraulic", "the UCI Machine Learning Repository, data set 447")
    samples = pd.read_parquet(dataset_file(folder, "cycles.parquet", "the same"))
    labels = pd.read_csv(dataset_file(folder, "labels.csv", "the same")).set_index("cycle")
    features = samples.drop(columns="sec").groupby("cycle").agg(["mean", "std"])
    labels = labels.loc[features.index]
    worn = {
        "cooler": labels["cooler_pct"] == 3,
        "valve": labels["valve_pct"] <= 80,
        "pump": labels["pump_leak"] == 2,
        "accumulator": labels["accumulator_bar"] == 90,
    }
    return features.to_numpy(np.float64), {name: truth.to_numpy().astype(np.int64) for name, truth in worn.items()}


def _gas() -> tuple[Numbers, dict[str, NDArray[np.int64]]]:
    import pandas as pd

    folder = dataset_folder(None, "gas_drift", "the UCI Machine Learning Repository, data set 270")
    frame = pd.read_parquet(dataset_file(folder, "gas_drift_partial.parquet", "the same"))
    gas = frame["gas"].to_numpy()
    features = frame.drop(columns=["batch", "gas", "ppmv"]).to_numpy(np.float64)
    return features, {str(k): (gas == k).astype(np.int64) for k in np.unique(gas)}


def _utterances() -> tuple[NDArray[Any], NDArray[Any]]:
    import pandas as pd

    folder = dataset_folder(None, "hwu64_home", "github.com/xliuhw/NLU-Evaluation-Data")
    frame = pd.read_parquet(dataset_file(folder, "kfold1.parquet", "the same")).dropna(subset=["answer"])
    return frame["answer"].str.lower().to_numpy(object), frame["scenario"].to_numpy(object)
