"""What each part of the label model brings: the model without it, on sets that it was developed on.

python -m benchmarks.weak_labels.ablation --seeds 1001 1002 1003
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.weak_labels import scores, sets
from benchmarks.weak_labels.models import MODELS, PARTS
from benchmarks.weak_labels.sets import VoteSet
from components.labeling.model import correlation, label_model, naive_bayes, sequences

NEVER = 2.0
VARIANTS: dict[str, list[tuple[Any, str, float]]] = {
    "as it is": [],
    "fitted to convergence": [(naive_bayes, "ITERATIONS", 100)],
    "not pulled to the belief": [(naive_bayes, "SHRINKAGE", 0.0), (naive_bayes, "PSEUDO_COUNTS", 1.0)],
    "believed whatever the class shares": [(naive_bayes, "HIGHEST_RATE", 0.999)],
    "abstention is no evidence": [(naive_bayes, "ABSTENTION", 0.0)],
    "abstention is full evidence": [(naive_bayes, "ABSTENTION", 1.0)],
    "copies count in full": [(correlation, "NOTABLE", NEVER)],
    "without the belief's half": [(label_model, "BELIEF_SHARE", 0.0)],
    "evidence over time not tempered": [(sequences, "TEMPER", 1.0)],
    "without the moving mean": [(sequences, "SPAN", 1)],
}
COLUMNS = ("rules on machines, AP", "other rules, AP", "rare faults, AP", "with copies, AP", "log-loss", "in time order, AP")


def main(arguments: Sequence[str] | None = None) -> None:
    from benchmarks.weak_labels.pumps import timed_sets

    parser = argparse.ArgumentParser(prog="python -m benchmarks.weak_labels.ablation", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1001, 1002, 1003])
    seeds = parser.parse_args(arguments).seeds
    machines = [s for seed in seeds for s in sets.machine_rules(seed)]
    others = [s for seed in seeds for s in sets.other_rules(seed)]
    rare = [[sets.rare_faults(share, copied, seed) for share in (0.01, 0.05) for seed in seeds] for copied in (False, True)]
    timed = [s for seed in seeds for s in timed_sets(seed)]
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for name, changes in VARIANTS.items():
        print(f"{name} ...", file=sys.stderr)
        with changed(changes):
            row = [100 * _mean(scores.average_precision, some, "ours-prior") for some in (machines, others)]
            row += [100 * _mean(scores.average_precision, some, "ours") for some in rare]
            row += [_mean(scores.log_loss, [*machines, *others], "ours-prior")]
            row += [100 * _mean(scores.average_precision, timed, "ours-timed")]
        print(
            f"| {name} | {' | '.join(f'{v:.3f}' if c == 'log-loss' else f'{v:.1f}' for c, v in zip(COLUMNS, row, strict=True))} |"
        )


@contextmanager
def changed(changes: list[tuple[Any, str, float]]) -> Iterator[None]:
    """The constants at other values, for a while."""
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _mean(score: Any, some: Sequence[VoteSet], model: str) -> float:
    said = (MODELS[model]({n: v for n in PARTS if (v := getattr(one, n)) is not None}) for one in some)
    return float(np.mean([score(opinion, one) for opinion, one in zip(said, some, strict=True)]))


if __name__ == "__main__":
    main()
