"""Which operators, expressions and arguments an exported program may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from components.workspace.errors import InputError

_OPERATOR = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|mod|neg|eq|ne|lt|le|gt|ge)")
_TOUCHES_FILES = re.compile(r"torch\.ops\.aten\.(from_file|_?save\w*|_?load\w*)\..*")
_SYMBOL = r"Symbol\('[su]\d{1,6}'(?:, (?:positive|integer|nonnegative)=True)*\)"
_EXPRESSION = re.compile(rf"(?:{_SYMBOL}|(?:Mul|Add|Integer|FloorDiv|Mod|PythonMod)\(|-?\d{{1,12}}|, |\))*+")
_LONGEST = 1000
_ARGUMENTS = {"as_graph", "as_graphs", "as_custom_obj", "as_operator"}
_STRUCTURES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "builtins.NoneType"}


def plain_program(data: bytes) -> bytes:
    """The program of ``data`` (JSON) without what tells where it came from.

    Raises:
        InputError: it is damaged, or holds what is not plain arithmetic on tensors.
    """
    try:
        program = json.loads(data)
        module = program["graph_module"]
        for node in module["graph"]["nodes"]:
            _check_operator(node["target"])
            node["metadata"] = {}
        if module["graph"]["custom_obj_values"] or module["treespec_namedtuple_fields"]:
            raise _refused("objects of its own")
        check_plain(program)
        return json.dumps(program | {"guards_code": []}).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"no exported program: {type(error).__name__}: {error}", hint=_AGAIN) from None


def check_plain(value: Any) -> None:
    """Raises:
    InputError: JSON ``value`` holds an expression or an argument that is more than plain arithmetic.
    """
    for key, told in _entries(value):
        _check(key, told)


def _check_operator(target: str) -> None:
    if not _OPERATOR.fullmatch(target) or _TOUCHES_FILES.fullmatch(target):
        raise _refused(f"operator {target[:100]}")


def _check(key: str, value: Any) -> None:
    if key in _ARGUMENTS:
        raise _refused(f"an argument of kind {key.removeprefix('as_')}")
    if key == "expr_str" and (len(value) > _LONGEST or not _EXPRESSION.fullmatch(value)):
        raise _refused(f"the expression {value[:100]}")
    if key in {"in_spec", "out_spec"} and value:
        for name, told in _entries(json.loads(value)):
            if name == "type" and told not in _STRUCTURES:
                raise _refused(f"arguments of type {told}")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, at any depth."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            yield from one.items()
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)


_AGAIN = "write it with torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')"


def _refused(what: str) -> InputError:
    return InputError(
        f"the program holds {what}", hint="export a model of torch's own operators, with fixed shapes or an open batch"
    )
