"""What the votes of one labelling function depend on in its file, so that an edit elsewhere does not run it again.

A top-level statement counts when it binds a name that the function reads, directly or through others; so do statements
that bind nothing and may change anything (calls, assignments into objects, star imports). Comments, layout and places
do not count. Where names are looked up in ways that cannot be followed, the whole file counts.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace.files import sha256_bytes, sha256_file, sha256_json
from components.workspace.modules import imported_by, imported_sources

if TYPE_CHECKING:
    from components.labeling.functions.declaring import LabelingFunction

_UNTRACEABLE = {"globals", "locals", "vars", "eval", "exec", "__import__", "importlib", "sys"}
"""Names with which code reaches other names by text."""


def fingerprint(function: LabelingFunction) -> str:
    """Digest of the declaration and of everything in its file, and in files beside it, that can change its votes."""
    declared = [function.name, function.task, function.votes, list(function.channels), function.sees, function.meaning]
    if function.meaning is not None:
        return sha256_json(declared)
    return sha256_json([*declared, _source_digest(function)])


@dataclass(frozen=True)
class _Statement:
    first: int
    last: int
    text: str
    binds: frozenset[str]
    reads: frozenset[str]
    imports: frozenset[str]
    may_change_anything: bool


def _source_digest(function: LabelingFunction) -> str:
    data = function.file.read_bytes()
    statements = _statements(data)
    code = getattr(function.body, "__code__", None)
    inner = code is None or code.co_filename != str(function.file) or code.co_qualname != code.co_name
    root = None if inner else next((s for s in statements if s.first <= function.line <= s.last), None)
    needed = _closure(root, statements) if root else list(statements)
    if root is None or any(s.reads & _UNTRACEABLE for s in needed):
        return sha256_json([sha256_bytes(data), _imports(list(statements), function.file.parent)])
    return sha256_json([[s.text for s in needed], _imports(needed, function.file.parent)])


def _closure(root: _Statement, statements: tuple[_Statement, ...]) -> list[_Statement]:
    """Statements that ``root`` depends on, itself among them, in the order of the file.

    Other labelling functions count only where their names are read: decorating binds them and nothing else.
    """
    needed = {id(root)} | {id(s) for s in statements if s.may_change_anything}
    grown = True
    while grown:
        reads = frozenset().union(*(s.reads for s in statements if id(s) in needed))
        more = {id(s) for s in statements if id(s) not in needed and s.binds & reads and s.first != root.first}
        grown = bool(more)
        needed |= more
    return [s for s in statements if id(s) in needed]


@lru_cache(maxsize=16)
def _statements(data: bytes) -> tuple[_Statement, ...]:
    found = []
    for node in ast.parse(data).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        reads = frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        binds = frozenset(_bound(node))
        acts = not binds or "*" in binds or _acts(node)
        last = node.end_lineno or first
        found.append(_Statement(first, last, ast.dump(node), binds, reads, frozenset(imported_by(node)), acts))
    return tuple(found)


def _bound(node: ast.AST) -> set[str]:
    """Names that the statement binds in the module; '*' for those that a star import brings."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = {name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names}
        return {node.name} | inside
    if isinstance(node, ast.Import):
        return {(a.asname or a.name).partition(".")[0] for a in node.names}
    if isinstance(node, ast.ImportFrom):
        return {a.asname or a.name for a in node.names}
    own = {node.id} if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) else set()
    return own.union(*(_bound(child) for child in ast.iter_child_nodes(node)))


def _acts(node: ast.stmt) -> bool:
    """Whether the statement calls something for its effect, or stores into an object, as it is executed."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    return any(
        (isinstance(n, ast.Expr) and not isinstance(n.value, ast.Constant))
        or (isinstance(n, ast.Attribute | ast.Subscript) and not isinstance(n.ctx, ast.Load))
        for n in ast.walk(node)
    )


def _imports(statements: list[_Statement], folder: Path) -> list[list[str]]:
    """Contents of the files of ``folder`` that the statements import, and versions of packages from elsewhere."""
    names = sorted(frozenset().union(*(s.imports for s in statements)))
    local = imported_sources(folder, names)
    versions = [[name, str(getattr(sys.modules.get(name), "__version__", ""))] for name in names]
    return [[str(source.relative_to(folder)), sha256_file(source)] for source in local] + versions


def sources_below() -> str:
    """Digest of the code that turns functions into votes: this package's own modules and the packages below it."""
    return _sources_below(Path(__file__).parent)


@lru_cache(maxsize=1)
def _sources_below(here: Path) -> str:
    folders = [here.parent.parent / name for name in ("workspace", "runtime", "values", "features")]
    files = [file for folder in (here, *folders) for file in sorted(folder.glob("*.py"))]
    return sha256_json([[file.parent.name, file.name, sha256_file(file)] for file in files])
