"""Run a Python file of a workspace as a module: its labelling functions, its data source."""

from __future__ import annotations

import ast
import hashlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from components.workspace.errors import InputError, MusterError, NotFound


def load_module(file: Path) -> ModuleType:
    """Execute ``file`` afresh and return its module; nothing is written beside it.

    Its name is made of the path, so that two workspaces' `labeling.py` never meet in ``sys.modules``.

    Raises:
        NotFound: there is no such file.
        InputError: it has a syntax error or raises while it is read; the message names file and line.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="write it, or name another in muster.yaml")
    name = f"workspace_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}_{file.stem}"
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)  # noqa: S102 -- the user's own code is the point
    except MusterError:
        raise
    except SyntaxError as error:
        raise InputError(f"{file}, line {error.lineno}: {error.msg}", hint="mend the syntax there") from None
    except Exception as error:
        line = line_in(file, error)
        raise InputError(f"{file}, line {line}: {type(error).__name__}: {error}", hint="mend the file there") from error
    return module


def line_in(file: Path, error: BaseException) -> int:
    """The deepest line of ``file`` in the traceback of ``error``; 0 when it has none."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if f.filename == str(file)), 0)


def local_sources(file: Path) -> list[Path]:
    """``file`` and the Python files beside it that it imports, directly or through each other; nothing is executed.

    A file that is missing or that Python cannot parse imports nothing.
    """
    found: list[Path] = []
    ahead = [file]
    while ahead:
        source = ahead.pop()
        if source in found or not source.is_file():
            continue
        found.append(source)
        ahead += [beside for name in _imported(source) if (beside := file.parent / f"{name}.py").is_file()]
    return sorted(found)


def _imported(file: Path) -> set[str]:
    """First part of the name of every module that ``file`` imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    nodes = list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    origins = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | origins}
