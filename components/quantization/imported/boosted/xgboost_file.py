"""Read XGBoost's JSON, as 1.7 to 3.2 write it, without trusting it (`xgboost/doc/model.schema`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Ensemble, Kind
from components.workspace.errors import InputError

MOST_FEATURES, MOST_OUTPUTS, MOST_TREES, MOST_DEPTH = 4096, 256, 32_768, 100
_HINT = "save it again with XGBoost's save_model('model.json')"
_BINARY = {"binary:logistic", "binary:hinge"}
_MULTICLASS = {"multi:softmax", "multi:softprob"}
_IDENTITY = {"squarederror", "absoluteerror", "pseudohubererror", "squaredlogerror", "quantileerror", "linear"}
_REGRESSION = {f"reg:{name}" for name in _IDENTITY} | {"rank:pairwise", "rank:ndcg", "rank:map"}


@dataclass(frozen=True)
class _Tree:
    """Arrays as in the file, one entry a node; ``condition``: threshold, or leaf. ``depth``: of the deepest leaf."""

    feature: NDArray[np.int32]
    condition: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    depth: int


def read_ensemble(data: bytes) -> Ensemble:
    """All trees of the file, as `Booster.predict` adds them.

    Raises:
        InputError: no such JSON, a damaged one, or a model that the trees here do not cover.
    """
    try:
        return _ensemble(_parsed(data))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise InputError(f"no whole XGBoost model: {type(error).__name__}: {str(error)[:200]}", hint=_HINT) from None
    except RecursionError:
        raise InputError("no XGBoost model: nested too deeply", hint=_HINT) from None


def _parsed(data: bytes) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no number of JSON")

    return json.loads(data, parse_constant=refuse)


def _ensemble(value: Any) -> Ensemble:
    learner = value["learner"]
    objective, shape = str(learner["objective"]["name"]), learner["learner_model_param"]
    outputs = max(1, _count(shape, "num_class", MOST_OUTPUTS), _count(shape, "num_target", MOST_OUTPUTS))
    kind, features = _kind(objective, outputs), _count(shape, "num_feature", MOST_FEATURES)
    if features < 1:
        raise InputError("a model without features", hint=_HINT)
    model, weights = _model(learner["gradient_booster"])
    trees = [_tree(tree, i, features) for i, tree in enumerate(model["trees"])]
    if not 1 <= len(trees) <= MOST_TREES:
        raise InputError(f"{len(trees):,} trees", hint=f"there must be 1 to {MOST_TREES:,}")
    target = _array(model, "tree_info", len(trees), "iu", 0, outputs - 1).astype(np.int32)
    scale = np.ones(len(trees)) if weights is None else np.asarray(weights, np.float64)
    if scale.shape != (len(trees),):
        raise InputError(f"{scale.size} weights for {len(trees)} trees", hint=_HINT)
    return _joined(kind, objective, features, trees, scale, target, _bias(objective, shape, outputs), _names(learner, features))


def _kind(objective: str, outputs: int) -> Kind:
    if objective in _MULTICLASS and outputs > 1:
        return "multiclass"
    if objective in _BINARY and outputs == 1:
        return "binary"
    if objective in _REGRESSION:
        return "regression"
    taken = ", ".join(sorted(_BINARY | _MULTICLASS | _REGRESSION))
    raise InputError(f"objective '{objective[:50]}' of {outputs} outputs is not taken", hint=f"accepted are {taken}")


def _model(booster: Mapping[str, Any]) -> tuple[Any, Any]:
    """The trees, and the weight of each where dropout gave them one."""
    name = str(booster["name"])
    if name == "dart":
        return booster["gbtree"]["model"], booster["weight_drop"]
    if name != "gbtree":
        raise InputError(f"booster '{name[:50]}' has no trees", hint="accepted are gbtree and dart")
    return booster["model"], None


def _bias(objective: str, shape: Mapping[str, Any], outputs: int) -> NDArray[np.float64]:
    """Margins before the first tree: one number in older files, one an output from 3.1 on."""
    scores = np.asarray(json.loads(str(shape["base_score"])), np.float64).ravel()
    if scores.size not in {1, outputs} or not np.isfinite(scores).all():
        raise ValueError(f"base_score {str(shape['base_score'])[:50]}")
    if objective == "binary:logistic":  # of which the file holds the probability
        scores = np.asarray([math.log(s / (1 - s)) for s in scores.tolist()])
    return np.broadcast_to(scores, (outputs,)).copy()


def _names(learner: Mapping[str, Any], features: int) -> tuple[str, ...]:
    names = learner.get("feature_names") or []
    return tuple(str(name)[:100] for name in names) if isinstance(names, list) and len(names) == features else ()


def _tree(tree: Mapping[str, Any], number: int, features: int) -> _Tree:
    about = tree["tree_param"]
    size = len(tree["left_children"])
    if int(about["num_nodes"]) != size or not size:
        raise ValueError(f"tree {number}: {about['num_nodes']} nodes, of which {size} are there")
    if int(about.get("size_leaf_vector", 1)) > 1:
        raise InputError(f"tree {number} has vectors at its leaves", hint="train with multi_strategy='one_output_per_tree'")
    left, right = (_array(tree, f"{side}_children", size, "i", -1, size - 1) for side in ("left", "right"))
    depth = _depth(left, right, number)
    asks = left >= 0
    if _array(tree, "split_type", size, "biu", 0, 1)[asks].any():
        raise InputError(f"tree {number} splits by category", hint="train on numbers: encode categories as columns of 0 and 1")
    feature = _array(tree, "split_indices", size, "iu", 0, 2**31 - 1)
    if (feature[asks] >= features).any():
        raise ValueError(f"tree {number}: a split by a feature beyond the {features} of the model")
    with np.errstate(over="ignore"):
        condition = _array(tree, "split_conditions", size, "iuf").astype(np.float32)
    if not np.isfinite(condition).all():
        raise ValueError(f"tree {number}: a threshold or a leaf that is no finite number")
    missing_left = _array(tree, "default_left", size, "biu", 0, 1) > 0
    return _Tree(np.where(asks, feature, 0), condition, left.astype(np.int32), right.astype(np.int32), missing_left, depth)


def _depth(left: NDArray[Any], right: NDArray[Any], number: int) -> int:
    """Levels of questions below the root, which every node must hang from once at most."""
    if ((left < 0) != (right < 0)).any():
        raise ValueError(f"tree {number}: a node with one child")
    seen, level, depth = np.zeros(len(left), bool), np.zeros(1, np.int64), 0
    while True:
        if len(np.unique(level)) != len(level) or seen[level].any():
            raise ValueError(f"tree {number}: a node with two parents")
        seen[level] = True
        asks = level[left[level] >= 0]
        if not len(asks):
            return depth
        level, depth = np.concatenate([left[asks], right[asks]]), depth + 1
        if depth > MOST_DEPTH:
            raise InputError(f"tree {number} is deeper than {MOST_DEPTH} levels", hint="set max_depth in training")


def _array(
    of: Mapping[str, Any], key: str, size: int, kinds: str, low: float = -math.inf, high: float = math.inf
) -> NDArray[Any]:
    values = np.asarray(of[key])
    if values.shape != (size,) or values.dtype.kind not in kinds:
        raise ValueError(f"{key}: {values.dtype} of shape {values.shape}, not {size} numbers")
    if values.min() < low or values.max() > high:
        raise ValueError(f"{key}: a number that is out of range")
    return values


def _count(shape: Mapping[str, Any], key: str, most: int) -> int:
    count = int(shape.get(key, 0))
    if not 0 <= count <= most:
        raise InputError(f"{key} is {count:,}", hint=f"the most is {most:,}")
    return count


def _joined(
    kind: Kind,
    objective: str,
    features: int,
    trees: list[_Tree],
    scale: NDArray[np.float64],
    target: NDArray[np.int32],
    bias: NDArray[np.float64],
    names: tuple[str, ...],
) -> Ensemble:
    sizes = np.asarray([len(tree.left) for tree in trees], np.int32)
    roots = (np.cumsum(sizes) - sizes).astype(np.int32)

    def moved(side: str) -> NDArray[np.int32]:
        own = [getattr(tree, side) for tree in trees]
        return np.concatenate([np.where(x >= 0, x + root, -1) for x, root in zip(own, roots, strict=True)]).astype(np.int32)

    left, condition = moved("left"), np.concatenate([tree.condition for tree in trees])
    leaf = (condition * np.repeat(scale, sizes)).astype(np.float32)
    if not np.isfinite(leaf).all():
        raise ValueError("a leaf that its weight makes infinite")
    return Ensemble(
        kind=kind,
        objective=objective,
        features=features,
        feature=np.concatenate([tree.feature for tree in trees]).astype(np.int32),
        threshold=condition,
        left=left,
        right=moved("right"),
        missing_left=np.concatenate([tree.missing_left for tree in trees]),
        leaf=np.where(left < 0, leaf, np.float32(0)),
        roots=roots,
        target=target,
        bias=bias,
        depth=max(tree.depth for tree in trees),
        names=names,
    )
