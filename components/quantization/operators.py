"""Which operators the file of a network holds, and whether the device's runtime has them."""

from __future__ import annotations

from typing import Any

from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile


def check_operators(profile: Profile, operators: frozenset[str]) -> None:
    """Raises:
    GateFailed: one of ``operators`` is not in `ops.allow` of the profile.
    """
    if lacking := outside(profile, operators):
        raise GateFailed(
            f"profile '{profile.name}': the network needs {', '.join(lacking)}, which ops.allow does not list",
            hint="add them if the device's runtime has them, or use a model or a runtime that does without",
        )


def outside(profile: Profile, operators: frozenset[str]) -> list[str]:
    """Operators that the profile does not allow."""
    return [] if profile.ops.allow is None else sorted(operators - set(profile.ops.allow))


def of_onnx(data: bytes) -> frozenset[str]:
    """Names as in the ONNX operator list, such as 'QLinearConv'; custom domains before a dot."""
    import onnx

    nodes = onnx.load_from_string(data).graph.node
    return frozenset(f"{n.domain}.{n.op_type}" if n.domain not in {"", "ai.onnx"} else n.op_type for n in nodes)


def of_tflite(data: bytes) -> frozenset[str]:
    """Names as in TensorFlow Lite's schema, such as 'CONV_2D'."""
    from ai_edge_litert import schema_py_generated as schema

    names: dict[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    codes: list[Any] = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).operatorCodes
    return frozenset(names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes)
