"""Annotations from and to files of other tools: checked whole before one line is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.labeling.people.annotation_file import Annotation, AnnotationFile, parse, render
from components.labeling.people.annotations import check_classes
from components.workspace.errors import InputError, NotFound
from components.workspace.files import write_text

if TYPE_CHECKING:
    from components.workspace import Workspace

Place = tuple[str, str, str]
Key = tuple[str, str, str, datetime, datetime]


def export_annotations(workspace: Workspace, file: Path) -> int:
    """Write all annotations to ``file`` and return how many they are.

    Raises:
        InputError: the annotations are damaged, or ``file`` cannot be written.
    """
    annotations = AnnotationFile.of(workspace).read()
    try:
        write_text(file, render(annotations))
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}", hint="name a file in a folder of yours") from None
    return len(annotations)


def import_annotations(workspace: Workspace, file: Path, by: str = "") -> tuple[int, int]:
    """Add the annotations of ``file``; (those added, those that stood already). All are kept, or none.

    ``by`` stands in where the file has no such column; where it has no ``at``, the answers count as given now.

    Raises:
        NotFound: no such file, or the features step did not run.
        InputError: a line is damaged, names an unknown device, task or class, or contradicts another line.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="name a CSV with device_id, start, end, task, value, by, at and drawn")
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is no UTF-8 text", hint="save the file as UTF-8") from None
    new = parse(text, str(file), by=by, at=datetime.now(UTC).replace(microsecond=0))
    _check(workspace, new, str(file))
    added = 0

    def merge(kept: list[Annotation]) -> list[Annotation]:
        nonlocal added
        fresh = _fresh(kept, new)
        added = len(fresh)
        return [*kept, *fresh]

    AnnotationFile.of(workspace).change(merge)
    return added, len(new) - added


def _check(workspace: Workspace, annotations: list[Annotation], name: str) -> None:
    tasks = {t.name: t for t in workspace.settings.tasks if t.labels == "weak"}
    devices = _devices(workspace)
    for a in annotations:
        if a.task not in tasks:
            hint = f"tasks with labels: weak: {', '.join(tasks) or 'none'}"
            raise InputError(f"{name}, line {a.line}: no task '{a.task}' learns from annotations", hint=hint)
        check_classes([a], name, tasks[a.task])
        if a.device_id not in devices:
            hint = "devices are named as in the telemetry; muster step features reads new ones in"
            raise InputError(f"{name}, line {a.line}: no device '{a.device_id}' in this workspace", hint=hint)
    _check_overlaps(annotations, name, workspace.settings.windows.steps * workspace.settings.telemetry.interval_s)


def _check_overlaps(annotations: list[Annotation], name: str, window_s: float) -> None:
    """Two lines of one person and one moment that give a window two classes: nobody could say which one counts.

    A line as short as a window goes before a longer one; windows themselves may overlap.
    """
    places: dict[Place, list[Annotation]] = {}
    for a in annotations:
        places.setdefault((a.device_id, a.task, a.by), []).append(a)
    for lines in places.values():
        lines.sort(key=lambda a: (a.start, a.line))
        for number, first in enumerate(lines):
            for second in lines[number + 1 :]:
                if second.start >= first.end:
                    break
                shared = (min(first.end, second.end) - second.start).total_seconds()
                lengths = [(x.end - x.start).total_seconds() > window_s for x in (first, second)]
                if first.at == second.at and first.value != second.value and shared >= window_s and lengths[0] == lengths[1]:
                    raise InputError(
                        f"{name}, line {max(first.line, second.line)}: overlaps line {min(first.line, second.line)} "
                        f"and says '{second.value}' where that says '{first.value}'",
                        hint="cut the segments so that they do not overlap, or give the later answer a later at",
                    )


def _fresh(kept: list[Annotation], new: list[Annotation]) -> list[Annotation]:
    """Those of ``new`` that change what stands: the same import twice adds nothing the second time."""
    standing: dict[Key, Annotation] = {}
    for a in kept:
        if _key(a) not in standing or a.at >= standing[_key(a)].at:
            standing[_key(a)] = a
    present, fresh = set(kept), []
    for a in sorted(new, key=lambda a: (a.at, a.line)):
        now = standing.get(_key(a))
        if a not in present and (now is None or now.value != a.value or (a.drawn and a.drawn != now.drawn)):
            fresh.append(replace(a, line=0))
            standing[_key(a)] = a
    return fresh


def _key(a: Annotation) -> Key:
    return (a.device_id, a.task, a.by, a.start, a.end)


def _devices(workspace: Workspace) -> set[str]:
    import pandas as pd

    file = workspace.out / "features" / "index.parquet"
    if not file.is_file():
        raise NotFound(f"no windows in {file.parent}", hint="muster step features, or muster run, makes them")
    return set(pd.read_parquet(file, columns=["device_id"])["device_id"])
