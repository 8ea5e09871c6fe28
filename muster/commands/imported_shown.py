"""An imported model as rows of a table, and lists of numbers on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.workspace.errors import InputError

if TYPE_CHECKING:
    from components.values.imported import ImportedModel, Port
    from components.values.imported_onnx import ImportedOnnx, Signal
    from components.values.imported_trees import ImportedTrees

Rows = list[tuple[str, object]]


def imported_rows(model: ImportedModel | ImportedOnnx | ImportedTrees) -> Rows:
    """Key and value of what a person wants to see of it."""
    from components.values.imported_trees import ImportedTrees

    rows: Rows = [("file", f"{model.origin}, {len(model.data):,} bytes"), ("sha256", model.digest)]
    examples = ("examples", f"{len(model.examples):,} {getattr(model, 'drawn', 'given')}")
    return [*rows, *(_of_trees(model) if isinstance(model, ImportedTrees) else _of_network(model)), examples]


def numbers(option: str, given: str) -> tuple[float, ...]:
    """Numbers between commas.

    Raises:
        InputError: something else is there.
    """
    try:
        return tuple(float(part) for part in given.split(",")) if given else ()
    except ValueError:
        raise InputError(f"{option} {given[:50]}: no numbers", hint="give one number, or several with commas between") from None


def _of_network(model: ImportedModel | ImportedOnnx) -> Rows:
    ends = [("input", model.input), *(("output", port) for port in model.outputs)]
    rows: Rows = [(f"{end} {p.name}", f"{list(p.shape)}, {_values(p)}") for end, p in ends]
    rows += [("operators", ", ".join(f"{count} {kind}" for kind, count in model.operators.items()))]
    return [*rows, ("multiply-accumulates", f"{model.macs:,}")]


def _values(port: Port | Signal) -> str:
    from components.values.imported import Port

    return f"(q - {port.zero}) * {port.scale:.6g}" if isinstance(port, Port) else "float32"


def _of_trees(model: ImportedTrees) -> Rows:
    about, lsb = model.about, model.sampling.converter.lsb
    return [
        ("objective", about["objective"]),
        ("trees", f"{about['trees']:,} of depth {about['depth']} at most, {about['nodes']:,} questions"),
        ("features", f"{about['features']:,}, lsb {min(lsb):.4g} to {max(lsb):.4g}, samples of {model.sampling.bits} bits"),
        ("outputs", about["outputs"]),
    ]
