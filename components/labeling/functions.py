"""What a labelling function is, how a workspace declares it, and how it is applied.

::

    from components.labeling import WindowView, labeling_function

    @labeling_function(task="fault", votes="blockage", channels=("flow", "discharge_pressure"))
    def pressure_up_flow_down(w: WindowView):
        return (w.z_mean("discharge_pressure") > 2) & (w.z_mean("flow") < -2)

A function sees all windows at once and returns a boolean array, true where it votes for its class; or, declared
without ``votes``, an integer array of votes: -1 abstains, 0..k-1 are the task's classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, MusterError
from components.workspace.modules import line_in, load_module

if TYPE_CHECKING:
    from components.labeling.view import WindowView
    from components.workspace import Workspace
    from components.workspace.settings import Task

LEAST_FUNCTIONS = 3
_DECLARED = "__labeling_functions__"

Body = Callable[["WindowView"], Any]


@dataclass(frozen=True)
class LabelingFunction:
    """One rule of one task. ``votes`` is the class it votes for, None when it returns votes itself."""

    name: str
    task: str
    votes: str | None
    channels: tuple[str, ...]
    body: Body
    file: Path
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}, labelling function {self.name}"


def labeling_function(
    *, task: str, votes: str | None = None, channels: tuple[str, ...] = (), name: str | None = None
) -> Callable[[Body], Body]:
    """Declare the decorated function as a labelling function of ``task``; ``channels`` are those it cannot do without."""

    def mark(body: Body) -> Body:
        code = inspect.unwrap(body).__code__
        function = LabelingFunction(
            name or body.__name__, task, votes, tuple(channels), body, Path(code.co_filename), code.co_firstlineno
        )
        body.__globals__.setdefault(_DECLARED, []).append(function)
        return body

    return mark


def load_functions(workspace: Workspace, task: Task) -> list[LabelingFunction]:
    """The functions that `labeling.module` declares for ``task``, in the order of the file.

    Raises:
        InputError: the module cannot be read, a declaration names what is not there, or there are too few.
    """
    file = workspace.path(workspace.settings.labeling.module)
    declared = _declared(load_module(file))
    known = {t.name for t in workspace.settings.tasks}
    for function in declared:
        if function.task not in known:
            raise InputError(f"{function.where}: no task '{function.task}'", hint=f"tasks: {', '.join(sorted(known))}")
        if missing := [c for c in function.channels if c not in workspace.settings.telemetry.names]:
            hint = f"channels: {', '.join(workspace.settings.telemetry.names)}"
            raise InputError(f"{function.where}: no channel {', '.join(missing)}", hint=hint)
    functions = [f for f in declared if f.task == task.name]
    for number, function in enumerate(functions):
        if function.votes is not None and function.votes not in task.vote_classes:
            hint = f"classes: {', '.join(task.vote_classes)}"
            raise InputError(f"{function.where}: votes for '{function.votes}', no class of task '{task.name}'", hint=hint)
        if twin := next((f for f in functions[:number] if f.name == function.name), None):
            raise InputError(f"{function.where}: line {twin.line} has one of this name too", hint="rename one of them")
    if len(functions) < LEAST_FUNCTIONS:
        raise InputError(
            f"{file}: task '{task.name}' has {len(functions)} labelling functions, it needs at least {LEAST_FUNCTIONS}",
            hint="with fewer, their agreement says nothing about who is right; write more, or declare gold labels",
        )
    return functions


def apply_functions(functions: list[LabelingFunction], classes: tuple[str, ...], view: WindowView) -> NDArray[np.int8]:
    """(windows, functions) int8 votes.

    Raises:
        InputError: a function raises, returns the wrong shape or kind, or all of them abstain on every window.
    """
    votes = np.stack([_votes(f, classes, view) for f in functions], axis=1)
    if not (votes != ABSTAIN).any():
        names = ", ".join(f.name for f in functions)
        raise InputError(f"every labelling function of task '{functions[0].task}' abstains on every window: {names}",
                         hint="loosen their thresholds; muster data profile shows the channels' ranges")  # fmt: skip
    return votes


def _declared(module: ModuleType) -> list[LabelingFunction]:
    """In the order of the file. A list of its own, because of two `def`s of one name a module keeps the last."""
    return list(vars(module).get(_DECLARED, []))


def _votes(function: LabelingFunction, classes: tuple[str, ...], view: WindowView) -> NDArray[np.int8]:
    said = _call(function, view)
    if said.shape != (len(view),):
        raise InputError(
            f"{function.where}: returned shape {said.shape}, wanted ({len(view)},)",
            hint="return one value a window; the view's methods give arrays of that shape",
        )
    if function.votes is not None:
        if said.dtype != bool:
            raise InputError(
                f"{function.where}: returned {said.dtype}, a function with votes= returns booleans",
                hint="end it with a comparison, or leave votes= out and return class numbers",
            )
        return np.where(said, classes.index(function.votes), ABSTAIN).astype(np.int8)
    if not np.issubdtype(said.dtype, np.integer):
        raise InputError(
            f"{function.where}: returned {said.dtype}, a function without votes= returns integers",
            hint="-1 abstains; NaN is no vote",
        )
    if (said < ABSTAIN).any() or (said >= len(classes)).any():
        outside = said[(said < ABSTAIN) | (said >= len(classes))][0]
        raise InputError(
            f"{function.where}: returned vote {outside}",
            hint=f"votes are -1 (abstain) to {len(classes) - 1}: {', '.join(classes)}",
        )
    return said.astype(np.int8)


def _call(function: LabelingFunction, view: WindowView) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # comparisons with NaN are false: the function abstains
        try:
            return np.asarray(function.body(view))
        except Exception as error:
            where = f"{function.file}, line {line_in(function.file, error) or function.line}, labelling function {function.name}"
            if isinstance(error, MusterError):
                raise InputError(f"{where}: {error.message}", hint=error.hint) from error
            hint = "mend the function; it gets a WindowView of all windows"
            raise InputError(f"{where}: {type(error).__name__}: {error}", hint=hint) from error
