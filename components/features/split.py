"""Which windows are held out: whole devices, whole groups of segments, or everything from a time on."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.features.segments import read_segments, touching
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace


def held_out(workspace: Workspace, index: pd.DataFrame) -> NDArray[np.bool_]:
    """(windows,) whether a window belongs to the test part. ``index`` as in `Windows.index`, without ``split``.

    Raises:
        InputError: one of the two parts would be empty.
    """
    evaluation = workspace.settings.evaluation
    if evaluation.split == "period":
        test = _from_time(index, str(evaluation.after))
    elif evaluation.split == "groups":
        test = _groups(workspace, index)
    else:
        strata = index.groupby("device_id")["hardware_profile"].first()
        chosen = stratified(strata.index.tolist(), strata.tolist(), evaluation.holdout, workspace.settings.seed)
        test = np.asarray(index["device_id"].isin(chosen))
    if test.all() or not test.any():
        part = "no window is left to train on" if test.all() else "no window is held out"
        raise InputError(f"split: {evaluation.split}: {part}", hint="change evaluation: in muster.yaml, or bring more data")
    return test


def stratified(names: list[str], strata: list[str], share: float, seed: int) -> set[str]:
    """``share`` of the names, exactly, spread over the strata in proportion (largest remainders).

    Inside a stratum the order is that of a salted hash, so that adding a name moves few others.
    """
    members: dict[str, list[str]] = {}
    for name, stratum in zip(names, strata, strict=True):
        members.setdefault(stratum, []).append(name)
    wanted = min(max(round(share * len(names)), 1), len(names) - 1)
    quota = {s: int(share * len(m)) for s, m in members.items()}
    order = sorted(members, key=lambda s: (quota[s] - share * len(members[s]), _salted(seed, s)))
    while sum(quota.values()) < wanted:
        for stratum in order:
            if sum(quota.values()) < wanted and quota[stratum] < len(members[stratum]):
                quota[stratum] += 1
    return {n for s, m in members.items() for n in sorted(m, key=lambda n: _salted(seed, n))[: quota[s]]}


def _from_time(index: pd.DataFrame, after: str) -> NDArray[np.bool_]:
    """A window that reaches past the time is held out, so no held-out sample is trained on."""
    import pandas as pd

    try:
        start = datetime.fromisoformat(after)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise InputError(
            f"evaluation.after: '{after}' is no ISO 8601 time with an offset", hint="write e.g. 2026-01-31T00:00:00Z"
        )
    return np.asarray(index["end"] > pd.Timestamp(start).tz_convert("UTC"))


def _groups(workspace: Workspace, index: pd.DataFrame) -> NDArray[np.bool_]:
    """A window that touches a segment of a held-out group is held out."""
    evaluation = workspace.settings.evaluation
    segments = read_segments(workspace.path(str(evaluation.groups)), ("group",))
    names = sorted(set(segments["group"]))
    if len(names) < 2:
        raise InputError(f"{evaluation.groups}: one group cannot be split", hint="name at least two groups")
    chosen = stratified(names, [""] * len(names), evaluation.holdout, workspace.settings.seed)
    return touching(index, segments[segments["group"].isin(chosen)])


def _salted(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
