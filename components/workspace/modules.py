"""Run a Python file of a workspace as a module: its labelling functions, its data source."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from components.workspace.errors import InputError, MusterError, NotFound


def load_module(file: Path) -> ModuleType:
    """Execute ``file`` afresh and return its module; nothing is written beside it.

    Its name is made of the path, so that two workspaces' `labeling.py` never meet in ``sys.modules``. At its top it may
    import Python files beside it; these are read afresh too.

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
        with _beside(file):
            exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)  # noqa: S102 -- the user's own code is the point
    except MusterError:
        raise
    except SyntaxError as error:
        raise InputError(f"{file}, line {error.lineno}: {error.msg}", hint="mend the syntax there") from None
    except Exception as error:
        line = line_in(file, error)
        raise InputError(f"{file}, line {line}: {type(error).__name__}: {error}", hint="mend the file there") from error
    return module


@contextmanager
def _beside(file: Path) -> Iterator[None]:
    """Let imports find the files beside ``file``, and leave no trace of them."""
    beside = [source.relative_to(file.parent) for source in local_sources(file) if source != file]
    names = {source.parts[0].removesuffix(".py") for source in beside}
    before = _forget(names)
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    sys.path.insert(0, str(file.parent))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, bytecode
        _forget(names)
        sys.modules.update(before)


def _forget(names: set[str]) -> dict[str, ModuleType]:
    """Take modules of these names, and those inside them, out of ``sys.modules``."""
    known = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in known}


def line_in(file: Path, error: BaseException) -> int:
    """The deepest line of ``file`` in the traceback of ``error``; 0 when it has none."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if f.filename == str(file)), 0)


def local_sources(file: Path) -> list[Path]:
    """``file`` and the Python files beside it that it imports, directly or through each other; nothing is executed.

    A file that is missing or that Python cannot parse imports nothing. Of a package all files count.
    """
    return _reached(file.parent, [file])


def imported_sources(folder: Path, names: Iterable[str]) -> list[Path]:
    """The Python files in ``folder`` that importing these modules there reads."""
    return _reached(folder, [source for name in names for source in _files_of(folder, name)])


def _reached(folder: Path, ahead: list[Path]) -> list[Path]:
    found: set[Path] = set()
    while ahead:
        source = ahead.pop()
        if source not in found and source.is_file():
            found.add(source)
            ahead += [beside for name in _imported(source) for beside in _files_of(folder, name)]
    return sorted(found)


def _files_of(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.py", *(folder / name).rglob("*.py")] if name else []


def _imported(file: Path) -> set[str]:
    try:
        return imported_by(ast.parse(file.read_bytes()))
    except (SyntaxError, ValueError):
        return set()


def imported_by(tree: ast.AST) -> set[str]:
    """First part of the name of every module that the code imports."""
    nodes = list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    origins = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | origins}
