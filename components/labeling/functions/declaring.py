"""What a labelling function is and how a workspace declares it.

::

    from components.labeling import WindowView, labeling_function

    @labeling_function(task="fault", votes="blockage", channels=("flow", "discharge_pressure"), sees="window")
    def pressure_up_flow_down(w: WindowView):
        return (w.z_mean("discharge_pressure") > 2) & (w.z_mean("flow") < -2)

A function returns a boolean array with one entry a window, true where it votes for its class; or, declared without
``votes``, an integer array of votes: -1 abstains, 0..k-1 are the task's classes. Rules in YAML (`labeling.rules`)
become functions too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

from components.labeling.functions.view import Sees, WindowView
from components.workspace.errors import InputError
from components.workspace.modules import load_module

if TYPE_CHECKING:
    from components.workspace import Workspace
    from components.workspace.settings import Settings, Task

LEAST_FUNCTIONS = 3
_DECLARED = "__labeling_functions__"

Body = Callable[[WindowView], Any]


@dataclass(frozen=True)
class LabelingFunction:
    """One rule of one task. ``votes`` is the class it votes for, None when it returns votes itself.

    ``sees`` is what it may look at beside the window it votes on; ``meaning`` is what else than code and declaration its
    votes depend on, as JSON: the rule, for one that was written in YAML.
    """

    name: str
    task: str
    votes: str | None
    channels: tuple[str, ...]
    sees: Sees
    description: str
    body: Body
    file: Path
    line: int
    meaning: Any = None

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}, labelling function {self.name}"


def labeling_function(
    *,
    task: str,
    votes: str | None = None,
    channels: str | tuple[str, ...] = (),
    name: str | None = None,
    description: str | None = None,
    sees: Sees = "fleet",
) -> Callable[[Body], Body]:
    """Declare the decorated function as a labelling function of ``task``.

    ``channels`` are those it cannot do without; ``description`` is its docstring unless given. With ``sees="window"`` or
    ``sees="device"`` it gets a part of the windows at a time, the latter whole devices, and many parts run at once.
    """

    def mark(body: Body) -> Body:
        code = inspect.unwrap(body).__code__
        file, line = Path(code.co_filename), code.co_firstlineno
        said = description if description is not None else inspect.cleandoc(body.__doc__ or "")
        needed = (channels,) if isinstance(channels, str) else tuple(channels)
        function = LabelingFunction(name or body.__name__, task, votes, needed, sees, said, body, file, line)
        body.__globals__.setdefault(_DECLARED, []).append(function)
        return body

    return mark


def load_functions(workspace: Workspace, task: Task) -> list[LabelingFunction]:
    """The functions for ``task`` that `labeling.module` declares, then those of `labeling.rules`, in the order of the files.

    With rules, a workspace may do without a module.

    Raises:
        InputError: a file cannot be read, a declaration names what is not there, or there are too few.
    """
    from components.labeling.functions.rules import read_rules

    labeling = workspace.settings.labeling
    module = workspace.path(labeling.module)
    declared = [] if labeling.rules and not module.is_file() else _declared(load_module(module))
    if labeling.rules:
        declared += read_rules(workspace.path(labeling.rules), workspace.settings)
    for function in declared:
        _check_names(function, workspace.settings)
    functions = [f for f in declared if f.task == task.name]
    _check_task(functions, task)
    if len(functions) < LEAST_FUNCTIONS:
        files = f"{module} and {labeling.rules}" if labeling.rules else module
        raise InputError(
            f"{files}: task '{task.name}' has {len(functions)} labelling functions, it needs at least {LEAST_FUNCTIONS}",
            hint="with fewer, their agreement says nothing about who is right; write more, or declare gold labels",
        )
    return functions


def _declared(module: ModuleType) -> list[LabelingFunction]:
    """In the order of the file. A list of its own, because of two `def`s of one name a module keeps the last."""
    return list(vars(module).get(_DECLARED, []))


def _check_names(function: LabelingFunction, settings: Settings) -> None:
    known = {t.name for t in settings.tasks}
    if function.task not in known:
        raise InputError(f"{function.where}: no task '{function.task}'", hint=f"tasks: {', '.join(sorted(known))}")
    if missing := [c for c in function.channels if c not in settings.telemetry.names]:
        hint = f"channels: {', '.join(settings.telemetry.names)}"
        raise InputError(f"{function.where}: no channel {', '.join(missing)}", hint=hint)
    if function.sees not in get_args(Sees):
        raise InputError(f"{function.where}: sees '{function.sees}'", hint=f"sees is one of {', '.join(get_args(Sees))}")


def _check_task(functions: list[LabelingFunction], task: Task) -> None:
    for number, function in enumerate(functions):
        if function.votes is not None and function.votes not in task.vote_classes:
            hint = f"classes: {', '.join(task.vote_classes)}"
            raise InputError(f"{function.where}: votes for '{function.votes}', no class of task '{task.name}'", hint=hint)
        if twin := next((f for f in functions[:number] if f.name == function.name), None):
            there = f"line {twin.line}" if twin.file == function.file else f"{twin.file}, line {twin.line},"
            raise InputError(f"{function.where}: {there} has one of this name too", hint="rename one of them")
