"""The C of boosted trees: node tables, and the texts that make features and walk the trees."""

from __future__ import annotations

from string import Template

import numpy as np

from components.quantization.targets.c99.emit import Body, gauge_tables
from components.quantization.targets.c99.features import features_code, features_memory
from components.quantization.targets.c99.text import array, braced, defines, kernel
from components.runtime.surprise import Calibrated
from components.runtime.trees import EXP2_TABLE, Trees
from components.runtime.window_features import PARTS, feature_names
from components.values import BoostedModel

_SMALL = 256  # features that one byte numbers


def forest_body(model: BoostedModel, scoring: Calibrated) -> Body:
    """What `model.c` needs beyond sensor and alarm to run the trees of ``model``."""
    shape = len(model.channels), model.steps, PARTS
    features = len(model.channels) * len(feature_names(model.steps))
    tasks = tuple(sorted(head.task for head in model.heads if head.classes))
    numbers = tuple(sorted(scoring.gauges))
    order = sorted(model.trees)
    most = max(len(trees.bias) for trees in model.trees.values())
    index = "uint8_t" if features <= _SMALL else "uint16_t"
    none = "" if model.scored else "    result->surprise = surprise_of(log2_q8(1));\n"
    asks = none + "".join(_ask(i, task, model.scored, tasks, numbers) for i, task in enumerate(order))
    parts = [
        features_code(*shape),
        defines({"MOST_CLASSES": most}) + f"typedef {index} feature_index;\n",
        kernel("forest.c"),
        *(_table(i, model.trees[task]) for i, task in enumerate(order)),
        Template(kernel("forest_run.c")).substitute(asks=asks),
    ]
    if tasks:
        parts.insert(-1, kernel("largest32.c"))
    if numbers:
        parts.insert(-1, gauge_tables(scoring, numbers))
    if model.scored:
        parts.insert(-1, array("EXP2_TABLE", "uint16_t", EXP2_TABLE) + kernel("log_odds.c"))
    return Body(features_memory(*shape), tasks, "\n".join(parts), numbers)


def _ask(number: int, task: str, scored: str, tasks: tuple[str, ...], numbers: tuple[str, ...]) -> str:
    lines = [f"ask(&T{number}, logits);"]
    if task in tasks:
        lines.append(f"result->classes[{tasks.index(task)}] = largest(logits, T{number}.classes);")
    if task in numbers:
        lines.append(f"result->values[{numbers.index(task)}] = value_of(&GAUGE[{numbers.index(task)}], logits[0]);")
    if task == scored:
        lines.append(f"result->surprise = surprise_of(log_odds(logits, T{number}.classes));")
    return "".join(f"    {line}\n" for line in lines)


def _table(number: int, trees: Trees) -> str:
    order = np.argsort(trees.target, kind="stable")
    shallow = [_trimmed(trees, int(tree)) for tree in order]
    inner = [(1 << depth) - 1 for depth in shallow]
    feature = [v for tree, n in zip(order, inner, strict=True) for v in trees.feature[tree, :n].tolist()]
    threshold = [v for tree, n in zip(order, inner, strict=True) for v in trees.threshold[tree, :n].tolist()]
    leaves = [trees.leaf[tree, :: trees.leaf.shape[1] >> depth] for tree, depth in zip(order, shallow, strict=True)]
    count = np.bincount(trees.target, minlength=len(trees.bias))
    names = [f"{name}{number}" for name in ("FEATURE", "THRESHOLD", "LEAF", "DEPTH", "TREES", "BIAS")]
    tables = (
        (names[0], "feature_index", feature or [0]),
        (names[1], "int16_t", threshold or [0]),
        (names[2], "int16_t", np.concatenate(leaves) if leaves else [0]),
        (names[3], "uint8_t", shallow or [0]),
        (names[4], "uint16_t", count),
        (names[5], "int32_t", trees.bias),
    )
    written = "".join(array(*table) for table in tables)
    return f"{written}static const forest T{number} = {braced((*names, len(trees.bias)))};\n"


def _trimmed(trees: Trees, tree: int) -> int:
    """The depth down to which the tree decides anything: below, all leaves under a node are equal."""
    leaf, depth = trees.leaf[tree], trees.depth
    while depth and (leaf[::2] == leaf[1::2]).all():
        leaf, depth = leaf[::2], depth - 1
    return depth
